/** So much at once, and so much per second in the long run. */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #filledMs = -Infinity;

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** Whether there was so much; if so, it is spent. */
  take(now: number, amount: number): boolean {
    const elapsedMs = Math.max(0, now - this.#filledMs);
    this.#tokens = Math.min(this.#burst, this.#tokens + (elapsedMs * this.#perSecond) / 1_000);
    this.#filledMs = now;
    if (this.#tokens < amount) return false;
    this.#tokens -= amount;
    return true;
  }
}
