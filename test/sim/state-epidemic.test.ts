import { GOOD_LINK } from './network.ts';
import { scenario } from './scenario.ts';
import type { SimNode } from './sim-node.ts';
import { addHost, agree, layerOf, learn, leaveByHand } from './state-layer.ts';

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

scenario('40 hosts: who left by hand and joins again is back with all it has', [1], (test, sim) => {
  const nodes = Array.from({ length: 40 }, () => addHost(sim));
  const guest = nodes[9]!;
  sim.run(10_000);
  learn(guest, MAC);
  test.ok(sim.runUntil(() => allRoute(nodes, guest), 5_000, 100));
  leaveByHand(guest);
  test.ok(sim.runUntil(() => layerOf(nodes[3]!).route(MAC) === undefined, 5_000, 100));
  sim.run(10_000);
  // As the agent does it: to the others its records went with it.
  guest.do((_swim, now) => layerOf(guest).state.renew(now));
  guest.join(nodes[1]!.addr.ip);
  test.ok(
    sim.runUntil(() => allRoute(nodes, guest), 10_000, 100),
    'within 10 s',
  );
});
