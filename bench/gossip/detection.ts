/** A host dies: how long until somebody suspects it, declares it dead, and all know (gossip.md 2.6, 2.8). */
import type { Figure, Part } from './figure.ts';
import { percentile } from './figure.ts';
import { MemberImage } from '../../proto/swim/member-image.ts';
import { Simulation } from '../../test/sim/simulation.ts';

const SIZES = [10, 32, 100, 1_000] as const;
const RUNS = 9;
const PROBE_MS = 1_000;
const SUSPICION_MULT = 4;
const MAX_MULT = 6;
const PATIENCE_MS = 120_000;

export const DETECTION: readonly Part[] = SIZES.map((hosts) => ({
  id: `detection/${hosts}`,
  measure: (seed) => measure(seed, hosts),
}));

interface Times {
  readonly suspect: number;
  readonly dead: number;
  readonly all: number;
}

function measure(seed: number, hosts: number): Figure[] {
  const runs = Array.from({ length: RUNS }, (_, i) => crashTimes(seed + i, hosts));
  const minS = (SUSPICION_MULT * Math.max(1, Math.log10(hosts)) * PROBE_MS) / 1_000;
  const seconds = (what: keyof Times): number[] => runs.map((times) => times[what] / 1_000);
  const figure = (id: string, title: string, values: number[], target?: number, note?: string): Figure => ({
    id: `${id}/${hosts}`,
    title: `${title}, ${hosts} hosts`,
    unit: 's',
    value: percentile(values, 0.5),
    raw: values,
    ...(target !== undefined && { target }),
    ...(note !== undefined && { note }),
  });
  return [
    figure(
      'first-suspect',
      'a dead host is suspected',
      seconds('suspect'),
      undefined,
      'SWIM: e/(e - 1) = 1.6 periods',
    ),
    figure(
      'first-dead',
      'a dead host is declared dead',
      seconds('dead'),
      (1.6 * PROBE_MS) / 1_000 + PROBE_MS / 1_000 + minS * MAX_MULT,
      `suspicion lasts ${minS.toFixed(1)} to ${(minS * MAX_MULT).toFixed(1)} s by the formula`,
    ),
    figure(
      'spread',
      'from the first who knows to the last',
      runs.map(({ all, dead }) => (all - dead) / 1_000),
      2,
    ),
  ];
}

/** ms from a crash. */
export function crashTimes(seed: number, hosts: number): Times {
  const sim = new Simulation(seed);
  sim.network.faults = { ...sim.network.faults, latencyMs: 1, jitterMs: 0 };
  const members = Array.from({ length: hosts }, (_, i) => ({
    name: `n${i + 1}`,
    addr: { ip: `10.0.${(i + 1) >> 8}.${(i + 1) & 255}`, port: 7946 },
  }));
  const image = new MemberImage(members);
  const nodes = members.map(({ name, addr }) => sim.addNode({ name, ip: addr.ip, image }));
  sim.run(5_000 + (seed % 7) * 130);
  const victim = nodes[hosts >> 1]!;
  const others = nodes.filter((node) => node !== victim);
  victim.crash();
  const began = sim.now;
  const when = (isReached: () => boolean): number => {
    const isDone = sim.runUntil(isReached, PATIENCE_MS, 10);
    return isDone ? sim.now - began : Infinity;
  };
  const isIn = (states: readonly string[]) => (node: (typeof nodes)[number]) =>
    states.includes(node.stateOf(victim.name) ?? 'dead');
  const suspect = when(() => others.some(isIn(['suspect', 'dead'])));
  const dead = when(() => others.some(isIn(['dead'])));
  return { suspect, dead, all: when(() => others.every(isIn(['dead']))) };
}
