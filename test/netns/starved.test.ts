/**
 * Issue 3.3 with real daemons: those that get a tenth of a CPU for a minute are not declared dead, one that is killed
 * meanwhile is, within the time of Lifeguard's formula.
 *
 * One is starved by a CPU quota of a control group (v1 or v2), where a busy loop beside it uses up the quota each period;
 * the other by being stopped for nine tenths of every three seconds. Where the machine gives no such group both are stopped.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tap from 'tap';
import type { Test } from 'tap';
import type { Daemon } from '../../agent/demo/daemon.ts';
import type { Host } from '../../agent/demo/hosts.ts';
import { sleep, until } from '../../agent/demo/process.ts';
import { startCluster } from './cluster.ts';
import { netnsTest } from './guard.ts';

const HOSTS = 5;
const STARVED_MS = 60_000;
const SHARE = 0.1;
const STOP_PERIOD_MS = 3000;
const PERIOD_US = 100_000;
/** Found within a round of probes, then the longest suspicion of five hosts, then a moment of gossip. */
const DEATH_SEEN_MS = 6_000 + 24_000 + 2_000;
/** Ends the starving, and tells by what it was done. */
type Starving = () => Promise<string>;

function byQuota(daemon: Daemon): Starving {
  // It ends by itself, should this process be killed.
  const loop = `for (const end = Date.now() + ${2 * STARVED_MS}; Date.now() < end; );`;
  const hog = spawn(process.execPath, ['-e', loop], { stdio: 'ignore' });
  const group = quotaGroup([daemon.process.pid, hog.pid as number]);
  if (group === undefined) {
    hog.kill('SIGKILL');
    return byStops(daemon);
  }
  return async () => {
    const throttled = group.throttledPeriods();
    hog.kill('SIGKILL');
    await once(hog, 'exit');
    await group.remove();
    return `a CPU quota that was used up in ${throttled} periods`;
  };
}

function byStops({ process: { pid } }: Daemon): Starving {
  const ended = new AbortController();
  let stops = 0;
  const cycle = (async (): Promise<void> => {
    for (; !ended.signal.aborted; stops++) {
      process.kill(pid, 'SIGSTOP');
      await sleep(STOP_PERIOD_MS * (1 - SHARE));
      process.kill(pid, 'SIGCONT');
      await sleep(STOP_PERIOD_MS * SHARE);
    }
  })();
  return async () => {
    ended.abort();
    await cycle;
    return `${stops} stops`;
  };
}

interface QuotaGroup {
  throttledPeriods(): number;
  remove(): Promise<void>;
}

/** Processes with all their threads in a group with a quota. undefined: there are no such groups here. */
function quotaGroup(pids: readonly number[]): QuotaGroup | undefined {
  const v1 = '/sys/fs/cgroup/cpu';
  const isV1 = existsSync(join(v1, 'cpu.cfs_quota_us'));
  const root = isV1 ? v1 : '/sys/fs/cgroup';
  const folder = join(root, `overlayd-starved-${pids[0]}`);
  const enter = (group: string, pid: number): void => writeFileSync(join(group, 'cgroup.procs'), String(pid));
  try {
    mkdirSync(folder);
    if (isV1) {
      writeFileSync(join(folder, 'cpu.cfs_period_us'), String(PERIOD_US));
      writeFileSync(join(folder, 'cpu.cfs_quota_us'), String(PERIOD_US * SHARE));
    } else {
      writeFileSync(join(folder, 'cpu.max'), `${PERIOD_US * SHARE} ${PERIOD_US}`);
    }
    for (const pid of pids) enter(folder, pid);
  } catch {
    if (existsSync(folder)) rmdirSync(folder);
    return undefined;
  }
  const throttledPeriods = (): number =>
    Number(/^nr_throttled (\d+)/m.exec(readFileSync(join(folder, 'cpu.stat'), 'utf8'))?.[1]);
  const remove = async (): Promise<void> => {
    for (const pid of pids) if (existsSync(`/proc/${pid}`)) enter(root, pid);
    for (let tries = 0; existsSync(folder) && tries < 50; tries++) {
      try {
        rmdirSync(folder);
      } catch {
        await sleep(50);
      }
    }
  };
  return { throttledPeriods, remove };
}

/** How often a host was declared dead, by the log of one daemon. */
function deaths(observer: Daemon, host: Host): number {
  const ofHost = new RegExp(`\\b${host.name}\\b`);
  const lines = observer.log().split('\n');
  return lines.filter((line) => line.includes('peer dead') && ofHost.test(line)).length;
}

async function statesSeen(daemon: Daemon): Promise<Map<string, string>> {
  return new Map((await daemon.peers()).map(({ name, state }) => [name, state]));
}

async function checkStarved(test: Test): Promise<void> {
  const { daemons } = await startCluster(test, { hosts: HOSTS });
  const [first, second, throttled, stopped, victim] = daemons as [Daemon, Daemon, Daemon, Daemon, Daemon];
  const living = [first, second, throttled, stopped];
  const endMs = Date.now() + STARVED_MS;
  const starving = [byQuota(throttled), byStops(stopped)];
  try {
    await sleep(10_000);
    await victim.stop('SIGKILL');
    const killedMs = Date.now();
    await until('the killed host is declared dead', DEATH_SEEN_MS, async () => {
      const states = await Promise.all([first, second].map(statesSeen));
      return states.every((seen) => seen.get(victim.host.name) === 'dead');
    });
    const tookMs = Date.now() - killedMs;
    test.ok(tookMs >= 4000, `declared dead after ${tookMs} ms, not before the shortest suspicion`);
    await sleep(endMs - Date.now());
  } finally {
    for (const end of starving) test.comment(`starved by ${await end()}`);
  }
  for (const observer of [first, second]) {
    const seer = observer.host.name;
    for (const { host } of [throttled, stopped])
      test.equal(deaths(observer, host), 0, `${seer} never declared the starved ${host.name} dead`);
    test.equal(deaths(observer, victim.host), 1, `${seer} declared the killed ${victim.host.name} dead once`);
  }
  await until('all living agree', 20_000, async () => {
    const seen = await Promise.all(living.map((daemon) => daemon.status()));
    return seen.every(({ peers }) => peers.alive === living.length - 1);
  });
  for (const starved of [throttled, stopped]) {
    for (const { host } of living)
      test.equal(deaths(starved, host), 0, `${starved.host.name} blames nobody for it, nor ${host.name}`);
  }
}

tap.setTimeout(600_000);

netnsTest(
  '3.3: a daemon starved of CPU for a minute is not declared dead; a killed one is, in time',
  [],
  checkStarved,
);
