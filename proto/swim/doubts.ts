import type { Address } from '../env.ts';
import type { SwimContext } from './context.ts';
import type { Exchange } from './exchange.ts';
import type { Membership } from './membership.ts';
import { addressKey } from './peer.ts';

/**
 * Two words about one member cannot be of one life (incarnation.ts): what we hold or what was said is false. It is the only
 * one to know, so we exchange states with it. A stream from its own address cannot be forged from elsewhere.
 *
 * Likewise where a name that has just left is said to be at another address: he is asked at the old one, whether he has left
 * at all, and at the new one once it may move there.
 *
 * A liar can make us ask, so it is bounded: few members at a time, each once in a few seconds; half a minute without its
 * meta or refutations is when others would give up what it announced.
 */
export interface Doubt {
  readonly name: string;
  readonly addr: Address;
  readonly waitMs?: number;
}

const JITTER_MS = 500;
const AGAIN_MS = 5000;
const MAX_DOUBTS = 8;

export class Doubts {
  readonly #context: SwimContext;
  readonly #membership: Membership;
  readonly #exchange: Exchange;
  /** Names and addresses asked lately. */
  readonly #asked = new Set<string>();

  constructor(context: SwimContext, membership: Membership, exchange: Exchange) {
    this.#context = context;
    this.#membership = membership;
    this.#exchange = exchange;
  }

  /** Exchanges states with who is said to be there, in a moment, but not before `waitMs`. */
  ask(now: number, { name, addr, waitMs = 0 }: Doubt): void {
    const key = `${addressKey(addr)} ${name}`;
    if (this.#asked.has(key) || this.#asked.size >= MAX_DOUBTS) return;
    this.#asked.add(key);
    const { timers, rng, counts } = this.#context;
    timers.at(now + waitMs + rng.float() * JITTER_MS, (later) => {
      if (this.#membership.hasLeft) return;
      counts.add('doubt-merge');
      this.#exchange.pushPull(later, addr, false, () => undefined);
    });
    timers.at(now + waitMs + AGAIN_MS, () => this.#asked.delete(key));
  }
}
