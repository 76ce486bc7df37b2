/** Long transfers: rate, bounds, writes in between, servers that are busy, and the mending of corruption. */
import t from 'tap';
import { TABLE } from '../../../proto/state/interface.ts';
import {
  DELTA_FLAG,
  decodeMessage,
  encodeDelta,
  encodePull,
  encodeUpdate,
} from '../../../proto/state/messages.ts';
import { Outbox, URGENCY } from '../../../proto/state/outbox.ts';
import { encodeEndpoint } from '../../../proto/state/values/endpoint.ts';
import { macKey } from '../../../proto/state/values/mac.ts';
import { Cluster } from './cluster.ts';
import { fakeSigner } from './fake-identity.ts';

const VNI = 7;
const VALUE = encodeEndpoint({ mobility: 0, ips: ['10.0.0.1'], flags: 0, name: 'web' });

const put = (cluster: Cluster, host: string, mac: number, value = VALUE): void =>
  cluster.state(host).put(cluster.now, VNI, TABLE.endpoint, macKey(mac), value);

const count = (cluster: Cluster, host: string): number =>
  [...cluster.state(host).records(VNI, TABLE.endpoint)].length;

const agree = (cluster: Cluster): boolean =>
  new Set([...cluster.hosts.values()].map(({ state }) => `${state.root(0)} ${state.root(VNI)}`)).size === 1;

void t.test(
  'a joiner gets 20,000 records at the given rate, while the owner goes on writing',
  async (test) => {
    const cluster = new Cluster(1, { rateBytes: 200_000, burstBytes: 50_000 });
    for (const name of ['a', 'b']) cluster.start(name, [VNI]);
    for (let m = 1; m <= 20_000; m++) put(cluster, 'a', m);
    cluster.meet();
    cluster.run(60_000);
    test.equal(count(cluster, 'b'), 20_000);
    cluster.start('c', [VNI]);
    cluster.meet();
    const began = cluster.now;
    const before = cluster.sent.bytes;
    for (let i = 1; i <= 200; i++) {
      cluster.run(50);
      put(cluster, 'a', 100_000 + i);
      cluster.state('a').delete(cluster.now, VNI, TABLE.endpoint, macKey(i * 50));
    }
    for (let i = 0; i < 40 && !agree(cluster); i++) cluster.run(1_000);
    test.equal(count(cluster, 'c'), 20_000);
    test.ok(agree(cluster), `after ${cluster.now - began} ms`);
    // Three senders may each use their rate; the joiner's share is one copy, not three.
    test.ok(cluster.sent.bytes - before < 3_000_000, `${cluster.sent.bytes - before} bytes`);
    for (const { state } of cluster.hosts.values()) test.notOk(state.counters().has('divergence'));
  },
);

void t.test('many joiners at once: busy servers send some away, and all arrive', async (test) => {
  const cluster = new Cluster(2, { rateBytes: 100_000, burstBytes: 20_000 });
  for (const name of ['a', 'b']) cluster.start(name, [VNI]);
  cluster.meet();
  for (let m = 1; m <= 3_000; m++) put(cluster, 'a', m);
  cluster.run(30_000);
  for (let i = 0; i < 12; i++) cluster.start(`j${i}`, [VNI]);
  cluster.meet();
  cluster.run(60_000);
  test.ok(agree(cluster));
  const busy = [...cluster.hosts.values()].reduce(
    (sum, h) => sum + (h.state.counters().get('in:busy') ?? 0),
    0,
  );
  test.ok(busy > 0, `${busy} times busy`);
});

void t.test(
  'what is kept back is missed by the digest that the owner signed, and had from it',
  async (test) => {
    const cluster = new Cluster(3);
    for (const name of ['a', 'b', 'c']) cluster.start(name, [VNI]);
    cluster.meet();
    put(cluster, 'a', 1);
    cluster.run(40_000);
    cluster.cuts.add('a>b');
    for (const mac of [2, 3, 4]) {
      put(cluster, 'a', mac);
      cluster.state('a').handleDeadline(cluster.now + 25);
      cluster.run(50);
    }
    cluster.cuts.clear();
    // c tells b of the last block alone, as if nothing else of a's log were current.
    const log = { scope: VNI, owner: 'a', epoch: cluster.state('a').epoch };
    const c = cluster.state('c');
    c.handleMessage(cluster.now, 'b', encodePull(log, 4));
    const last = decodeMessage(c.pollTransmit()!.bytes, 0);
    if (last.kind !== 'update') throw new Error(`${last.kind} for a PULL`);
    cluster.state('b').handleMessage(cluster.now, 'c', encodeUpdate({ ...last.update, from: 0 }));
    test.equal(count(cluster, 'b'), 2);
    cluster.run(3_000);
    test.equal(count(cluster, 'b'), 4);
    test.equal(cluster.state('b').counters().get('withheld'), 1);
    test.ok(agree(cluster));
  },
);

