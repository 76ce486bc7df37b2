/** Memory and CPU time of a peer's daemons, from /proc. */

import { readFileSync, readdirSync } from 'node:fs';
import { scheduledSeconds } from './cpu-group.ts';

const KIB_PER_MIB = 1024;

/** VmRSS (now) and VmHWM (highest ever) of a process, MiB. */
export function memoryMib(pid: number): { now: number; peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / KIB_PER_MIB;
  return { now: field('VmRSS'), peak: field('VmHWM') };
}

/** CPU seconds of all threads of a process since it began. */
export function cpuSeconds(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  return threads.reduce((sum, thread) => sum + scheduledSeconds(`/proc/${pid}/task/${thread}/schedstat`), 0);
}

/** Watches the daemons while `work` runs; resolves with the highest VmRSS seen in any of them, MiB. */
export async function peakRssDuring<T>(
  pids: readonly number[],
  work: () => Promise<T>,
): Promise<[T, number | undefined]> {
  let highest = 0;
  const sample = (): void => pids.forEach((pid) => (highest = Math.max(highest, memoryMib(pid).now)));
  const timer = setInterval(sample, 250);
  try {
    const done = await work();
    sample();
    return [done, pids.length > 0 ? highest : undefined];
  } finally {
    clearInterval(timer);
  }
}
