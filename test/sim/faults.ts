import { z } from 'zod';
import { below } from '../../proto/rng.ts';
import { GOOD_LINK } from './network.ts';
import type { SimNode } from './sim-node.ts';
import type { Simulation } from './simulation.ts';

/**
 * What can go wrong in a simulated cluster (gossip.md 8.2), by name, and a mixer that lets it go wrong at random: each
 * fault begins at a seeded moment, lasts a seeded time and is mended.
 */
export const FAULTS = {
  /** Datagrams are lost, doubled, late; streams come in small pieces. */
  link: 'loss, duplication, reordering and jitter on all links',
  bytes: 'a bit of some datagrams is flipped',
  mtu: 'datagrams above 600 bytes do not pass',
  streams: 'streams are refused',
  cut: 'one host does not hear another',
  partition: 'two groups do not hear each other',
  crash: 'a host dies and starts again',
  pause: 'a host stands still',
  slow: 'a host runs 50 ms of every half second',
} as const;

export type FaultName = keyof typeof FAULTS;
const names = Object.keys(FAULTS) as [FaultName, ...FaultName[]];
export const faultNameSchema = z.enum(names);

/** A fault now; gives how to mend it. */
export function inject(sim: Simulation, fault: FaultName, dice: () => number): () => void {
  const { nodes, network } = sim;
  const pick = (): SimNode => nodes[dice() % nodes.length] as SimNode;
  const node = pick();
  const ips = nodes.map(({ addr }) => addr.ip);
  switch (fault) {
    case 'link': {
      const loss = (dice() % 25) / 100;
      // Single bytes are dear to simulate and rare in the field: now and then.
      const chunkBytes = dice() % 20 === 0 ? 1 : 100 + (dice() % 1400);
      const jitterMs = dice() % 40;
      network.faults = { ...network.faults, loss, duplicate: loss, reorder: loss, chunkBytes, jitterMs };
      return () => {
        const { refuseStreams, maxBytes, flip } = network.faults;
        network.faults = { ...GOOD_LINK, refuseStreams, maxBytes, flip };
      };
    }
    case 'bytes':
      network.faults = { ...network.faults, flip: 0.05 };
      return () => {
        network.faults = { ...network.faults, flip: 0 };
      };
    case 'mtu':
      network.faults = { ...network.faults, maxBytes: 600 };
      return () => {
        network.faults = { ...network.faults, maxBytes: Infinity };
      };
    case 'streams':
      network.faults = { ...network.faults, refuseStreams: true };
      return () => {
        network.faults = { ...network.faults, refuseStreams: false };
      };
    case 'cut':
    case 'partition': {
      const at = 1 + (dice() % (ips.length - 1));
      const other = pick();
      if (fault === 'cut') network.cut(node.addr.ip, other.addr.ip);
      else network.partition([ips.slice(0, at), ips.slice(at)]);
      return () => network.heal();
    }
    case 'crash':
      node.crash();
      return () => {
        if (!node.isRunning) node.start();
      };
    case 'pause':
      if (node.isRunning) node.pause();
      return () => {
        if (node.isRunning) node.resume();
      };
    default:
      return runSlowly(sim, node);
  }
}

/** 50 ms of work, 450 ms of standing still, as a host that is starved of CPU. */
export function runSlowly(sim: Simulation, node: SimNode, workMs = 50, periodMs = 500): () => void {
  let isSlow = true;
  const turn = (): void => {
    if (!isSlow || !node.isRunning) return;
    node.pause();
    sim.after(periodMs - workMs, () => {
      if (node.isRunning) node.resume();
      sim.after(workMs, turn);
    });
  };
  turn();
  return () => {
    isSlow = false;
    if (node.isRunning) node.resume();
  };
}

/** Mishaps of these kinds until `untilMs`, then all is mended and everybody runs. */
export function mishaps(sim: Simulation, kinds: readonly FaultName[], untilMs: number): void {
  const rng = sim.rng.fork('mishaps');
  const dice = (): number => below(rng, 1_000_000);
  const next = (): void => {
    const lastsMs = 1000 + (dice() % 20_000);
    if (kinds.length === 0 || sim.now + lastsMs > untilMs) return;
    const mend = inject(sim, kinds[dice() % kinds.length] as FaultName, dice);
    sim.after(lastsMs, mend);
    sim.after(500 + (dice() % 10_000), next);
  };
  next();
  sim.after(untilMs - sim.now, () => mendAll(sim));
}

export function mendAll(sim: Simulation): void {
  sim.network.heal();
  sim.network.faults = GOOD_LINK;
  for (const node of sim.nodes) {
    if (node.isRunning) node.resume();
    else node.start();
  }
}
