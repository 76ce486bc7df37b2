import t from 'tap';
import { TABLE } from '../../../proto/state/interface.ts';
import type { State } from '../../../proto/state/state.ts';
import { encodeEndpoint, decodeEndpoint } from '../../../proto/state/values/endpoint.ts';
import { macKey, macKeyHex } from '../../../proto/state/values/mac.ts';
import { interestKey } from '../../../proto/state/values/interest.ts';
import { signBlock } from '../../../proto/state/block.ts';
import { encodeHeads, encodeSync, encodeUpdate } from '../../../proto/state/messages.ts';
import { Cluster } from './cluster.ts';
import { fakeSigner, fakeVerifier } from './fake-identity.ts';

const VNI = 4096;
const MAC = 0x02_00_00_00_00_01;

const endpoint = (mobility: number, ips: string[] = []): Uint8Array =>
  encodeEndpoint({ mobility, ips, flags: 0, name: '' });

function putMac(cluster: Cluster, host: string, mac: number, mobility = 0, ips: string[] = []): void {
  cluster.state(host).put(cluster.now, VNI, TABLE.endpoint, macKey(mac), endpoint(mobility, ips));
}

const owners = (state: State, mac: number): string[] =>
  state.claims(VNI, TABLE.endpoint, macKeyHex(mac)).map((c) => (c.held ? `${c.owner} held` : c.owner));

function three(seed = 1, options = {}): Cluster {
  const cluster = new Cluster(seed, options);
  for (const name of ['a', 'b', 'c']) cluster.start(name, [VNI]);
  cluster.meet();
  cluster.run(3_000);
  return cluster;
}

void t.test('hosts that start together agree on who is interested', async (test) => {
  const cluster = three();
  for (const name of ['a', 'b', 'c']) {
    test.same([...cluster.state(name).interested(VNI)].sort(), ['a', 'b', 'c']);
    test.equal(cluster.state(name).root(0), cluster.state('a').root(0));
  }
});

void t.test('an own write is seen by all interested hosts within 50 ms', async (test) => {
  const cluster = three();
  putMac(cluster, 'a', MAC, 0, ['10.42.0.2']);
  cluster.run(50);
  for (const name of ['b', 'c']) {
    const [claim] = cluster.state(name).claims(VNI, TABLE.endpoint, macKeyHex(MAC));
    test.equal(claim?.owner, 'a');
    test.same(decodeEndpoint(claim!.value).ips, ['10.42.0.2']);
  }
  test.not(cluster.state('a').root(VNI), 0n);
  test.equal(cluster.state('b').root(VNI), cluster.state('a').root(VNI));
});

void t.test('a change is told once per key, and says to look again', async (test) => {
  const cluster = three();
  const b = cluster.state('b');
  while (b.pollChange() !== undefined);
  putMac(cluster, 'a', MAC);
  putMac(cluster, 'a', MAC, 1);
  cluster.run(50);
  test.same(b.pollChange(), { scope: VNI, table: TABLE.endpoint, keyHex: macKeyHex(MAC) });
  test.equal(b.pollChange(), undefined);
});

void t.test('a lost last update is noticed by heads and pulled', async (test) => {
  const cluster = three();
  cluster.cuts.add('a>b');
  putMac(cluster, 'a', MAC);
  cluster.run(100);
  test.same(owners(cluster.state('b'), MAC), []);
  cluster.cuts.clear();
  cluster.run(1_000);
  test.same(owners(cluster.state('b'), MAC), ['a']);
});

void t.test('deletes are followed and do not come back', async (test) => {
  const cluster = three();
  putMac(cluster, 'a', MAC);
  cluster.run(100);
  cluster.state('a').delete(cluster.now, VNI, TABLE.endpoint, macKey(MAC));
  cluster.run(100);
  test.same(owners(cluster.state('b'), MAC), []);
  cluster.run(700_000);
  test.same(owners(cluster.state('b'), MAC), []);
  test.equal(cluster.state('b').root(VNI), cluster.state('a').root(VNI));
});

