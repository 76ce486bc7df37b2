import { below } from '../../proto/rng.ts';
import { GOOD_LINK } from './network.ts';
import { scenario } from './scenario.ts';
import type { SimNode } from './sim-node.ts';
import type { Simulation } from './simulation.ts';

/**
 * Three minutes of everything that can happen to nine hosts, decided by the seed; then all is mended, and all must agree
 * again in time. Whatever happens, no member may ever be wrong about itself.
 */
const HOSTS = 9;
const SEEDS = [
  { ip: '10.0.0.1', port: 7946 },
  { ip: '10.0.0.2', port: 7946 },
];

function mishap(sim: Simulation, nodes: readonly SimNode[], dice: () => number): void {
  const node = nodes[dice() % HOSTS] as SimNode;
  const other = nodes[dice() % HOSTS] as SimNode;
  switch (dice() % 9) {
    case 0:
      node.crash();
      break;
    case 1:
      if (!node.isRunning) node.start();
      break;
    case 2:
      if (node.isRunning) node.pause();
      break;
    case 3:
      if (node.isRunning) node.resume();
      break;
    case 4:
      sim.network.cut(node.addr.ip, other.addr.ip);
      break;
    case 5: {
      const ips = nodes.map(({ addr }) => addr.ip);
      const at = 1 + (dice() % (HOSTS - 1));
      sim.network.partition([ips.slice(0, at), ips.slice(at)]);
      break;
    }
    case 6:
      sim.network.heal();
      break;
    case 7:
      if (node.isRunning) node.do((swim, now) => swim.setMeta(now, Uint8Array.of(dice() % 256)));
      break;
    default: {
      const loss = (dice() % 20) / 100;
      sim.network.faults = {
        ...GOOD_LINK,
        loss,
        duplicate: loss,
        reorder: loss,
        chunkBytes: 1 + (dice() % 1400),
      };
    }
  }
}

function mendAll(sim: Simulation, nodes: readonly SimNode[]): void {
  sim.network.heal();
  sim.network.faults = GOOD_LINK;
  for (const node of nodes) {
    if (node.isRunning) node.resume();
    else node.start();
  }
}

const seeds = Array.from({ length: 8 }, (_, i) => 100 + i);
scenario('after three minutes of mishaps all agree again', seeds, (test, sim) => {
  const nodes = sim.addNodes(HOSTS, { seeds: SEEDS });
  const rng = sim.rng.fork('mishaps');
  const dice = (): number => below(rng, 1_000_000);
  while (sim.now < 180_000) {
    sim.run(500 + (dice() % 5000));
    mishap(sim, nodes, dice);
  }
  mendAll(sim, nodes);
  const names = nodes.map(({ name }) => name).sort();
  const agree = (): boolean => nodes.every((node) => node.alive().join() === names.join());
  const startMs = sim.now;
  test.ok(sim.runUntil(agree, 120_000, 20), `agreed after ${Math.round(sim.now - startMs)} ms`);
  sim.run(60_000);
  test.ok(agree(), 'and stay so');
  for (const node of nodes) {
    const { meta } = node.swim.self;
    test.equal(node.swim.self.state, 'alive');
    for (const other of nodes)
      test.same(other.swim.member(node.name)?.meta, meta, 'the same meta everywhere');
  }
});
