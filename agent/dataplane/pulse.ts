/** How long ago the packet loop moved. A worker that has died does not move either: it counts from its death until another is in its place. */
export class Pulse {
  readonly #diedMs = new Map<number, number>();

  died(place: number, nowMs: number): void {
    this.#diedMs.set(place, nowMs);
  }

  revived(place: number): void {
    this.#diedMs.delete(place);
  }

  /** Of the worker that is silent longest; `aliveMs` are the ages of the live ones' heartbeats. */
  ageMs(nowMs: number, aliveMs: readonly number[]): number {
    return Math.max(0, ...aliveMs, ...[...this.#diedMs.values()].map((diedMs) => nowMs - diedMs));
  }
}
