/**
 * Hybrid logical clock: 48 bits of wall milliseconds, 16 bits of counter (gossip.md 7.2).
 *
 * Used for nothing but comparing claims of different owners. A remote clock is adopted only up to 5 s ahead of ours:
 * one host with a wrong date must not drag the cluster along.
 */
const COUNTER_BITS = 16n;
const AHEAD_MAX_MS = 5_000;

/** The wall time in it, ms since 1970. */
export const hlcMs = (hlc: bigint): number => Number(hlc >> COUNTER_BITS);

export class Hlc {
  readonly #wall: () => number;
  #last = 0n;

  constructor(wall: () => number) {
    this.#wall = wall;
  }

  /** The time of a local event: later than every one before it, and than every remote one adopted. */
  tick(): bigint {
    const wall = BigInt(Math.max(0, Math.floor(this.#wall()))) << COUNTER_BITS;
    this.#last = wall > this.#last ? wall : this.#last + 1n;
    return this.#last;
  }

  /** The latest time given or adopted. */
  get last(): bigint {
    return this.#last;
  }

  /** Takes note of a remote time; false when it is too far ahead and was ignored. */
  observe(remote: bigint): boolean {
    if (remote <= this.#last) return true;
    if (hlcMs(remote) > this.#wall() + AHEAD_MAX_MS) return false;
    this.#last = remote;
    return true;
  }
}
