/** The machine in a few words, for whoever compares figures; nothing that names this one (no host name, no path). */

import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { run } from '../harness/command.ts';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryMib: number;
  readonly kernel: string;
  readonly virtualization: string;
  readonly node: string;
  readonly iperf3: string;
  /** Runnable tasks over the last minute when the bench began: other jobs, if it is not near zero. */
  readonly loadAtStart: number;
}

export async function describeMachine(): Promise<Machine> {
  const iperf3 = await run(['iperf3', '--version']).catch(() => '');
  const kind = await run(['systemd-detect-virt']).catch((error: unknown) => String(error));
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryMib: Math.round(totalmem() / (1 << 20)),
    kernel: release(),
    virtualization: /^[a-z0-9-]+$/.exec(kind.trim())?.[0] ?? 'unknown',
    node: process.version,
    iperf3: /iperf ([\d.]+)/.exec(iperf3)?.[1] ?? 'not installed',
    loadAtStart: Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]),
  };
}
