/** Long transfers: rate, bounds, writes in between, servers that are busy, and the mending of corruption. */
import t from 'tap';
import { TABLE } from '../../../proto/state/interface.ts';
import { fromHex, toHex } from '../../../proto/state/bytes.ts';
import { encodeUpdate } from '../../../proto/state/messages.ts';
import { Outbox, URGENCY } from '../../../proto/state/outbox.ts';
import { encodeEndpoint } from '../../../proto/state/values/endpoint.ts';
import { macKey, macKeyHex } from '../../../proto/state/values/mac.ts';
import { Cluster } from './cluster.ts';

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

void t.test('a forged record under a real version is found and mended by the owner', async (test) => {
  const cluster = new Cluster(3, { syncIntervalMs: 3_000 });
  cluster.pushPullMs = 3_000;
  for (const name of ['a', 'b', 'c']) cluster.start(name, [VNI]);
  cluster.meet();
  put(cluster, 'a', 1);
  cluster.run(40_000);
  const key = macKey(2);
  const forged = {
    table: TABLE.endpoint,
    key,
    keyHex: macKeyHex(2),
    value: fromHex('05'),
    tombstone: false,
    epoch: cluster.state('a').epoch,
    seq: 3,
    hlc: 1n,
    bornMs: 0,
    mark: 0,
  };
  const name = { scope: VNI, owner: 'a', epoch: forged.epoch };
  // The log of a holds MAC 1 and the marker; the next real write is number 3.
  put(cluster, 'a', 2);
  const lie = encodeUpdate({ ...name, from: 2, to: 3, records: [forged] });
  cluster.state('b').handleMessage(cluster.now, 'c', lie);
  test.equal(toHex(cluster.state('b').claims(VNI, TABLE.endpoint, macKeyHex(2))[0]!.value), '05');
  cluster.run(60_000);
  test.same(cluster.state('b').claims(VNI, TABLE.endpoint, macKeyHex(2))[0]?.value, VALUE);
  test.ok(agree(cluster));
  const divergence = [...cluster.hosts.values()].filter((h) => h.state.counters().has('divergence'));
  test.ok(divergence.length > 0, 'and it is counted');
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
