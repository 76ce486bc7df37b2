import t from 'tap';
import { Cluster, macOf } from '../../bench/gossip/cluster.ts';
import { percentile } from '../../bench/gossip/figure.ts';
import { renderGossipPicture, renderGossipTable } from '../../bench/gossip/report.ts';
import type { GossipResult } from '../../bench/gossip/report.ts';

const RESULT: GossipResult = {
  schema: 1,
  date: '2026-11-22',
  seed: 1,
  settings: {},
  parts: {
    x: [
      { id: 'a', title: 'quick & good', unit: 'ms', value: 21, target: 50 },
      { id: 'b', title: 'too much', unit: 'B', value: 6_864_000, target: 6_000_000 },
      { id: 'c', title: 'never came', unit: 's', value: Infinity, target: 10 },
      { id: 'd', title: 'no target', unit: 'B/s', value: 422.4 },
    ],
  },
};

void t.test('the report says what was met, missed and never came', async (test) => {
  const rows = renderGossipTable(RESULT).split('\n');
  const row = (title: string): string => rows.find((line) => line.includes(title)) ?? '';
  test.match(row('quick & good'), /21 ms .* 50 ms .* met/);
  test.match(row('too much'), /6\.86 MB .* 6 MB .* MISSED/);
  test.match(row('never came'), /never .* MISSED/);
  test.match(row('no target'), /422 B\/s/);
  const picture = renderGossipPicture(RESULT);
  test.match(picture, /quick &amp; good/);
  test.notMatch(picture, /no target|NaN|Infinity/);
  test.equal(picture.match(/class="missed"/g)?.length, 2);
  test.equal(percentile([3, 1, 2], 0.5), 2);
  test.equal(percentile([1, 2, 3, Infinity], 0.99), Infinity);
});

void t.test('a cluster of the bench has converged, stays so, and passes news on', async (test) => {
  for (const hosts of [10, 40]) {
    const cluster = new Cluster({ seed: 3, hosts, endpoints: 2 });
    test.ok(cluster.agree());
    cluster.sim.run(20_000);
    test.ok(cluster.agree());
    let seen = 0;
    for (const { layer } of cluster.hosts) layer.onChange = () => (seen += 1);
    cluster.put(cluster.hosts[3]!, macOf(3, 9));
    cluster.sim.run(1_000);
    test.equal(seen, hosts);
    test.ok(cluster.agree());
    for (const { layer, node } of cluster.hosts) {
      test.equal(layer.state.counters().get('divergence') ?? 0, 0);
      test.equal(node.alive().length, hosts);
    }
  }
});
