/**
 * The result of a bench as it is published: every raw run, and what is computed from them. Pure.
 *
 * `latest.json` is this object. Programs may depend on it; fields are only added.
 */

import { ratioToReference, summarize } from '../harness/statistics.ts';
import type { Summary } from '../harness/statistics.ts';
import type { Sample, Series, SeriesId } from '../metrics/metric.ts';
import type { Machine } from './machine.ts';

export interface PeerNote {
  readonly id: string;
  readonly title: string;
  /** Absent: it could not be brought up. */
  readonly version?: string;
  readonly endpoint?: string;
  /** Why it has no figures. */
  readonly unavailable?: string;
}

/** One peer, one series. */
export interface Figure {
  readonly peer: string;
  readonly series: SeriesId;
  /** In the order of the runs; null marks one that failed. */
  readonly raw: readonly (number | null)[];
  /** Absent when every run failed. */
  readonly summary?: Summary;
  /** To the reference: of the medians; extremes of the runs side by side. */
  readonly ratio?: Summary;
}

export interface Failure {
  readonly peer: string;
  readonly metric: string;
  readonly run: number;
  readonly message: string;
}

export interface BenchResult {
  readonly schema: 1;
  readonly date: string;
  readonly settings: Readonly<Record<string, string | number | boolean>>;
  readonly machine: Machine;
  readonly reference: string;
  readonly series: readonly Series[];
  readonly peers: readonly PeerNote[];
  readonly figures: readonly Figure[];
  readonly failures: readonly Failure[];
}

/** Samples by peer, then by series, one slot a run. */
export class Samples {
  readonly #slots = new Map<string, Map<SeriesId, (number | undefined)[]>>();
  readonly #runs: number;

  constructor(runs: number) {
    this.#runs = runs;
  }

  add(peer: string, run: number, sample: Sample): void {
    const bySeries = this.#slots.get(peer) ?? new Map<SeriesId, (number | undefined)[]>();
    this.#slots.set(peer, bySeries);
    for (const [id, value] of Object.entries(sample) as [SeriesId, number][]) {
      const slots = bySeries.get(id) ?? Array.from<number | undefined>({ length: this.#runs });
      bySeries.set(id, slots);
      slots[run] = value;
    }
  }

  get(peer: string, series: SeriesId): readonly (number | undefined)[] | undefined {
    return this.#slots.get(peer)?.get(series);
  }
}

export function figuresOf(
  samples: Samples,
  peers: readonly string[],
  series: readonly Series[],
  reference: string,
): Figure[] {
  return series.flatMap(({ id, hasReference }) =>
    peers.flatMap((peer): Figure[] => {
      const values = samples.get(peer, id);
      if (!values) return [];
      const summary = summarize(values.filter((value) => value !== undefined));
      const ratio = hasReference ? ratioToReference(values, samples.get(reference, id) ?? []) : undefined;
      const raw = values.map((value) => value ?? null);
      return [{ peer, series: id, raw, ...(summary && { summary }), ...(ratio && { ratio }) }];
    }),
  );
}

export function findFigure(result: BenchResult, peer: string, series: SeriesId): Figure | undefined {
  return result.figures.find((figure) => figure.peer === peer && figure.series === series);
}
