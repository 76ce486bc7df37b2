import { GOOD_LINK } from './network.ts';
import { scenario } from './scenario.ts';
import type { SimNode } from './sim-node.ts';
import { addHost, agree, layerOf, learn } from './state-layer.ts';

/** More than 32 interested hosts: news no longer goes to each directly (gossip.md 7.5). */
const MAC = 0x02_00_00_00_00_01;

const allRoute = (nodes: readonly SimNode[], to: SimNode): boolean =>
  nodes.every((node) => layerOf(node).route(MAC) === (node === to ? 'local' : to.addr.ip));

scenario('40 hosts: news by epidemic reaches all within a second', [1], (test, sim) => {
  const nodes = Array.from({ length: 40 }, () => addHost(sim));
  const isFormed = (): boolean =>
    agree(nodes) && nodes.every((node) => layerOf(node).flood().length === nodes.length - 1);
  // Looked at every half second: the look costs more than the protocol.
  for (let i = 0; i < 60 && !isFormed(); i++) sim.run(500);
  test.ok(isFormed(), `all agree at ${sim.now} ms`);
  sim.network.faults = { ...GOOD_LINK, loss: 0.02 };
  learn(nodes[7]!, MAC);
  const began = sim.now;
  test.ok(
    sim.runUntil(() => allRoute(nodes, nodes[7]!), 1_000),
    'within a second',
  );
  test.comment(`all know after ${sim.now - began} ms`);
});
