/** What a daemon costs while nothing is sent: CPU time of all its threads over a quiet window, the busier of the two. */

import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSeconds } from '../harness/daemon-usage.ts';
import type { Metric } from './metric.ts';

const SETTLE_MS = 500;
const MIN_SECONDS = 3;

export const idleMetric: Metric = {
  id: 'idle',
  title: 'idle CPU',
  needsDaemon: true,
  async measure(subject, settings) {
    await sleep(SETTLE_MS, undefined, { signal: subject.signal });
    const began = performance.now();
    const before = subject.daemonPids.map(cpuSeconds);
    await sleep(Math.max(MIN_SECONDS, settings.seconds) * 1000, undefined, { signal: subject.signal });
    const seconds = (performance.now() - began) / 1000;
    const used = subject.daemonPids.map((pid, index) => cpuSeconds(pid) - before[index]!);
    return { idle: (Math.max(...used) / seconds) * 100 };
  },
};
