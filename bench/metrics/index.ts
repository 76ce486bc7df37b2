/** All metrics, in the order they run: idle first, before load leaves work behind. */

import { idleMetric } from './idle.ts';
import { edgeMetric } from './mtu-edge.ts';
import type { Metric } from './metric.ts';
import { packetsMetric } from './packets.ts';
import { roundTripMetric } from './round-trip.ts';
import { tcp1Metric, tcp4Metric } from './tcp.ts';

export const METRICS: readonly Metric[] = [
  idleMetric,
  roundTripMetric,
  tcp1Metric,
  tcp4Metric,
  packetsMetric,
  edgeMetric,
];
