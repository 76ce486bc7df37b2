/**
 * TCP throughput by iperf3, zero-copy off, congestion control named: the machine's default may be another one, and
 * kernel VXLAN itself differs by a third between bbr and cubic. One direction, first endpoint to second.
 */

import { Service, run } from '../harness/command.ts';
import { peakRssDuring, memoryMib } from '../harness/daemon-usage.ts';
import { BenchError } from '../harness/errors.ts';
import type { Metric, MetricSettings, Subject } from './metric.ts';

const PORT = '5201';
const CONGESTION_CONTROL = 'cubic';
const BITS_PER_GIGABIT = 1e9;
const BYTES_PER_GIGABYTE = 1e9;

export const tcp1Metric: Metric = {
  id: 'tcp1',
  title: 'TCP 1 stream',
  needsDaemon: false,
  async measure(subject, settings) {
    const before = subject.cpu.usageSeconds();
    const { bitsPerSecond, bytes } = await runIperf(subject, settings, 1);
    const cpuSeconds = subject.cpu.usageSeconds() - before;
    return { tcp1: bitsPerSecond / BITS_PER_GIGABIT, cpu: cpuSeconds / (bytes / BYTES_PER_GIGABYTE) };
  },
};

export const tcp4Metric: Metric = {
  id: 'tcp4',
  title: 'TCP 4 streams',
  needsDaemon: false,
  async measure(subject, settings) {
    const [{ bitsPerSecond }, rss] = await peakRssDuring(subject.daemonPids, () =>
      runIperf(subject, settings, 4),
    );
    const tcp4 = bitsPerSecond / BITS_PER_GIGABIT;
    if (rss === undefined) return { tcp4 };
    return { tcp4, rss, 'rss-peak': Math.max(...subject.daemonPids.map((pid) => memoryMib(pid).peak)) };
  },
};

interface IperfReport {
  readonly end?: { readonly sum_received?: { readonly bits_per_second: number; readonly bytes: number } };
}

/** `writeBytes`: what the sender hands to the kernel at a time. */
export async function runIperf(
  subject: Subject,
  settings: MetricSettings,
  streams: number,
  writeBytes?: number,
): Promise<{ bitsPerSecond: number; bytes: number }> {
  const [from, to] = subject.endpoints;
  const server = new Service(['iperf3', '-s', '-1', '-p', PORT, '--forceflush'], {
    netns: to.netns,
    signal: subject.signal,
  });
  try {
    await server.waitUntil(() => server.output.includes('Server listening'), 5_000, subject.signal);
    const what = ['-c', to.address, '-p', PORT, '-P', String(streams), '-t', String(settings.seconds)];
    const write = writeBytes === undefined ? [] : ['-l', String(writeBytes)];
    const text = await run(['iperf3', ...what, ...write, '-C', CONGESTION_CONTROL, '-J'], {
      netns: from.netns,
      signal: subject.signal,
      timeoutMs: (settings.seconds + 20) * 1000,
    });
    const received = (JSON.parse(text) as IperfReport).end?.sum_received;
    if (!received || received.bytes === 0) throw new BenchError('iperf3 received nothing');
    return { bitsPerSecond: received.bits_per_second, bytes: received.bytes };
  } finally {
    await server.stop();
  }
}
