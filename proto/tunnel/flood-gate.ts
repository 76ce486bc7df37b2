import type { Address } from '../env.ts';
import { TokenBucket } from '../state/token-bucket.ts';

/**
 * How much of this host strangers may use up: initiations from afar pass here before anything dear is computed.
 *
 * Three bounds. MACs a second, whatever comes. Diffie-Hellmans a second for whoever comes first, which is enough while
 * nobody floods; when they are used up, the same again for senders that proved their address, with a fair share for each
 * address. Replies with a cookie a second; who comes from just where a peer of ours is has a few of its own, which spoofed
 * ports do not use up. One initiation from one address is looked at once: a recorded one, sent again
 * and again, costs a look into a set. Memory: two generations of that set, two buckets per address of a known peer.
 */
export interface FloodLimits {
  readonly macsPerSecond: number;
  readonly dhPerSecond: number;
  readonly cookiesPerSecond: number;
}

export type Admission = 'go' | 'cookie' | 'repeated' | 'busy';

/** X25519 operations to answer one initiation: es, the ephemeral key, ee, se. */
export const DH_PER_ANSWER = 4;
const SEEN_PER_GENERATION = 4096;
const ANSWERS_PER_SECOND_AND_ADDRESS = 2;
const ANSWERS_AT_ONCE_AND_ADDRESS = 10;
const COOKIES_PER_SECOND_AND_ADDRESS = 5;

interface Share {
  readonly answers: TokenBucket;
  readonly cookies: TokenBucket;
}

export class FloodGate {
  readonly #macs: TokenBucket;
  readonly #anybody: TokenBucket;
  readonly #proven: TokenBucket;
  readonly #cookies: TokenBucket;
  readonly #shares = new Map<string, Share>();
  #seen = new Set<string>();
  #seenBefore = new Set<string>();

  constructor({ macsPerSecond, dhPerSecond, cookiesPerSecond }: FloodLimits) {
    this.#macs = new TokenBucket(macsPerSecond, macsPerSecond / 4);
    this.#anybody = new TokenBucket(dhPerSecond, dhPerSecond);
    this.#proven = new TokenBucket(dhPerSecond, dhPerSecond);
    this.#cookies = new TokenBucket(cookiesPerSecond, cookiesPerSecond);
  }

  /** Whether a mac1 may be checked now. */
  mayCheckMac(now: number): boolean {
    return this.#macs.take(now, 1);
  }

  /** What to do with an initiation whose mac1 was right. `isAtHome`: some peer is at just this address and port. */
  admit(now: number, mac1: Uint8Array, from: Address, isAtHome: boolean, isProven: () => boolean): Admission {
    const name = `${from.ip} ${mac1.join(' ')}`;
    if (this.#seen.has(name) || this.#seenBefore.has(name)) return 'repeated';
    const admission = this.#verdict(now, from, isAtHome, isProven);
    if (admission !== 'busy') this.#remember(name);
    return admission;
  }

  /** The last peer at this address is gone. */
  forget(ip: string): void {
    this.#shares.delete(ip);
  }

  #verdict(now: number, from: Address, isAtHome: boolean, isProven: () => boolean): Admission {
    if (this.#anybody.take(now, DH_PER_ANSWER)) return 'go';
    const { answers, cookies } = this.#shareOf(from.ip);
    if (!isProven())
      return (isAtHome && cookies.take(now, 1)) || this.#cookies.take(now, 1) ? 'cookie' : 'busy';
    return answers.take(now, 1) && this.#proven.take(now, DH_PER_ANSWER) ? 'go' : 'busy';
  }

  #shareOf(ip: string): Share {
    let share = this.#shares.get(ip);
    if (share === undefined) {
      share = {
        answers: new TokenBucket(ANSWERS_PER_SECOND_AND_ADDRESS, ANSWERS_AT_ONCE_AND_ADDRESS),
        cookies: new TokenBucket(COOKIES_PER_SECOND_AND_ADDRESS, COOKIES_PER_SECOND_AND_ADDRESS),
      };
      this.#shares.set(ip, share);
    }
    return share;
  }

  #remember(name: string): void {
    if (this.#seen.size >= SEEN_PER_GENERATION) {
      this.#seenBefore = this.#seen;
      this.#seen = new Set();
    }
    this.#seen.add(name);
  }
}
