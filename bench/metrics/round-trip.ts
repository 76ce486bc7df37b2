/** Round trip of a 64-byte TCP ping-pong, one request outstanding: median and 99th percentile of one run. */

import { Service, run } from '../harness/command.ts';
import { loadProgram } from './load-program.ts';
import type { Metric } from './metric.ts';

const PORT = '5302';
const BYTES = '64';

export const roundTripMetric: Metric = {
  id: 'rtt',
  title: 'round trip',
  needsDaemon: false,
  async measure(subject, settings) {
    const [from, to] = subject.endpoints;
    const common = { at: to.address, port: PORT, bytes: BYTES };
    const server = new Service(loadProgram('ping-pong', { role: 'server', ...common, seconds: '0' }), {
      netns: to.netns,
      signal: subject.signal,
    });
    try {
      await server.waitUntil(() => server.output.includes('ready\n'), 5_000, subject.signal);
      const client = loadProgram('ping-pong', {
        role: 'client',
        ...common,
        seconds: String(settings.seconds),
      });
      const timeoutMs = (settings.seconds + 20) * 1000;
      const text = await run(client, { netns: from.netns, signal: subject.signal, timeoutMs });
      const { p50, p99 } = JSON.parse(text) as { p50: number; p99: number };
      return { 'rtt-p50': p50, 'rtt-p99': p99 };
    } finally {
      await server.stop();
    }
  },
};
