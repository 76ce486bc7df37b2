/**
 * The same crash among 20 real members, each in a network namespace of its own: HashiCorp's memberlist (Go) and ours on real
 * sockets, both with the LAN settings, beside the figures of the simulation. Needs root and Go, and depends on the machine, so it
 * runs only when its name is given: `npm run bench:gossip -- --filter real/20`.
 */
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from '../../agent/demo/hosts.ts';
import { Testbed } from '../../agent/demo/testbed.ts';
import { GoPeer, buildGoPeer, whyNoGo } from '../../test/interop/go-peer.ts';
import { crashTimes } from './detection.ts';
import type { Figure, Part } from './figure.ts';
import { percentile } from './figure.ts';

const HOSTS = 20;
const RUNS = 3;
const FORM_MS = 60_000;
const SETTLE_MS = 3000;
/** The longest suspicion of 20 hosts, and time to be found and told of. */
const DEATH_MS = 45_000;
const LOOK_MS = 20;
const CHILD = fileURLToPath(new URL('member-child.js', import.meta.url));

/** Seconds from the kill to the first who declares it, and to the last. */
interface Times {
  readonly dead: number;
  readonly all: number;
}

export const REAL: readonly Part[] = [{ id: `real/${HOSTS}`, isOnDemand: true, measure }];

async function measure(seed: number): Promise<Figure[]> {
  const reason = whyNoGo();
  if (reason !== undefined) throw new Error(`the real cluster cannot run here: ${reason}`);
  const testbed = new Testbed();
  const go = buildGoPeer();
  try {
    const hosts = Array.from({ length: HOSTS }, () => testbed.addHost());
    const theirs = await crashes(hosts, [go.program], ['-lan']);
    const ours = await crashes(hosts, [process.execPath, CHILD], []);
    const simulated = Array.from({ length: 3 * RUNS }, (_, i) => crashTimes(seed + i, HOSTS)).map(
      ({ dead, all }) => ({ dead: dead / 1000, all: all / 1000 }),
    );
    return [
      ...figuresOf('go', 'memberlist (Go)', theirs),
      ...figuresOf('ours', 'overlayd', ours),
      ...figuresOf('simulated', 'overlayd, simulated', simulated),
    ];
  } finally {
    go.remove();
    testbed.close();
  }
}

function figuresOf(id: string, title: string, runs: readonly Times[]): Figure[] {
  const figure = (what: string, words: string, values: number[]): Figure => ({
    id: `real-${what}/${id}`,
    title: `${HOSTS} members, ${title}: ${words}`,
    unit: 's',
    value: percentile(values, 0.5),
    raw: values,
  });
  return [
    figure(
      'dead',
      'a killed one is declared dead',
      runs.map(({ dead }) => dead),
    ),
    figure(
      'spread',
      'from the first who knows to the last',
      runs.map(({ all, dead }) => all - dead),
    ),
  ];
}

/** One cluster for each crash: what was there before is forgotten. */
async function crashes(
  hosts: readonly Host[],
  program: readonly string[],
  more: readonly string[],
): Promise<Times[]> {
  const times: Times[] = [];
  for (let run = 0; run < RUNS; run++) {
    const peers: GoPeer[] = [];
    try {
      for (const host of hosts)
        peers.push(await GoPeer.start(host.inside(program), host.name, host.ipv4, ...more));
      times.push(await crashOf(peers, 3 + run * 5));
    } finally {
      await Promise.all(peers.map((peer) => peer.stop()));
    }
  }
  return times;
}

async function crashOf(peers: readonly GoPeer[], victimAt: number): Promise<Times> {
  const [first, ...later] = peers as [GoPeer, ...GoPeer[]];
  for (const peer of later) await peer.do(`join ${first.ip}:7946`);
  const knows = (peer: GoPeer, name: string): boolean => peer.name === name || peer.has('join', { name });
  await reached('all know all', FORM_MS, () =>
    peers.every((peer) => peers.every(({ name }) => knows(peer, name))),
  );
  await sleep(SETTLE_MS);
  const victim = peers[victimAt] as GoPeer;
  const others = peers.filter((peer) => peer !== victim);
  const killedMs = performance.now();
  victim.signal('SIGKILL');
  const { name } = victim;
  await reached('all know of the death', DEATH_MS, () => others.every((peer) => peer.has('leave', { name })));
  const seen = others.map((peer) => (peer.timeOf('leave', { name }) ?? Infinity) - killedMs);
  return { dead: Math.min(...seen) / 1000, all: Math.max(...seen) / 1000 };
}

async function reached(what: string, ms: number, isReached: () => boolean): Promise<void> {
  const endMs = performance.now() + ms;
  while (!isReached()) {
    if (performance.now() > endMs) throw new Error(`not within ${ms / 1000} s: ${what}`);
    await sleep(LOOK_MS);
  }
}
