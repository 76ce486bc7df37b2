/**
 * What a metric is: one measurement on one peer, giving a number for one or more series.
 *
 * A new metric is one file with one exported `Metric`, listed in index.ts, and its series here.
 */

import type { CpuGroup } from '../harness/cpu-group.ts';
import type { Endpoint } from '../harness/testbed.ts';

export type SeriesId =
  | 'tcp1'
  | 'tcp4'
  | 'pps'
  | 'edge-tcp'
  | 'edge-udp'
  | 'rtt-p50'
  | 'rtt-p99'
  | 'cpu'
  | 'rss'
  | 'rss-peak'
  | 'idle';

export interface Series {
  readonly id: SeriesId;
  readonly title: string;
  readonly unit: string;
  readonly isHigherBetter: boolean;
  /** Kernel devices have it too, so it stands as a ratio to the reference. */
  readonly hasReference: boolean;
  /** Digits after the point in tables and pictures. */
  readonly digits: number;
}

export const SERIES: readonly Series[] = [
  series('tcp1', 'TCP, 1 stream', 'Gb/s', true, true, 2),
  series('tcp4', 'TCP, 4 streams', 'Gb/s', true, true, 2),
  series('pps', '64-byte UDP without loss', 'kpps', true, true, 0),
  series('edge-tcp', 'TCP, writes of 1,500 over 1,400 bytes', '%', true, true, 0),
  series('edge-udp', 'UDP, datagrams of 1,500 over 1,400 bytes', '%', true, true, 0),
  series('rtt-p50', 'round trip, median', 'µs', false, true, 1),
  series('rtt-p99', 'round trip, p99', 'µs', false, true, 1),
  series('cpu', 'CPU per GB (TCP, 1 stream)', 's/GB', false, true, 2),
  series('rss', 'RSS under load', 'MiB', false, false, 0),
  series('rss-peak', 'RSS, highest ever', 'MiB', false, false, 0),
  series('idle', 'idle CPU', '% of a core', false, false, 2),
];

/** The peer as a metric sees it. */
export interface Subject {
  readonly endpoints: readonly [Endpoint, Endpoint];
  readonly daemonPids: readonly number[];
  readonly cpu: CpuGroup;
  readonly signal: AbortSignal;
}

export interface MetricSettings {
  /** Length of a throughput run; the others derive theirs from it. */
  readonly seconds: number;
}

export type Sample = Partial<Record<SeriesId, number>>;

export interface Metric {
  readonly id: string;
  readonly title: string;
  /** Only daemons have it: skipped for the kernel's own devices. */
  readonly needsDaemon: boolean;
  measure(subject: Subject, settings: MetricSettings): Promise<Sample>;
}

function series(
  id: SeriesId,
  title: string,
  unit: string,
  isHigherBetter: boolean,
  hasReference: boolean,
  digits: number,
): Series {
  return { id, title, unit, isHigherBetter, hasReference, digits };
}
