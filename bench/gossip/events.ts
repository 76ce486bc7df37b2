/** Large events: splits of a minute to an hour, and a whole stack moved at once (the scene of moby #52661). */
import { Cluster, macOf } from './cluster.ts';
import type { Figure, Part } from './figure.ts';

const SPLIT_HOSTS = 20;
const SPLITS_MIN = [1, 10, 60] as const;
const HEAL_TARGET_S = 10;
const PATIENCE_MS = 600_000;

const STACK_HOSTS = 23;
const STACK_ENDPOINTS = 8_500;
/** The orchestrator restarts everything within this time. */
const REDEPLOY_MS = 60_000;

export const EVENTS: readonly Part[] = [
  ...SPLITS_MIN.map((minutes) => ({
    id: `healing/${minutes}`,
    measure: (seed: number) => split(seed, minutes),
  })),
  { id: 'redeploy', measure: redeploy },
];

function split(seed: number, minutes: number): Figure[] {
  const cluster = new Cluster({ seed, hosts: SPLIT_HOSTS, endpoints: 10 });
  const { sim, hosts } = cluster;
  sim.run(5_000);
  const ips = hosts.map(({ node }) => node.addr.ip);
  sim.network.partition([ips.slice(0, SPLIT_HOSTS / 2), ips.slice(SPLIT_HOSTS / 2)]);
  // Both sides go on: something is new on every host, every ten seconds of the first minutes.
  for (let i = 0; i < 6; i++) {
    sim.run((minutes * 60_000) / 6);
    for (const [h, host] of hosts.entries()) cluster.put(host, macOf(h, 100 + i));
  }
  sim.run(1_000);
  sim.network.heal();
  const began = sim.now;
  const isWhole = (): boolean =>
    cluster.agree() && hosts.every(({ node }) => node.alive().length === SPLIT_HOSTS);
  const isDone = sim.runUntil(isWhole, PATIENCE_MS, 50);
  return [
    {
      id: `healing/${minutes}`,
      title: `healing of a split of ${minutes} min`,
      unit: 's',
      value: isDone ? (sim.now - began) / 1_000 : Infinity,
      target: HEAL_TARGET_S,
      note: `${SPLIT_HOSTS} hosts in halves; until all see all alive and hold the same state`,
    },
  ];
}

function redeploy(seed: number): Figure[] {
  const each = Math.ceil(STACK_ENDPOINTS / STACK_HOSTS);
  const cluster = new Cluster({ seed, hosts: STACK_HOSTS, endpoints: each });
  const { sim, hosts } = cluster;
  sim.run(5_000);
  const before = cluster.wireBytes();
  const turns = 60;
  let peakBytes = 0;
  let lastBytes = before;
  for (let turn = 0; turn < turns; turn++) {
    const share = (n: number): number => Math.floor((n * each) / turns);
    for (let n = share(turn); n < share(turn + 1); n++) {
      for (const [h, host] of hosts.entries()) {
        cluster.remove(host, macOf(h, n));
        cluster.put(hosts[(h + 1) % STACK_HOSTS]!, macOf(h, n), 1);
      }
    }
    // Not after the last: what comes then is what is measured.
    if (turn < turns - 1) sim.run(REDEPLOY_MS / turns);
    peakBytes = Math.max(peakBytes, cluster.wireBytes() - lastBytes);
    lastBytes = cluster.wireBytes();
  }
  const began = sim.now;
  const isDone = sim.runUntil(() => cluster.agree(), PATIENCE_MS, 10);
  const rate = peakBytes / STACK_HOSTS / (REDEPLOY_MS / turns / 1_000);
  return [
    {
      id: 'redeploy-lag',
      title: `${STACK_ENDPOINTS.toLocaleString('en')} endpoints moved over ${STACK_HOSTS} hosts in a minute: agreement after the last`,
      unit: 'ms',
      value: isDone ? sim.now - began : Infinity,
      target: 1_000,
    },
    {
      id: 'redeploy-bytes',
      title: '… sent by each host in all',
      unit: 'B',
      value: (cluster.wireBytes() - before) / STACK_HOSTS,
      note: 'networkdb sends its whole table, 12.6 MB here, every 30 s',
    },
    { id: 'redeploy-rate', title: '… in its busiest second', unit: 'B/s', value: rate },
  ];
}
