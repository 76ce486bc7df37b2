import { z } from 'zod';
import { SecretKey } from '../../proto/keyring/secret-key.ts';
import { SeededRng, below } from '../../proto/rng.ts';
import { sha256 } from '../../agent/crypto/aes-gcm.ts';
import type { SimNode } from './sim-node.ts';
import type { Simulation } from './simulation.ts';
import { StormLayer } from './storm-host.ts';

/**
 * What can go wrong in a simulated cluster (gossip.md 8.2), by name. Each fault begins at a moment, lasts a while and is
 * mended; a script is a list of them, so that what failed can be repeated and made shorter.
 */
export const FAULTS = {
  link: 'loss, duplication, reordering and jitter on all links',
  bytes: 'a bit of some datagrams is flipped',
  mtu: 'datagrams above 600 bytes do not pass',
  bandwidth: 'a host sends 4 kB a second at most',
  streams: 'streams are refused',
  stall: 'streams open, and nothing of them arrives',
  halfclose: 'streams end in the middle of a message',
  bytewise: 'streams come in single bytes',
  cut: 'one host does not hear another',
  partition: 'two groups do not hear each other',
  crash: 'a host dies and starts again',
  wipe: 'a host dies and starts again without its disk',
  move: 'a host dies and starts again at another address',
  pause: 'a host stands still',
  slow: 'a host runs 50 ms of every half second',
  lag: 'all packets of a host wait',
  clock: 'a wall clock jumps, and stays wrong',
  rotate: 'an operator puts a new gossip key in use',
  buggify: 'rare branches of the protocol code are taken often',
} as const;

export type FaultName = keyof typeof FAULTS;
export const FAULT_NAMES = Object.keys(FAULTS) as [FaultName, ...FaultName[]];
export const faultNameSchema = z.enum(FAULT_NAMES);

export interface Step {
  readonly atMs: number;
  readonly fault: FaultName;
  readonly lastsMs: number;
  /** Decides which host and how bad. */
  readonly dice: number;
}

export interface FaultWorld {
  readonly sim: Simulation;
  /** Hosts that seeds point to, which must not move. */
  readonly fixed?: readonly SimNode[];
  /** A host began a new life. */
  readonly onRestart?: (node: SimNode) => void;
}

/** Single bytes are dear to simulate: not for long. */
const BYTEWISE_MS = 3000;
const NARROW_BYTES_PER_SECOND = 4000;
const CLOCK_OFF_MS = 3_600_000;

/** A fault now; gives how to mend it. */
export function inject(world: FaultWorld, { fault, dice }: Pick<Step, 'fault' | 'dice'>): () => void {
  const { sim } = world;
  const { network } = sim;
  const rng = new SeededRng(dice);
  const node = sim.nodes[below(rng, sim.nodes.length)] as SimNode;
  switch (fault) {
    case 'link': {
      const loss = below(rng, 25) / 100;
      const chunkBytes = 100 + below(rng, 1400);
      return network.impair({ loss, duplicate: loss, reorder: loss, chunkBytes, jitterMs: below(rng, 40) });
    }
    case 'bytes':
      return network.impair({ flip: 0.05 });
    case 'mtu':
      return network.impair({ maxBytes: 600 });
    case 'streams':
      return network.impair({ refuseStreams: true });
    case 'stall':
      return network.impair({ stallStreams: true });
    case 'halfclose':
      return network.impair({ halfClose: 0.3 });
    case 'bytewise': {
      const mend = network.impair({ chunkBytes: 1 });
      sim.after(BYTEWISE_MS, mend);
      return mend;
    }
    case 'bandwidth': {
      const { ip } = node.addr;
      network.limit(ip, NARROW_BYTES_PER_SECOND);
      return () => network.limit(ip, Infinity);
    }
    case 'lag': {
      const { ip } = node.addr;
      network.jam(ip);
      return () => network.unjam(ip);
    }
    case 'clock':
      node.wallOffsetMs = (rng.float() * 2 - 1) * CLOCK_OFF_MS;
      return () => undefined;
    case 'buggify':
      sim.buggify = 0.1;
      return () => {
        sim.buggify = 0;
      };
    case 'rotate':
      rotate(node, rng);
      return () => undefined;
    case 'cut':
    case 'partition':
      return fault === 'cut' ? cut(sim, node, rng) : partition(sim, rng);
    case 'pause':
      if (node.isRunning) node.pause();
      return () => node.isRunning && node.resume();
    case 'slow':
      return runSlowly(sim, node);
    default:
      return restart(world, node, fault, rng);
  }
}

function cut(sim: Simulation, node: SimNode, rng: SeededRng): () => void {
  const other = sim.nodes[below(rng, sim.nodes.length)] as SimNode;
  const [from, to] = [node.addr.ip, other.addr.ip];
  sim.network.cut(from, to);
  return () => sim.network.mend(from, to);
}

function partition(sim: Simulation, rng: SeededRng): () => void {
  const ips = sim.nodes.map(({ addr }) => addr.ip);
  const at = 1 + below(rng, ips.length - 1);
  const [left, right] = [ips.slice(0, at), ips.slice(at)];
  sim.network.partition([left, right]);
  return () => {
    for (const a of left) {
      for (const b of right) {
        sim.network.mend(a, b);
        sim.network.mend(b, a);
      }
    }
  };
}

function restart(world: FaultWorld, node: SimNode, fault: FaultName, rng: SeededRng): () => void {
  if (!node.isRunning) return () => undefined;
  const mayMove = world.fixed?.includes(node) !== true;
  if (fault === 'move' && mayMove) node.moveTo(`10.1.${below(rng, 250)}.${1 + below(rng, 250)}`);
  else node.crash();
  if (fault === 'wipe') node.disk.clear();
  return () => {
    if (node.isRunning) return;
    node.start();
    world.onRestart?.(node);
  };
}

function rotate(node: SimNode, rng: SeededRng): void {
  const bytes = Uint8Array.from({ length: 32 }, () => rng.u32() >>> 24);
  const key = new SecretKey(bytes, sha256);
  node.do((_swim, now) => {
    if (node.layer instanceof StormLayer) node.layer.useKey(now, key);
  });
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

/** Faults of these kinds, one after the other and over each other, all mended before `untilMs`. */
export function randomScript(rng: SeededRng, kinds: readonly FaultName[], untilMs: number): Step[] {
  const steps: Step[] = [];
  for (let atMs = 0; kinds.length > 0;) {
    const lastsMs = 1000 + below(rng, 20_000);
    if (atMs + lastsMs > untilMs) break;
    const fault = kinds[below(rng, kinds.length)] as FaultName;
    steps.push({ atMs, fault, lastsMs, dice: rng.u32() });
    atMs += 500 + below(rng, 10_000);
  }
  return steps;
}

/** Plays a script; at `untilMs` from now all is mended and everybody runs. */
export function play(world: FaultWorld, script: readonly Step[], untilMs: number): void {
  const { sim } = world;
  for (const step of script) {
    sim.after(step.atMs, () => {
      const mend = inject(world, step);
      sim.after(step.lastsMs, mend);
    });
  }
  sim.after(untilMs, () => mendAll(world));
}

function mendAll({ sim, onRestart }: FaultWorld): void {
  sim.network.mendAll();
  sim.buggify = 0;
  for (const node of sim.nodes) {
    if (node.isRunning) {
      node.resume();
      continue;
    }
    node.start();
    onRestart?.(node);
  }
}
