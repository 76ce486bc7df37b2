/**
 * Is there a cliff where payloads outgrow the MTU (checklist 3.32)? Throughput with 1,500 bytes a time as a share of that with
 * 1,400, by TCP and by UDP. Over 1,450 bytes of MTU a datagram of 1,500 is two frames, cut by the sender's own kernel: of UDP
 * the reference shows what that costs by itself.
 */

import type { Metric } from './metric.ts';
import { packetsWithoutLoss } from './packets.ts';
import { runIperf } from './tcp.ts';

const BELOW_BYTES = 1_400;
const ABOVE_BYTES = 1_500;

export const edgeMetric: Metric = {
  id: 'mtu-edge',
  title: '1,400 and 1,500 bytes',
  needsDaemon: false,
  async measure(subject, settings) {
    const below = await runIperf(subject, settings, 1, BELOW_BYTES);
    const above = await runIperf(subject, settings, 1, ABOVE_BYTES);
    const small = BELOW_BYTES * (await packetsWithoutLoss(subject, settings, BELOW_BYTES));
    const large = ABOVE_BYTES * (await packetsWithoutLoss(subject, settings, ABOVE_BYTES));
    return {
      'edge-tcp': (100 * above.bitsPerSecond) / below.bitsPerSecond,
      'edge-udp': (100 * large) / small,
    };
  },
};
