import { GOOD_LINK } from './network.ts';
import { scenario } from './scenario.ts';
import type { SimNode } from './sim-node.ts';
import { addHost, layerOf, learn } from './state-layer.ts';

/** A MAC that moves is followed soon whatever is lost, for every one of 200 seeds. */
const MAC = 0x02_00_00_00_00_01;
const LOSSY = { ...GOOD_LINK, latencyMs: 2, jitterMs: 3, loss: 0.1, duplicate: 0.05, reorder: 0.05 };
const seeds = Array.from({ length: 200 }, (_, i) => i + 1);

function allRoute(nodes: readonly SimNode[], to: SimNode): boolean {
  return nodes.every((node) => layerOf(node).route(MAC) === (node === to ? 'local' : to.addr.ip));
}

scenario('a MAC that moves is followed within a second at 10 % loss', seeds, (test, sim) => {
  const nodes = Array.from({ length: 8 }, () => addHost(sim));
  sim.run(5_000);
  sim.network.faults = LOSSY;
  learn(nodes[0]!, MAC, '10.42.0.2');
  sim.run(5_000);
  let slowestMs = 0;
  for (const to of nodes.slice(1, 5)) {
    learn(to, MAC);
    const began = sim.now;
    test.ok(
      sim.runUntil(() => allRoute(nodes, to), 1_000),
      `to ${to.name}`,
    );
    slowestMs = Math.max(slowestMs, sim.now - began);
    sim.run(2_000);
    test.ok(allRoute(nodes, to), 'and it stays');
  }
  test.comment(`slowest move: ${Math.round(slowestMs)} ms`);
});
