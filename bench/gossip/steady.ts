/** What a cluster costs when nothing happens, and how fast news is seen in it: 10 to 1,000 hosts in one network. */
import { Cluster, macOf } from './cluster.ts';
import type { Figure, Part } from './figure.ts';
import { percentile } from './figure.ts';

const SIZES = [10, 32, 100, 1_000] as const;
/** Push/pulls are minutes apart in the largest cluster, but evenly spread over the hosts. */
const IDLE_MS = 120_000;
const SETTLE_MS = 10_000;
const WRITES = 10;
const SEEN_BY_MS = 3_000;
const DIRECT_TARGET_MS = 50;
const EPIDEMIC_TARGET_MS = 1_000;
const IDLE_TARGET = 1_000;
const DIRECT_MAX = 32;

export const STEADY: readonly Part[] = SIZES.map((hosts) => ({
  id: `steady/${hosts}`,
  measure: (seed) => measure(seed, hosts),
}));

function measure(seed: number, hosts: number): Figure[] {
  const cluster = new Cluster({ seed, hosts });
  cluster.sim.run(SETTLE_MS);
  const { delays, missed } = visibility(cluster);
  cluster.sim.run(SETTLE_MS);
  const before = cluster.wireBytes();
  cluster.sim.run(IDLE_MS);
  const idle = (cluster.wireBytes() - before) / hosts / (IDLE_MS / 1_000);
  const isDirect = hosts <= DIRECT_MAX;
  const of = `of ${WRITES} writes at ${hosts - 1} other hosts, ${missed} not seen within ${SEEN_BY_MS / 1_000} s`;
  return [
    {
      id: `visible-p50/${hosts}`,
      title: `endpoint visible, median, ${hosts} hosts`,
      unit: 'ms',
      value: percentile(delays, 0.5),
      note: of,
    },
    {
      id: `visible-p99/${hosts}`,
      title: `endpoint visible, ${isDirect ? 'last' : '99 %'}, ${hosts} hosts`,
      unit: 'ms',
      value: percentile(delays, isDirect ? 1 : 0.99),
      target: isDirect ? DIRECT_TARGET_MS : EPIDEMIC_TARGET_MS,
      note: of,
    },
    {
      id: `idle/${hosts}`,
      title: `idle traffic of a host, ${hosts} hosts`,
      unit: 'B/s',
      value: idle,
      target: IDLE_TARGET,
      note: 'sent by a host, all protocols, headers of IP, UDP and TCP included',
    },
  ];
}

/** Delays of a few writes at hosts all over the cluster, one after another. */
function visibility(cluster: Cluster): { delays: number[]; missed: number } {
  const delays: number[] = [];
  const { hosts, sim } = cluster;
  for (let w = 0; w < WRITES; w++) {
    const writer = hosts[Math.floor((w * hosts.length) / WRITES)]!;
    const began = sim.now;
    for (const { layer } of hosts) {
      layer.onChange = (now) => {
        if (layer !== writer.layer) delays.push(now - began);
      };
    }
    cluster.put(writer, macOf(w, 1));
    sim.run(SEEN_BY_MS);
  }
  for (const { layer } of hosts) layer.onChange = () => undefined;
  const missed = WRITES * (hosts.length - 1) - delays.length;
  return { delays: [...delays, ...Array.from({ length: missed }, () => Infinity)], missed };
}
