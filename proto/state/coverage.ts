/**
 * Which sequence numbers of one log are covered: all up to `have`, and a few ranges above it (gossip.md 7.3).
 *
 * Covering (from, to] means "all current records with a sequence in there have been seen"; it only ever grows.
 */
const RANGES_MAX = 32;

export class Coverage {
  have = 0;
  /** Disjoint, ascending, above `have`; [from, to] means from < seq <= to. */
  #ranges: [number, number][] = [];

  get pending(): boolean {
    return this.#ranges.length > 0;
  }

  /** Highest sequence covered anywhere. */
  get head(): number {
    return this.#ranges.at(-1)?.[1] ?? this.have;
  }

  covers(seq: number): boolean {
    return seq <= this.have || this.#ranges.some(([from, to]) => seq > from && seq <= to);
  }

  /** Whether every sequence in (from, to] is covered. */
  coversRange(from: number, to: number): boolean {
    return to <= this.have || this.#ranges.some(([f, t]) => Math.max(from, this.have) >= f && to <= t);
  }

  /** False when the range was not noted, because there are too many holes: it will have to be sent again. */
  cover(from: number, to: number): boolean {
    if (to <= this.have) return true;
    if (from <= this.have) {
      this.have = to;
      this.#absorb();
      return true;
    }
    const kept: [number, number][] = [];
    let merged: [number, number] = [from, to];
    for (const range of this.#ranges) {
      if (range[1] < merged[0] || range[0] > merged[1]) kept.push(range);
      else merged = [Math.min(range[0], merged[0]), Math.max(range[1], merged[1])];
    }
    if (kept.length >= RANGES_MAX) return false;
    kept.push(merged);
    this.#ranges = kept.sort((a, b) => a[0] - b[0]);
    return true;
  }

  reset(): void {
    this.have = 0;
    this.#ranges = [];
  }

  #absorb(): void {
    while (this.#ranges.length > 0 && this.#ranges[0]![0] <= this.have) {
      this.have = Math.max(this.have, this.#ranges.shift()![1]);
    }
  }
}
