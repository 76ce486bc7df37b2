/**
 * Duplicate-MAC detection (RFC 7432 15.1, gossip.md 7.7): a MAC that moves more than `limit` times inside the window is
 * two machines with one address. It is frozen where it stands for one window, so that the two cannot thrash the tables.
 *
 * Only MACs that have moved cost memory; the oldest are forgotten above the bound.
 */
interface Moves {
  times: number[];
  frozenUntilMs: number;
}

export const MOVE_LIMIT = 5;
export const MOVE_WINDOW_MS = 180_000;
const TRACKED_MAX = 65_536;

export class MoveDamper {
  readonly #limit: number;
  readonly #windowMs: number;
  readonly #moves = new Map<string, Moves>();

  constructor(limit: number = MOVE_LIMIT, windowMs: number = MOVE_WINDOW_MS) {
    this.#limit = limit;
    this.#windowMs = windowMs;
  }

  isFrozen(now: number, key: string): boolean {
    return (this.#moves.get(key)?.frozenUntilMs ?? 0) > now;
  }

  /** Notes a move; true when this one froze the MAC. */
  moved(now: number, key: string): boolean {
    const moves = this.#moves.get(key) ?? { times: [], frozenUntilMs: 0 };
    this.#moves.delete(key);
    this.#moves.set(key, moves);
    moves.times = moves.times.filter((t) => t > now - this.#windowMs);
    moves.times.push(now);
    if (this.#moves.size > TRACKED_MAX) this.#moves.delete(this.#moves.keys().next().value!);
    if (moves.times.length <= this.#limit) return false;
    moves.times = [];
    moves.frozenUntilMs = now + this.#windowMs;
    return true;
  }

  /** When the next frozen MAC thaws; Infinity when none is frozen. */
  nextThaw(): number {
    let next = Infinity;
    for (const moves of this.#moves.values()) {
      if (moves.frozenUntilMs > 0 && moves.frozenUntilMs < next) next = moves.frozenUntilMs;
    }
    return next;
  }

  /** Takes out the MACs whose freeze is over, and forgets those that have not moved for a window. */
  takeThawed(now: number): string[] {
    const thawed: string[] = [];
    for (const [key, moves] of this.#moves) {
      if (moves.frozenUntilMs > 0 && moves.frozenUntilMs <= now) {
        moves.frozenUntilMs = 0;
        thawed.push(key);
      }
      const last = moves.times.at(-1);
      if (moves.frozenUntilMs === 0 && (last === undefined || last <= now - this.#windowMs))
        this.#moves.delete(key);
    }
    return thawed;
  }
}
