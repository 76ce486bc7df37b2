/** A leave counts when the host itself has said it, and only then. */
import t from 'tap';
import { decodeMessage, encodePull } from '../../../proto/state/messages.ts';
import { TABLE } from '../../../proto/state/interface.ts';
import type { State } from '../../../proto/state/state.ts';
import { encodeEndpoint } from '../../../proto/state/values/endpoint.ts';
import { macKey, macKeyHex } from '../../../proto/state/values/mac.ts';
import { TABLE_GOODBYE } from '../../../proto/state/record.ts';
import { recordsOf } from '../../../proto/state/block.ts';
import { Cluster } from './cluster.ts';

const VNI = 4096;
const MAC = 0x02_00_00_00_00_01;

const owners = (state: State): string[] =>
  state.claims(VNI, TABLE.endpoint, macKeyHex(MAC)).map((c) => (c.held ? `${c.owner} held` : c.owner));

/** Three hosts that know each other, and a MAC on a. */
function three(): Cluster {
  const cluster = new Cluster(1);
  cluster.pushPullMs = 3_000;
  for (const name of ['a', 'b', 'c']) cluster.start(name, [VNI]);
  cluster.meet();
  cluster.run(3_000);
  const value = encodeEndpoint({ mobility: 0, ips: [], flags: 0, name: '' });
  cluster.state('a').put(cluster.now, VNI, TABLE.endpoint, macKey(MAC), value);
  cluster.run(100);
  return cluster;
}

/** The good-bye of a, as it goes to one peer; nothing of it is delivered. */
function goodbyeOf(cluster: Cluster): Uint8Array {
  const a = cluster.state('a');
  a.sayGoodbye(cluster.now);
  const all = [];
  for (let out = a.pollTransmit(); out !== undefined; out = a.pollTransmit()) all.push(out.bytes);
  const found = all.find((bytes) => {
    const message = decodeMessage(bytes, 0);
    if (message.kind !== 'update') return false;
    return message.update.blocks.flatMap(recordsOf).some(({ table }) => table === TABLE_GOODBYE);
  });
  if (found === undefined) throw new Error('no good-bye among what a sent');
  return found;
}

void t.test('membership alone holds what a host said; its next sign of life frees it', async (test) => {
  const cluster = three();
  const b = cluster.state('b');
  const before = cluster.state('c').root(VNI);
  cluster.sayLeft('a');
  test.same(owners(b), ['a held']);
  test.equal(b.counters().get('left-unsigned'), 1);
  cluster.meet();
  test.same(owners(b), ['a']);
  test.equal(b.root(VNI), before);
});

void t.test('whoever is said to have left and stays away is forgotten as the dead are', async (test) => {
  const cluster = three();
  cluster.hosts.get('a')!.alive = false;
  cluster.sayLeft('a');
  cluster.run(29_000);
  test.same(owners(cluster.state('b')), ['a held']);
  cluster.run(2_000);
  test.same(owners(cluster.state('b')), []);
});

void t.test('a good-bye that comes after the word of membership ends the hold', async (test) => {
  const cluster = three();
  const bytes = goodbyeOf(cluster);
  const b = cluster.state('b');
  cluster.sayLeft('a');
  test.same(owners(b), ['a held']);
  b.handleMessage(cluster.now, 'c', bytes);
  test.same(owners(b), []);
  test.equal(b.counters().get('goodbyes'), 1);
});

void t.test('who missed a good-bye gets it from whoever has it', async (test) => {
  const cluster = three();
  const bytes = goodbyeOf(cluster);
  cluster.hosts.get('a')!.alive = false;
  cluster.state('b').handleMessage(cluster.now, 'a', bytes);
  cluster.sayLeft('a');
  test.same(owners(cluster.state('c')), ['a held']);
  cluster.run(20_000);
  test.same(owners(cluster.state('c')), [], 'before the hold is over');
  test.equal(cluster.state('c').counters().get('goodbyes'), 1);
});

void t.test('a pull of a log that has ended is answered with the good-bye', async (test) => {
  const cluster = three();
  const bytes = goodbyeOf(cluster);
  const b = cluster.state('b');
  b.handleMessage(cluster.now, 'a', bytes);
  while (b.pollTransmit() !== undefined);
  const { epoch } = cluster.state('a');
  b.handleMessage(cluster.now, 'c', encodePull({ scope: 0, owner: 'a', epoch }, 0));
  const answer = b.pollTransmit();
  test.equal(answer?.to, 'c');
  cluster.state('c').handleMessage(cluster.now, 'b', answer!.bytes);
  test.same(owners(cluster.state('c')), []);
});

void t.test('after a good-bye a new life begins; the old good-bye means nothing to it', async (test) => {
  const cluster = three();
  const bytes = goodbyeOf(cluster);
  cluster.state('b').handleMessage(cluster.now, 'a', bytes);
  cluster.state('c').handleMessage(cluster.now, 'a', bytes);
  cluster.sayLeft('a');
  test.same(owners(cluster.state('b')), []);
  cluster.state('a').renew(cluster.now);
  cluster.meet();
  cluster.run(5_000);
  test.same(owners(cluster.state('b')), ['a']);
  cluster.start('d', [VNI]);
  cluster.meet();
  for (const name of ['b', 'c', 'd']) cluster.state(name).handleMessage(cluster.now, 'c', bytes);
  cluster.run(5_000);
  for (const name of ['b', 'c', 'd']) {
    test.same(owners(cluster.state(name)), ['a'], name);
    test.equal(cluster.state(name).root(0), cluster.state('a').root(0));
  }
});
