/**
 * Local health (Lifeguard; gossip.md 2.7): a node that misses answers suspects itself first and gives the others more
 * time. 0 is healthy; time-outs are multiplied by the score plus one.
 */
export class Awareness {
  readonly #max: number;
  #score = 0;

  /** Scores are 0 .. max-1. */
  constructor(max: number) {
    this.#max = max;
  }

  get score(): number {
    return this.#score;
  }

  apply(delta: number): void {
    this.#score = Math.min(this.#max - 1, Math.max(0, this.#score + delta));
  }

  scaleMs(ms: number): number {
    return ms * (this.#score + 1);
  }
}
