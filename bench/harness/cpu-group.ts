/**
 * A control group of high CPU weight around the whole bench, reference included, so that other jobs of the machine
 * disturb the figures little; and what the CPUs did for it.
 *
 * The CPU time of the group is that of every program of the bench with the kernel work done in their context, plus the
 * ksoftirqd threads, which take over packet work under load. Without a group the busy time of the whole system stands
 * in, other jobs included. Works with cgroup v1 and v2.
 */

import { existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const V1_CPU = '/sys/fs/cgroup/cpu';
const V1_ACCOUNT = '/sys/fs/cgroup/cpuacct';
const V2_ROOT = '/sys/fs/cgroup';
const V1_MAX_SHARES = '262144';
const V2_MAX_WEIGHT = '10000';
/** USER_HZ, fixed in the kernel's ABI. */
const TICKS_PER_SECOND = 100;

export type CpuAccounting = 'cgroup and ksoftirqd' | 'whole system';

export class CpuGroup {
  readonly accounting: CpuAccounting;
  /** Weight could be raised: other jobs are kept out. */
  readonly isWeighted: boolean;
  readonly #folders: readonly string[];
  readonly #usageSeconds: () => number;

  private constructor(folders: readonly string[], isWeighted: boolean, usageSeconds?: () => number) {
    this.#folders = folders;
    this.isWeighted = isWeighted;
    this.accounting = usageSeconds ? 'cgroup and ksoftirqd' : 'whole system';
    this.#usageSeconds = usageSeconds ?? systemBusySeconds;
  }

  /** Moves this process, and so its children to come, into a new group; into none where there are no rights. */
  static join(name: string): CpuGroup {
    try {
      if (existsSync(join(V1_CPU, 'cpu.shares'))) return CpuGroup.#joinV1(name);
      if (existsSync(join(V2_ROOT, 'cgroup.controllers'))) return CpuGroup.#joinV2(name);
    } catch {
      // A machine that gives no groups is measured without: said in the result.
    }
    return new CpuGroup([], false);
  }

  static #joinV1(name: string): CpuGroup {
    const weighted = enter(V1_CPU, name, 'cpu.shares', V1_MAX_SHARES);
    if (!existsSync(join(V1_ACCOUNT, 'cpuacct.usage'))) return new CpuGroup([weighted], true);
    const accounted = enter(V1_ACCOUNT, name);
    const softirq = softirqReader();
    const usage = (): number => readNumber(join(accounted, 'cpuacct.usage')) / 1e9 + softirq();
    return new CpuGroup([weighted, accounted], true, usage);
  }

  static #joinV2(name: string): CpuGroup {
    const hasWeight = readFileSync(join(V2_ROOT, 'cgroup.subtree_control'), 'utf8')
      .split(/\s/)
      .includes('cpu');
    const folder = hasWeight ? enter(V2_ROOT, name, 'cpu.weight', V2_MAX_WEIGHT) : enter(V2_ROOT, name);
    const softirq = softirqReader();
    const usage = (): number => {
      const stat = readFileSync(join(folder, 'cpu.stat'), 'utf8');
      return Number(/^usage_usec (\d+)/m.exec(stat)?.[1]) / 1e6 + softirq();
    };
    return new CpuGroup([folder], hasWeight, usage);
  }

  /** CPU seconds used so far; only differences mean something. */
  usageSeconds(): number {
    return this.#usageSeconds();
  }

  /** Back to the root group; the group goes when its last process has. */
  async leave(): Promise<void> {
    for (const folder of this.#folders) {
      writeFileSync(join(folder, '..', 'cgroup.procs'), String(process.pid));
      for (let attempt = 0; existsSync(folder) && attempt < 20; attempt++) {
        try {
          rmdirSync(folder);
        } catch {
          await sleep(100);
        }
      }
    }
  }
}

function enter(root: string, name: string, knob?: string, value = ''): string {
  const folder = join(root, name);
  mkdirSync(folder, { recursive: true });
  if (knob !== undefined) writeFileSync(join(folder, knob), value);
  writeFileSync(join(folder, 'cgroup.procs'), String(process.pid));
  return folder;
}

/** Seconds of all ksoftirqd threads together. */
function softirqReader(): () => number {
  const threads = readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && commandName(entry).startsWith('ksoftirqd/'))
    .map((pid) => `/proc/${pid}/schedstat`);
  return () => threads.reduce((sum, file) => sum + scheduledSeconds(file), 0);
}

function commandName(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8');
  } catch {
    return '';
  }
}

/** Time on a CPU from a schedstat file (first field, nanoseconds). */
export function scheduledSeconds(schedstat: string): number {
  return Number(readFileSync(schedstat, 'utf8').split(' ')[0]) / 1e9;
}

function systemBusySeconds(): number {
  const fields = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!.split(/\s+/).slice(1).map(Number);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = fields;
  return (user + nice + system + irq + softirq) / TICKS_PER_SECOND;
}

function readNumber(file: string): number {
  return Number(readFileSync(file, 'utf8'));
}
