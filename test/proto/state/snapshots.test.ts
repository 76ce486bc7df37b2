/** Snapshots whose chunks go over connections of their own, and so overtake each other. */
import t from 'tap';
import type { Test } from 'tap';
import { SYNC_FLAG, decodeMessage } from '../../../proto/state/messages.ts';
import { TABLE } from '../../../proto/state/interface.ts';
import { encodeEndpoint } from '../../../proto/state/values/endpoint.ts';
import { macKey } from '../../../proto/state/values/mac.ts';
import { Cluster } from './cluster.ts';
import { Replicas, VNI } from './replica.ts';

const ENDPOINTS = 2_000;
const VALUE = encodeEndpoint({ mobility: 0, ips: ['10.0.0.1'], flags: 0, name: 'web' });
const TOMBSTONES_OLD_MS = 11 * 60_000;

/** An owner whose log has forgotten what it deleted. */
function withFloor(): Replicas {
  const replicas = new Replicas('a', 'b');
  replicas.write('a', range(1, ENDPOINTS));
  replicas.now += 1_000;
  return replicas;
}

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

/** The owner's log, whole, as it would go out. */
function chunksOf(replicas: Replicas): Uint8Array[] {
  const { server, outbox, store } = replicas.parts('a');
  const line = { ...store.log(VNI, 'a')!.line(), have: 0 };
  server.handleWants(replicas.now, 'b', { id: 0, scope: VNI, flags: SYNC_FLAG.answer, lines: [line] });
  const chunks: Uint8Array[] = [];
  outbox.release(replicas.now);
  for (let out = outbox.poll(); out !== undefined; out = outbox.poll()) chunks.push(out.bytes);
  return chunks;
}

function deliver(replicas: Replicas, chunks: readonly Uint8Array[]): void {
  for (const bytes of chunks) {
    const message = decodeMessage(bytes, replicas.now);
    if (message.kind !== 'delta') throw new Error(message.kind);
    const { update, flags, manifest } = message;
    replicas.parts('b').merge.delta(replicas.now, 'a', update, flags, manifest);
  }
}

/** What b has, after the owner deleted and forgot some that b had. */
function play(test: Test, name: string, shuffle: (chunks: readonly Uint8Array[]) => Uint8Array[]): void {
  const replicas = withFloor();
  const a = replicas.parts('a');
  // b does not hear of it.
  for (const mac of range(1, 100)) a.ownLogs.delete(replicas.now, VNI, TABLE.endpoint, macKey(mac * 7));
  replicas.now += 20;
  while (a.ownLogs.isDue(replicas.now)) for (const _ of a.ownLogs.takeUpdates(replicas.now));
  replicas.now += TOMBSTONES_OLD_MS;
  const log = replicas.log('a', 'a');
  log.purge(replicas.now);
  test.ok(log.floor > 0, 'the owner has a floor');
  const chunks = chunksOf(replicas);
  test.ok(chunks.length > 2, `${chunks.length} chunks`);
  deliver(replicas, shuffle(chunks));
  const copy = replicas.log('b', 'a');
  test.equal(copy.have, log.have, name);
  test.equal(copy.digest, log.digest, `${name}: what was deleted is gone`);
  test.equal(copy.floor, log.floor);
  test.notOk(replicas.parts('b').counters.all.has('snapshot-out-of-order'));
}

void t.test('chunks count in whatever order they come', async (test) => {
  play(test, 'in order', (chunks) => [...chunks]);
  play(test, 'the last first', (chunks) => chunks.toReversed());
  play(test, 'the short last one overtakes one', (chunks) => [
    ...chunks.slice(0, -2),
    ...chunks.slice(-2).toReversed(),
  ]);
  play(test, 'each twice', (chunks) => chunks.flatMap((chunk) => [chunk, chunk]));
  play(test, 'two senders', ([first, ...rest]) => [...rest.toReversed(), first!, first!, ...rest]);
});

void t.test('early chunks are bounded, and what is beyond is counted', async (test) => {
  const replicas = new Replicas('a', 'b');
  replicas.write('a', range(1, 30_000));
  const [first, ...rest] = chunksOf(replicas);
  test.ok(rest.length > 32, `${rest.length} chunks behind the first`);
  deliver(replicas, rest.toReversed());
  const { counters } = replicas.parts('b');
  test.equal(counters.all.get('snapshot-out-of-order'), rest.length - 32);
  deliver(replicas, [first!, ...rest]);
  test.equal(replicas.log('b', 'a').have, replicas.log('a', 'a').have);
});

for (const seed of [1, 2]) {
  void t.test(`seed ${seed}: on a path with jitter a joiner has all at once`, async (test) => {
    const cluster = new Cluster(seed);
    Object.assign(cluster.faults, { latencyMs: 20, jitterMs: 50 });
    const a = cluster.start('a', [VNI]);
    for (const mac of range(1, 3 * ENDPOINTS)) a.put(cluster.now, VNI, TABLE.endpoint, macKey(mac), VALUE);
    cluster.run(5_000);
    for (const mac of range(1, 100)) a.delete(cluster.now, VNI, TABLE.endpoint, macKey(mac * 7));
    cluster.run(TOMBSTONES_OLD_MS);
    const b = cluster.start('b', [VNI]);
    cluster.pushPullMs = Infinity;
    cluster.meet();
    cluster.run(800);
    test.equal([...b.records(VNI, TABLE.endpoint)].length, 3 * ENDPOINTS - 100);
    test.equal(b.root(VNI), a.root(VNI), 'and all of it is known to be all');
    const before = cluster.sent.reliableBytes;
    cluster.run(60_000);
    test.ok(cluster.sent.reliableBytes - before < 20_000, 'nothing of it comes again');
  });
}
