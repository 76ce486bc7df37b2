/**
 * The promises of gossip.md 7.10 under random work and a bad network: convergence, no resurrection, no harm across
 * owners, whatever is lost, doubled, reordered, crashed or cut off. Seeds are printed on failure.
 */
import * as fc from 'fast-check';
import t from 'tap';
import { TABLE } from '../../../proto/state/interface.ts';
import { encodeEndpoint } from '../../../proto/state/values/endpoint.ts';
import { macKey } from '../../../proto/state/values/mac.ts';
import { toHex } from '../../../proto/state/bytes.ts';
import { Cluster } from './cluster.ts';

const VNI = 7;
const NAMES = ['a', 'b', 'c', 'd', 'e'];

type Step =
  | { op: 'put'; host: number; mac: number; mobility: number }
  | { op: 'delete'; host: number; mac: number }
  | { op: 'run'; ms: number }
  | { op: 'crash'; host: number }
  | { op: 'leave'; host: number }
  | { op: 'restart'; host: number }
  | { op: 'cut'; host: number; other: number }
  | { op: 'heal' };

const host = fc.nat({ max: NAMES.length - 1 });
const mac = fc.integer({ min: 1, max: 12 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ op: fc.constant('put' as const), host, mac, mobility: fc.nat({ max: 3 }) }),
  },
  { weight: 5, arbitrary: fc.record({ op: fc.constant('delete' as const), host, mac }) },
  {
    weight: 6,
    arbitrary: fc.record({ op: fc.constant('run' as const), ms: fc.integer({ min: 1, max: 4_000 }) }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('crash' as const), host }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('leave' as const), host }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('restart' as const), host }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('cut' as const), host, other: host }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('heal' as const) }) },
);

/** What each owner says now, by its own account: the truth that all must come to. */
type Truth = Map<string, Map<number, string>>;

function play(cluster: Cluster, truth: Truth, s: Step): void {
  switch (s.op) {
    case 'run':
      return cluster.run(s.ms);
    case 'heal':
      return cluster.heal();
    case 'cut':
      if (s.host !== s.other && bothUp(cluster, s)) cluster.cut(NAMES[s.host]!, NAMES[s.other]!);
      return undefined;
    default:
  }
  const name = NAMES[s.host]!;
  const up = cluster.hosts.get(name)!.alive;
  if (s.op === 'restart') {
    if (!up) restart(cluster, truth, name);
  } else if (!up) {
    return undefined;
  } else if (s.op === 'crash' || s.op === 'leave') {
    cluster[s.op](name);
    truth.delete(name);
  } else if (s.op === 'put') {
    const value = encodeEndpoint({ mobility: s.mobility, ips: [], flags: 0, name: '' });
    cluster.state(name).put(cluster.now, VNI, TABLE.endpoint, macKey(s.mac), value);
    truth.get(name)!.set(s.mac, toHex(value));
  } else {
    cluster.state(name).delete(cluster.now, VNI, TABLE.endpoint, macKey(s.mac));
    truth.get(name)!.delete(s.mac);
  }
  return undefined;
}

const bothUp = (cluster: Cluster, s: { host: number; other: number }): boolean =>
  cluster.hosts.get(NAMES[s.host]!)!.alive && cluster.hosts.get(NAMES[s.other]!)!.alive;

function restart(cluster: Cluster, truth: Truth, name: string): void {
  cluster.start(name, [VNI]);
  truth.set(name, new Map());
  // Whom it meets now; those across a cut do not know.
  for (const other of cluster.hosts.values()) {
    if (other.name === name || !other.alive || cluster.cuts.has(`${name}>${other.name}`)) continue;
    other.state.handleMemberAlive(cluster.now, name, cluster.state(name).epoch);
    cluster.state(name).handleMemberAlive(cluster.now, other.name, other.state.epoch);
  }
}

