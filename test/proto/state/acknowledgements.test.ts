/** Updates to few are acknowledged and repeated to who has not said that it has them: a MAC's move is not late (3.7). */
import t from 'tap';
import { TABLE } from '../../../proto/state/interface.ts';
import { KIND } from '../../../proto/state/messages.ts';
import { Cluster } from './cluster.ts';

const VNI = 4_096;
const KEY = Uint8Array.of(2, 0, 0, 0, 0, 1);

/** Messages by kind that arrived in the last `run`. */
function counting(cluster: Cluster): (ms: number) => Record<'update' | 'heads' | 'pull', number> {
  const counts = new Map<number, number>();
  cluster.onDelivery = (bytes) => counts.set(bytes[2]!, (counts.get(bytes[2]!) ?? 0) + 1);
  return (ms) => {
    counts.clear();
    cluster.run(ms);
    const of = (kind: number): number => counts.get(kind) ?? 0;
    return { update: of(KIND.update), heads: of(KIND.heads), pull: of(KIND.pull) };
  };
}

function trio(): Cluster {
  const cluster = new Cluster(3);
  for (const name of ['a', 'b', 'c']) cluster.start(name, [VNI]);
  cluster.meet();
  cluster.run(60_000);
  return cluster;
}

const has = (cluster: Cluster, name: string): boolean =>
  [...cluster.state(name).records(VNI, TABLE.endpoint)].length === 1;

void t.test('who has acknowledged hears no more of it', (test) => {
  const cluster = trio();
  const run = counting(cluster);
  cluster.state('a').put(cluster.now, VNI, TABLE.endpoint, KEY, Uint8Array.of(1));
  test.same(
    run(15_000),
    { update: 2, heads: 2, pull: 0 },
    'one update and one acknowledgement for each peer',
  );
  test.end();
});

void t.test('who has not gets the update again soon, then heads for ten seconds', (test) => {
  const cluster = trio();
  const run = counting(cluster);
  cluster.cuts.add('a>c');
  cluster.state('a').put(cluster.now, VNI, TABLE.endpoint, KEY, Uint8Array.of(1));
  test.same(run(600), { update: 1, heads: 1, pull: 0 });
  cluster.cuts.clear();
  test.same(run(300), { update: 1, heads: 1, pull: 0 }, 'the fifth time, and now it is through');
  test.ok(has(cluster, 'c'));
  cluster.cuts.add('c>a');
  cluster.state('a').put(cluster.now, VNI, TABLE.endpoint, KEY, Uint8Array.of(2));
  const { update, heads } = run(15_000);
  test.equal(update, 2 + 5, 'an acknowledgement that is lost costs repeats, a bounded number of them');
  test.ok(heads >= 9 && heads <= 12, `${heads} heads`);
  test.end();
});

void t.test('an acknowledgement for less than all does not count', (test) => {
  const cluster = trio();
  cluster.state('a').put(cluster.now, VNI, TABLE.endpoint, KEY, Uint8Array.of(1));
  cluster.run(100);
  cluster.cuts.add('a>c');
  cluster.state('a').put(cluster.now, VNI, TABLE.endpoint, Uint8Array.of(9), Uint8Array.of(1));
  cluster.run(300);
  cluster.cuts.clear();
  cluster.run(700);
  test.equal(cluster.state('c').root(VNI), cluster.state('a').root(VNI));
  test.end();
});
