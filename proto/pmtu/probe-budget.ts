import { TokenBucket } from '../state/token-bucket.ts';

/**
 * The probes that a host may send to all its peers together, and who is next.
 *
 * Who wants to send a round spends its probes at once and waits until they have come in: so all are served in turn, large
 * rounds like small ones, and nobody waits longer than one round of everybody takes. Confirmations of what passes are
 * stretched with the number of peers, so that they leave a fifth of the probes to searches: to new peers, and to paths
 * that have narrowed.
 */
/** Of a confirmation: the control, and what passes. */
const CONFIRMATION = 2;
/** Shares of all probes that confirmations may take. */
const ACTIVE_SHARE = 0.6;
const IDLE_SHARE = 0.2;

export class ProbeBudget {
  readonly #perSecond: number;
  readonly #bucket: TokenBucket;
  #paths = 0;
  #active = 0;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#bucket = new TokenBucket(perSecond, perSecond);
  }

  /** Spends so many probes; returns after how many ms they may go out. */
  spend(now: number, count: number): number {
    return this.#bucket.spend(now, count);
  }

  /** They will not go out. */
  giveBack(count: number): void {
    this.#bucket.giveBack(count);
  }

  /** A path came (1) or went (-1). */
  countPath(by: 1 | -1): void {
    this.#paths += by;
  }

  /** Traffic on a path began (1) or ended (-1). */
  countActive(by: 1 | -1): void {
    this.#active += by;
  }

  /** Ms between two confirmations of one path: `leastMs`, or what its share allows each of as many as there are. */
  confirmMs(isActive: boolean, leastMs: number): number {
    const among = isActive ? this.#active : this.#paths - this.#active;
    const perSecond = this.#perSecond * (isActive ? ACTIVE_SHARE : IDLE_SHARE);
    return Math.max(leastMs, (among * CONFIRMATION * 1_000) / perSecond);
  }
}
