/** SYNC among many owners: sums first, lines only where they differ (gossip.md 7.6). */
import t from 'tap';
import { TABLE } from '../../../proto/state/interface.ts';
import { bucketOf } from '../../../proto/state/sync-buckets.ts';
import { macKey } from '../../../proto/state/values/mac.ts';
import { Replicas, VNI, contents, copyOf } from './replica.ts';

const OWNERS = Array.from({ length: 300 }, (_, i) => `host-${i + 1}`);

/** Owners with a MAC each; only the first two hold what the others say. */
function cluster(): Replicas {
  const replicas = new Replicas(...OWNERS);
  for (const name of OWNERS) write(replicas, name, 1, ['host-1', 'host-2']);
  return replicas;
}

function write(replicas: Replicas, owner: string, mac: number, holders: readonly string[]): void {
  const { ownLogs } = replicas.parts(owner);
  ownLogs.put(replicas.now, VNI, TABLE.endpoint, macKey(mac), new Uint8Array(24));
  replicas.now += 20;
  for (const { update } of ownLogs.takeUpdates(replicas.now)) {
    for (const to of holders)
      if (to !== owner) replicas.parts(to).merge.update(replicas.now, owner, copyOf(update));
  }
}

const differing = (replicas: Replicas): string[] =>
  OWNERS.filter(
    (owner) => contents(replicas.log('host-1', owner)) !== contents(replicas.log('host-2', owner)),
  );

void t.test('replicas that agree say so in little', async (test) => {
  const replicas = cluster();
  replicas.sync('host-1', 'host-2');
  test.same(differing(replicas), []);
  test.equal(replicas.messages, 2);
  test.ok(replicas.total() < 600, `${replicas.total()} bytes`);
});

void t.test('one that missed some changes, whichever of the two asks', async (test) => {
  for (const [asker, answerer] of [
    ['host-1', 'host-2'],
    ['host-2', 'host-1'],
  ] as const) {
    const replicas = cluster();
    for (const owner of ['host-7', 'host-70']) write(replicas, owner, 2, ['host-1']);
    write(replicas, 'host-8', 2, ['host-2']);
    test.equal(differing(replicas).length, 3);
    replicas.sync(asker, answerer);
    test.same(differing(replicas), []);
    test.ok(replicas.total() < 2_000, `${replicas.total()} bytes`);
  }
});

void t.test('one that missed everything', async (test) => {
  const replicas = cluster();
  for (const owner of OWNERS.slice(2)) write(replicas, owner, 2, ['host-1']);
  replicas.sync('host-2', 'host-1');
  test.same(differing(replicas), []);
});

void t.test('names spread over the groups', async (test) => {
  const sizes = Array.from({ length: 64 }, () => 0);
  for (let i = 0; i < 1_000; i++) sizes[bucketOf(`node-${i}`, 64)]! += 1;
  test.ok(Math.max(...sizes) < 40 && Math.min(...sizes) > 2, `${Math.min(...sizes)}..${Math.max(...sizes)}`);
});
