/** One number of the gossip bench. */
export interface Figure {
  /** Stable, for programs: "visible-p99/100". */
  readonly id: string;
  readonly title: string;
  readonly unit: string;
  readonly value: number;
  /** Every run, in order, where there were several; `value` is their median then. */
  readonly raw?: readonly number[];
  /** What it must not exceed; with `formula` it is what the protocol promises. */
  readonly target?: number;
  readonly note?: string;
}

/** A part of the bench: what it measures under `id`, when asked. */
export interface Part {
  readonly id: string;
  /** Needs more than the other parts: runs only when its name is given. */
  readonly isOnDemand?: boolean;
  readonly measure: (seed: number) => readonly Figure[] | Promise<readonly Figure[]>;
}

/** Of values in any order; the nearest rank. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}
