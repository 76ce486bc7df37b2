/**
 * UDP datagrams a second without loss (one flow, at most 0.1 % lost as the receiver counts), by bisection over paced
 * rates; the metric has payloads of 64 bytes.
 */

import { bisectRate } from '../harness/bisection.ts';
import type { Trial } from '../harness/bisection.ts';
import { Service } from '../harness/command.ts';
import { BenchError } from '../harness/errors.ts';
import { loadProgram } from './load-program.ts';
import type { Metric, MetricSettings, Subject } from './metric.ts';

const PORT = '5301';
const BYTES = 64;
const MAX_TRIAL_SECONDS = 1;
const SEARCH = { maxLoss: 0.001, resolution: 0.04, floorPps: 500, attempts: 2 };

export const packetsMetric: Metric = {
  id: 'pps',
  title: '64-byte packets',
  needsDaemon: false,
  async measure(subject, settings) {
    return { pps: (await packetsWithoutLoss(subject, settings, BYTES)) / 1000 };
  },
};

/** A second, of that many bytes of payload each. */
export async function packetsWithoutLoss(
  subject: Subject,
  settings: MetricSettings,
  bytes: number,
): Promise<number> {
  const seconds = Math.min(MAX_TRIAL_SECONDS, settings.seconds);
  const { pps } = await bisectRate((asked) => runTrial(subject, asked, seconds, String(bytes)), SEARCH);
  return pps;
}

async function runTrial(subject: Subject, askedPps: number, seconds: number, bytes: string): Promise<Trial> {
  const [from, to] = subject.endpoints;
  const receiver = new Service(loadProgram('udp-receiver', { on: to.address, port: PORT, bytes }), {
    netns: to.netns,
    signal: subject.signal,
  });
  try {
    await receiver.waitUntil(() => receiver.output.includes('ready\n'), 5_000, subject.signal);
    const asked = {
      to: to.address,
      port: PORT,
      bytes,
      pps: String(askedPps),
      seconds: String(seconds),
    };
    const sender = new Service(loadProgram('udp-sender', asked), {
      netns: from.netns,
      signal: subject.signal,
    });
    const sent = JSON.parse(await sender.finish((seconds + 10) * 1000)) as { sent: number; seconds: number };
    if (sent.sent === 0) throw new BenchError('the sender could send nothing');
    const counted = JSON.parse((await receiver.finish(20_000)).split('ready\n')[1] ?? '') as {
      received: number;
    };
    return {
      offeredPps: sent.sent / sent.seconds,
      receivedPps: counted.received / sent.seconds,
      loss: Math.max(0, 1 - counted.received / sent.sent),
    };
  } finally {
    await receiver.stop();
  }
}
