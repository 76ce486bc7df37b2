/** Named event counts of one State; names are stable, for metrics: "in:update", "drop:malformed", … */
export class Counters {
  readonly #counts = new Map<string, number>();

  add(name: string, by = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + by);
  }

  get all(): ReadonlyMap<string, number> {
    return this.#counts;
  }
}
