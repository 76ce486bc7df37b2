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
    this.#fill(now);
    if (this.#tokens < amount) return false;
    this.#tokens -= amount;
    return true;
  }

  /** Spends so much, be it there or not; returns in how many ms it will all have come in. Who waits that long waits in turn. */
  spend(now: number, amount: number): number {
    this.#fill(now);
    this.#tokens -= amount;
    return Math.max(0, (-this.#tokens * 1_000) / this.#perSecond);
  }

  /** Of what was spent. */
  giveBack(amount: number): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + amount);
  }

  #fill(now: number): void {
    const elapsedMs = Math.max(0, now - this.#filledMs);
    this.#tokens = Math.min(this.#burst, this.#tokens + (elapsedMs * this.#perSecond) / 1_000);
    this.#filledMs = now;
  }
}