void t.test('a late joiner gets everything, and everybody gets it', async (test) => {
  const cluster = three();
  for (let i = 0; i < 500; i++) putMac(cluster, 'a', MAC + i);
  cluster.run(20_000);
  cluster.start('d', [VNI]);
  putMac(cluster, 'd', MAC + 1_000);
  cluster.meet();
  cluster.run(3_000);
  const d = cluster.state('d');
  test.equal([...d.records(VNI, TABLE.endpoint)].length, 501);
  for (const name of ['a', 'b', 'c']) {
    test.same(owners(cluster.state(name), MAC + 1_000), ['d']);
    test.equal(cluster.state(name).root(VNI), d.root(VNI));
  }
});

void t.test('claims: mobility, then time, then name; held loses to live', async (test) => {
  const cluster = three();
  putMac(cluster, 'a', MAC, 0);
  cluster.run(100);
  putMac(cluster, 'b', MAC, 1);
  cluster.run(100);
  test.same(owners(cluster.state('c'), MAC), ['b', 'a']);
  putMac(cluster, 'c', MAC, 1);
  cluster.run(100);
  test.same(owners(cluster.state('a'), MAC), ['c', 'b', 'a'], 'same mobility: the later');
  cluster.crash('c');
  test.same(owners(cluster.state('a'), MAC), ['b', 'a', 'c held']);
  cluster.run(29_000);
  test.same(owners(cluster.state('a'), MAC), ['b', 'a', 'c held']);
  cluster.run(2_000);
  test.same(owners(cluster.state('a'), MAC), ['b', 'a'], 'hidden after the hold');
});

void t.test('a host back from the dead with its epoch is visible at once', async (test) => {
  const cluster = three();
  putMac(cluster, 'a', MAC);
  cluster.run(100);
  const b = cluster.state('b');
  b.handleMemberDead(cluster.now, 'a');
  cluster.run(60_000);
  test.same(owners(b, MAC), []);
  b.handleMemberAlive(cluster.now, 'a', cluster.state('a').epoch);
  test.same(owners(b, MAC), ['a']);
});

void t.test('who left is removed at once, and late deltas do not bring it back', async (test) => {
  const cluster = three();
  putMac(cluster, 'a', MAC);
  cluster.run(100);
  const late = captureUpdate(cluster);
  while (cluster.state('b').pollChange() !== undefined);
  cluster.leave('a');
  test.same(owners(cluster.state('b'), MAC), []);
  const changes = [];
  for (let c = cluster.state('b').pollChange(); c !== undefined; c = cluster.state('b').pollChange())
    changes.push(c);
  test.ok(
    changes.some((change) => change.keyHex === macKeyHex(MAC)),
    'and readers are told to look again',
  );
  cluster.state('b').handleMessage(cluster.now, 'c', late);
  cluster.run(5_000);
  test.same(owners(cluster.state('b'), MAC), []);
  test.equal(cluster.state('b').counters().get('refused:old-epoch'), 1);
});

/** The next update that a sends, as bytes. */
function captureUpdate(cluster: Cluster): Uint8Array {
  putMac(cluster, 'a', MAC + 1);
  const a = cluster.state('a');
  a.handleDeadline(cluster.now + 25);
  const update = a.pollTransmit()!.bytes;
  while (a.pollTransmit() !== undefined);
  return update;
}

void t.test('a restart changes nothing for others, until what was not said again goes', async (test) => {
  const cluster = three();
  putMac(cluster, 'a', MAC);
  putMac(cluster, 'a', MAC + 1);
  cluster.run(100);
  const b = cluster.state('b');
  cluster.crash('a');
  cluster.run(10_000);
  cluster.start('a', [VNI]);
  cluster.meet();
  putMac(cluster, 'a', MAC);
  cluster.run(5_000);
  test.same(owners(b, MAC), ['a']);
  test.same(owners(b, MAC + 1), ['a'], 'not said again, still in force');
  test.ok(b.interested(VNI).includes('a'));
  cluster.run(30_000);
  test.same(owners(b, MAC), ['a']);
  test.same(owners(b, MAC + 1), [], 'gone after the marker');
  for (const name of ['a', 'c']) test.equal(cluster.state(name).root(VNI), b.root(VNI));
});

void t.test('a network that a restarted host is no longer in loses its records', async (test) => {
  const cluster = three();
  putMac(cluster, 'a', MAC);
  cluster.run(100);
  cluster.crash('a');
  cluster.start('a', []);
  cluster.meet();
  cluster.state('a').put(cluster.now, 0, TABLE.vtep, new Uint8Array([1]), new Uint8Array([1]));
  cluster.run(35_000);
  test.same(owners(cluster.state('b'), MAC), []);
});

