/** Lets something happen at most so often, and more rarely each time; quiet for ten pauses, and it starts over. */
const FORGET_PAUSES = 10;

export class Pace {
  readonly #minMs: number;
  readonly #maxMs: number;
  #lastMs = -Infinity;
  #pauseMs: number;

  constructor(minMs: number, maxMs: number) {
    this.#minMs = minMs;
    this.#maxMs = maxMs;
    this.#pauseMs = minMs;
  }

  /** Whether it may happen now; if so, it has. */
  take(now: number): boolean {
    const quietMs = now - this.#lastMs;
    if (quietMs < this.#pauseMs) return false;
    const isFirst = quietMs > this.#pauseMs * FORGET_PAUSES;
    this.#pauseMs = isFirst ? this.#minMs : Math.min(this.#pauseMs * 2, this.#maxMs);
    this.#lastMs = now;
    return true;
  }

  reset(): void {
    this.#pauseMs = this.#minMs;
  }
}
