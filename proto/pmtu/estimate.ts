/**
 * Round trip and loss of a path, from its probes: smoothed round trip and its variation as TCP has them (RFC 6298 §2), loss
 * as a moving mean over some 32 probes that ought to have passed.
 */
const LOSS_WEIGHT = 1 / 32;
/** How likely it may be that bad luck alone is taken for a black hole. */
const BAD_LUCK = 1e-5;

export class Estimate {
  #rttMs: number | undefined;
  #variationMs = 0;
  #loss = 0;
  #probes = 0;

  get rttMs(): number | undefined {
    return this.#rttMs;
  }

  /** 0 to 1; undefined before anything was sent. */
  get loss(): number | undefined {
    return this.#probes === 0 ? undefined : this.#loss;
  }

  answered(rttMs: number): void {
    const mean = this.#rttMs ?? rttMs;
    this.#variationMs =
      this.#rttMs === undefined ? rttMs / 2 : this.#variationMs * 0.75 + Math.abs(mean - rttMs) * 0.25;
    this.#rttMs = mean * 0.875 + rttMs * 0.125;
  }

  /** A probe that ought to have passed was answered, or not. */
  note(wasAnswered: boolean): void {
    this.#probes += 1;
    // A plain mean at first.
    const weight = Math.max(LOSS_WEIGHT, 1 / this.#probes);
    this.#loss += ((wasAnswered ? 0 : 1) - this.#loss) * weight;
  }

  /** When an answer is overdue. */
  waitMs(firstMs: number, leastMs: number, mostMs: number): number {
    if (this.#rttMs === undefined) return firstMs;
    return Math.min(mostMs, Math.max(leastMs, this.#rttMs * 1.5 + 4 * this.#variationMs));
  }

  /** How many losses in a row are no accident on this path. */
  tries(least: number, most: number): number {
    const loss = Math.min(this.#loss, 0.9);
    if (loss <= 0) return least;
    return Math.min(most, Math.max(least, Math.ceil(Math.log(BAD_LUCK) / Math.log(loss))));
  }
}