void t.test('our own name ahead of us: a new epoch, all said again', async (test) => {
  const cluster = three();
  putMac(cluster, 'a', MAC);
  cluster.run(100);
  const before = cluster.state('a').epoch;
  cluster.crash('a');
  // The clock went back and the state directory was lost.
  cluster.start('a', [VNI], before - 5_000n);
  putMac(cluster, 'a', MAC + 7);
  cluster.meet();
  cluster.run(40_000);
  test.ok(cluster.state('a').epoch > before);
  test.same(owners(cluster.state('b'), MAC + 7), ['a']);
  test.same(owners(cluster.state('b'), MAC), []);
  test.equal(cluster.state('b').root(0), cluster.state('a').root(0));
});

void t.test('what others say of our own log, unsigned or badly signed, moves us not at all', async (test) => {
  const cluster = three();
  const a = cluster.state('a');
  const began = a.epoch;
  for (let i = 0; i < 100; i++) {
    const name = { scope: 0, owner: 'a', epoch: a.epoch + 10n };
    const head = { from: 0, to: 1, digest: 0n };
    const forged = signBlock(name, head, [], fakeSigner('b'), fakeVerifier).toWire();
    for (const key of [fakeSigner('a').publicKey, fakeSigner('b').publicKey])
      a.handleMessage(cluster.now, 'b', encodeUpdate({ ...name, key, from: 0, blocks: [forged] }));
    a.handleMessage(cluster.now, 'b', encodeHeads([{ ...name, head: 2 ** 50 }]));
    const line = { ...name, have: 5, floor: 0, count: 0, digest: 0n };
    a.handleMessage(cluster.now, 'b', encodeSync({ id: 1, scope: 0, flags: i & 1, lines: [line] }));
    cluster.run(100);
  }
  test.equal(a.epoch, began);
  test.notOk(a.counters().has('renumbered'));
});

void t.test('withdrawn interest takes back what we said there', async (test) => {
  const cluster = three();
  putMac(cluster, 'a', MAC);
  cluster.run(100);
  cluster.state('a').delete(cluster.now, 0, TABLE.interest, interestKey(VNI));
  cluster.run(100);
  test.same(owners(cluster.state('b'), MAC), []);
  test.same([...cluster.state('b').interested(VNI)].sort(), ['b', 'c']);
  test.same([...cluster.state('a').interests()], []);
  test.equal([...cluster.state('a').records(VNI, TABLE.endpoint)].length, 0);
});

void t.test('a missed day: tombstones are gone, a snapshot mends', async (test) => {
  const cluster = three();
  for (let i = 0; i < 100; i++) putMac(cluster, 'a', MAC + i);
  cluster.run(1_000);
  cluster.cut('a', 'b');
  cluster.cut('c', 'b');
  for (let i = 0; i < 50; i++) cluster.state('a').delete(cluster.now, VNI, TABLE.endpoint, macKey(MAC + i));
  cluster.run(1_200_000);
  test.equal([...cluster.state('b').records(VNI, TABLE.endpoint)].length, 0, 'hidden meanwhile');
  cluster.heal();
  cluster.run(5_000);
  test.equal([...cluster.state('b').records(VNI, TABLE.endpoint)].length, 50);
  test.equal(cluster.state('b').root(VNI), cluster.state('a').root(VNI));
});

void t.test('limits are errors at the write', async (test) => {
  const cluster = new Cluster(1, { recordsPerLog: 3 });
  const a = cluster.start('a');
  test.throws(() => a.put(1, 0, TABLE.vtep, new Uint8Array(65), new Uint8Array(0)), RangeError);
  test.throws(() => a.put(1, 0, TABLE.vtep, new Uint8Array(1), new Uint8Array(1_025)), RangeError);
  a.put(1, 0, TABLE.vtep, new Uint8Array(64), new Uint8Array(1_024));
  a.put(1, 0, TABLE.vtep, new Uint8Array(1), new Uint8Array(0));
  a.put(1, 0, TABLE.vtep, new Uint8Array(2), new Uint8Array(0));
  test.throws(() => a.put(1, 0, TABLE.vtep, new Uint8Array(3), new Uint8Array(0)), RangeError);
  test.throws(() => new Cluster(1).start(''), RangeError);
});
