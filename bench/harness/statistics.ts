/**
 * Order statistics of repeated runs, and ratios to the reference taken in the same run.
 *
 * A shared machine disturbs single runs, never in a normal distribution: so medians with the extremes beside them,
 * no means and no standard deviations.
 */

export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Median of at least one value; of an even count the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('median of nothing');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle]!;
  return sorted.length % 2 === 1 ? upper : (sorted[middle - 1]! + upper) / 2;
}

/** Nearest-rank quantile, `q` in (0, 1], of values already sorted ascending. */
export function quantileOfSorted(sorted: ArrayLike<number>, q: number): number {
  if (sorted.length === 0) throw new RangeError('quantile of nothing');
  if (!(q > 0 && q <= 1)) throw new RangeError(`quantile ${q} is outside (0, 1]`);
  return sorted[Math.ceil(q * sorted.length) - 1]!;
}

/** Undefined when every run failed. */
export function summarize(values: readonly number[]): Summary | undefined {
  if (values.length === 0) return undefined;
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/**
 * Ratio to the reference: of the medians; min and max over the runs, each against the reference of its own run.
 *
 * `values[i]` and `reference[i]` belong to run i; undefined marks a run that failed. A pair lacking one side, or whose
 * reference is zero, counts for neither extreme. The ratio of medians may lie outside the paired extremes.
 */
export function ratioToReference(
  values: readonly (number | undefined)[],
  reference: readonly (number | undefined)[],
): Summary | undefined {
  const own = values.filter(isNumber);
  const base = reference.filter(isNumber);
  if (own.length === 0 || base.length === 0 || median(base) === 0) return undefined;
  const paired = values.flatMap((value, run) => {
    const beside = reference[run];
    return value === undefined || !beside ? [] : [value / beside];
  });
  const ratio = median(own) / median(base);
  if (paired.length === 0) return { median: ratio, min: ratio, max: ratio };
  return { median: ratio, min: Math.min(...paired), max: Math.max(...paired) };
}

function isNumber(value: number | undefined): value is number {
  return value !== undefined;
}