void t.test('only its owner may say that a log has less than we have', async (test) => {
  const cluster = new Cluster(3);
  for (const name of ['a', 'b', 'c']) cluster.start(name, [VNI]);
  cluster.meet();
  for (let mac = 1; mac <= 3; mac++) put(cluster, 'a', mac);
  cluster.run(40_000);
  const b = cluster.state('b');
  const log = { scope: VNI, owner: 'a', epoch: cluster.state('a').epoch };
  const c = cluster.state('c');
  c.handleMessage(cluster.now, 'b', encodePull(log, 3));
  const last = decodeMessage(c.pollTransmit()!.bytes, 0);
  if (last.kind !== 'update') throw new Error(`${last.kind} for a PULL`);
  const snapshot = { ...last.update, from: 0 };
  for (const manifest of [undefined, new Uint8Array(64), fakeSigner('c').sign(new Uint8Array(9))])
    b.handleMessage(cluster.now, 'c', encodeDelta(snapshot, DELTA_FLAG.snapshot | DELTA_FLAG.last, manifest));
  test.equal(count(cluster, 'b'), 3);
  cluster.run(10_000);
  test.equal(count(cluster, 'b'), 3);
  test.equal(b.counters().get('refused:manifest'), 2);
});

void t.test('a log that is rewritten for ever keeps few signatures', async (test) => {
  const cluster = new Cluster(4);
  for (const name of ['a', 'b']) cluster.start(name, [VNI]);
  cluster.meet();
  for (let mac = 1; mac <= 500; mac++) put(cluster, 'a', mac);
  cluster.run(1_000);
  // Every block keeps one record that is never written again.
  for (let round = 1; round <= 400; round++) {
    for (let i = 0; i < 30; i++) {
      const mac = i === 0 ? round : 400 + ((round * 30 + i) % 100);
      put(
        cluster,
        'a',
        mac,
        encodeEndpoint({ mobility: round, ips: ['10.0.0.1'], flags: 0, name: `${round}` }),
      );
    }
    cluster.run(25);
  }
  cluster.run(5_000);
  test.ok(agree(cluster));
  cluster.start('c', [VNI]);
  cluster.meet();
  const before = cluster.sent.reliableBytes;
  cluster.run(5_000);
  test.ok(agree(cluster));
  test.equal(count(cluster, 'c'), 500);
  const bytes = cluster.sent.reliableBytes - before;
  test.ok(bytes < 250_000, `${bytes} bytes for 500 records and the hashes around them`);
});

void t.test('the outbox keeps its rate, its order of urgency and its bounds', async (test) => {
  let dropped = 0;
  const outbox = new Outbox(1_000, 500, () => dropped++);
  const send = (urgency: 0 | 1 | 2, to: string, bytes: number): void =>
    outbox.send(urgency, to, new Uint8Array(bytes), false);
  const drain = (): string[] => {
    const taken = [];
    for (let m = outbox.poll(); m !== undefined; m = outbox.poll()) taken.push(m.to);
    return taken;
  };
  send(URGENCY.relay, 'relay', 460);
  send(URGENCY.own, 'own', 460);
  send(URGENCY.control, 'control', 460);
  outbox.release(0);
  test.same(drain(), ['control'], 'the burst is used up');
  test.equal(outbox.nextDeadline(0), 1);
  outbox.release(1);
  test.same(drain(), ['own'], 'a message may go into debt');
  test.equal(outbox.nextDeadline(1), 501);
  outbox.release(500);
  test.same(drain(), []);
  outbox.release(501);
  test.same(drain(), ['relay']);
  test.equal(outbox.nextDeadline(501), Infinity);
  for (let i = 0; i < 20; i++) send(URGENCY.relay, 'relay', 1 << 20);
  test.equal(dropped, 16, 'four mebibytes wait at most');
});
