import { below, shuffle } from '../../proto/rng.ts';
import { scenario } from './scenario.ts';
import type { SimNode } from './sim-node.ts';
import type { Simulation } from './simulation.ts';
import { addHost, agree, layerOf, learn } from './state-layer.ts';

/** Split clusters become one again, with equal state, soon after the network allows it (gossip.md 7.9). */
const MAC = 0x02_00_00_00_00_01;
const SECOND = 1000;
const HOUR = 3600 * SECOND;

const ipsOf = (nodes: readonly SimNode[]): string[] => nodes.map(({ addr }) => addr.ip);

/** Everybody is a member for everybody. */
const isOne = (nodes: readonly SimNode[]): boolean =>
  nodes.every((node) => node.swim.upCount === nodes.length);

/** And all hold the same records. */
const isWhole = (nodes: readonly SimNode[]): boolean => isOne(nodes) && agree(nodes);

function cluster(sim: Simulation, count: number): SimNode[] {
  const nodes = Array.from({ length: count }, () => addHost(sim));
  nodes.forEach((node, i) => learn(node, MAC + i));
  sim.run(10 * SECOND);
  return nodes;
}

/** Splits at random for `ms`, lets both sides live, and gives the time from reconnection to one cluster. */
function splitAndHeal(sim: Simulation, nodes: readonly SimNode[], ms: number): number {
  const shuffled = [...nodes];
  shuffle(sim.rng.fork(`split ${ms}`), shuffled);
  const at = 1 + below(sim.rng.fork(`at ${ms}`), nodes.length - 1);
  sim.network.partition([ipsOf(shuffled.slice(0, at)), ipsOf(shuffled.slice(at))]);
  sim.run(ms / 2);
  for (const [i, node] of nodes.entries()) learn(node, MAC + 1000 + (ms % 997) * 100 + i);
  sim.run(ms / 2);
  sim.network.heal();
  const began = sim.now;
  return sim.runUntil(() => isWhole(nodes), 60 * SECOND, 50) ? sim.now - began : Infinity;
}

scenario('any split of a second to an hour is healed within 10 s', [1, 2], (test, sim) => {
  const nodes = cluster(sim, 8);
  for (const seconds of [1, 3, 7, 13, 25, 45, 100, 600, 3600]) {
    const healMs = splitAndHeal(sim, nodes, seconds * SECOND);
    test.ok(healMs <= 10 * SECOND, `${seconds} s apart, whole after ${Math.round(healMs)} ms`);
    sim.run(20 * SECOND);
    test.ok(isWhole(nodes), 'and stays so');
  }
});

scenario('a split of a day is healed within 10 s', [1], (test, sim) => {
  const nodes = cluster(sim, 3);
  const healMs = splitAndHeal(sim, nodes, 24 * HOUR);
  test.ok(healMs <= 10 * SECOND, `whole after ${Math.round(healMs)} ms`);
});

scenario('all seeds are down for an hour, and come back in any order', [1, 2], (test, sim) => {
  const nodes = cluster(sim, 7);
  const seeds = nodes.slice(0, 3);
  for (const seed of seeds) seed.crash();
  sim.run(HOUR);
  const order = [...seeds];
  shuffle(sim.rng.fork('order'), order);
  for (const seed of order) {
    seed.start();
    sim.run(below(sim.rng.fork(seed.name), 3000));
  }
  const began = sim.now;
  test.ok(
    sim.runUntil(() => isOne(nodes), 15 * SECOND, 50),
    `one cluster ${sim.now - began} ms after the last seed`,
  );
  // What the seeds wrote in their earlier lives stands until they have said everything again.
  test.ok(
    sim.runUntil(() => isWhole(nodes), 45 * SECOND, 50),
    'with equal state',
  );
  for (const [i, node] of nodes.slice(3).entries()) {
    test.equal(layerOf(seeds[0] as SimNode).route(MAC + 3 + i), node.addr.ip);
  }
});

scenario('a split shorter than the hold changes no row', [1, 2, 3], (test, sim) => {
  const nodes = cluster(sim, 6);
  sim.run(40 * SECOND);
  const rows = (): string => nodes.map((node) => layerOf(node).rows.lines().join()).join();
  const before = rows();
  sim.network.partition([ipsOf(nodes.slice(0, 2)), ipsOf(nodes.slice(2))]);
  let changes = 0;
  for (let i = 0; i < 300; i++) {
    if (i === 30) sim.network.heal();
    sim.run(SECOND);
    if (rows() !== before) changes += 1;
  }
  test.equal(changes, 0, 'in 30 s of split and 4.5 min after');
});