function seen(cluster: Cluster, name: string): Map<string, string> {
  const records = new Map<string, string>();
  for (const { owner, key, value } of cluster.state(name).records(VNI, TABLE.endpoint)) {
    records.set(`${owner} ${toHex(key)}`, toHex(value));
  }
  return records;
}

function expected(truth: Truth): Map<string, string> {
  const records = new Map<string, string>();
  for (const [owner, macs] of truth) {
    for (const [m, value] of macs) records.set(`${owner} ${toHex(macKey(m))}`, value);
  }
  return records;
}

function converges(seed: number, loss: number, steps: readonly Step[]): void {
  const cluster = new Cluster(seed);
  Object.assign(cluster.faults, { loss, streamLoss: loss / 2, duplicate: 0.1, latencyMs: 5, jitterMs: 120 });
  const truth: Truth = new Map();
  for (const name of NAMES) {
    cluster.start(name, [VNI]);
    truth.set(name, new Map());
  }
  cluster.meet();
  for (const s of steps) play(cluster, truth, s);
  cluster.heal();
  cluster.faults.streamLoss = 0;
  // Longer than holds, markers and a few sync intervals: everything that is to happen has happened.
  cluster.run(180_000);
  const live = NAMES.filter((name) => cluster.hosts.get(name)!.alive);
  const want = expected(truth);
  for (const name of live) {
    const got = seen(cluster, name);
    for (const [key, value] of want) {
      if (got.get(key) !== value) throw new Error(`${name} has ${key} = ${got.get(key)}, not ${value}`);
    }
    for (const key of got.keys()) if (!want.has(key)) throw new Error(`${name} has ${key}, which is gone`);
    for (const scope of [0, VNI]) {
      const [mine, first] = [cluster.state(name).root(scope), cluster.state(live[0]!).root(scope)];
      if (mine !== first) throw new Error(`roots of scope ${scope} differ: ${name} and ${live[0]}`);
    }
    if ((cluster.state(name).counters().get('divergence') ?? 0) > 0) throw new Error(`${name} diverged`);
  }
}

void t.test('replicas converge on what the owners say, whatever the network does', async (test) => {
  const property = fc.property(
    fc.integer(),
    fc.constantFrom(0, 0.05, 0.4),
    fc.array(step, { minLength: 5, maxLength: 60 }),
    converges,
  );
  fc.assert(property, { seed: 20_261_122, numRuns: 60 });
  test.pass();
});

void t.test('no resurrection: nothing that a replica saw deleted is visible there again', async (test) => {
  const cluster = new Cluster(5);
  Object.assign(cluster.faults, { loss: 0.3, duplicate: 0.3, latencyMs: 5, jitterMs: 500 });
  for (const name of NAMES) cluster.start(name, [VNI]);
  cluster.meet();
  const a = cluster.state('a');
  const value = encodeEndpoint({ mobility: 0, ips: [], flags: 0, name: '' });
  for (let m = 1; m <= 200; m++) a.put(cluster.now, VNI, TABLE.endpoint, macKey(m), value);
  cluster.run(20_000);
  for (const name of NAMES) {
    test.equal([...cluster.state(name).records(VNI, TABLE.endpoint)].length, 200, 'all have all before');
  }
  for (let m = 1; m <= 200; m++) a.delete(cluster.now, VNI, TABLE.endpoint, macKey(m));
  const gone = new Map(NAMES.map((name) => [name, new Set<string>()]));
  for (let i = 0; i < 200; i++) {
    cluster.run(50);
    for (const name of NAMES) {
      const visible = new Set([...cluster.state(name).records(VNI, TABLE.endpoint)].map((r) => toHex(r.key)));
      for (let m = 1; m <= 200; m++) {
        const key = toHex(macKey(m));
        if (!visible.has(key)) gone.get(name)!.add(key);
        else if (gone.get(name)!.has(key)) test.fail(`${key} is back at ${name}`);
      }
    }
  }
  for (const name of NAMES) test.equal(gone.get(name)!.size, 200);
});
