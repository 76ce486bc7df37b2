import type { Address } from '../env.ts';
import type { SwimContext } from './context.ts';
import type { Exchange } from './exchange.ts';
import type { MemberTable } from './member-table.ts';
import type { Membership } from './membership.ts';
import { addressKey, isUp } from './peer.ts';

/**
 * Somebody talks to us as members do, and we do not know him: the few packets in which he was announced all missed us.
 * memberlist waits for the next push/pull then, half a minute in a small cluster. We wait a moment, as his announcement
 * is usually still on its way, and then exchange states with him.
 *
 * Anybody can make us listen (and, in clear, dial an address of his choice), so all of this is bounded: few at a time,
 * an address once in half a minute.
 */
const WAIT_MS = 1000;
const JITTER_MS = 500;
const AGAIN_MS = 30_000;
const MAX_STRANGERS = 16;

export interface StrangerParts {
  readonly table: MemberTable;
  readonly membership: Membership;
  readonly exchange: Exchange;
}

export class Strangers {
  readonly #context: SwimContext;
  readonly #parts: StrangerParts;
  /** Addresses seen lately. */
  readonly #seen = new Set<string>();

  constructor(context: SwimContext, parts: StrangerParts) {
    this.#context = context;
    this.#parts = parts;
  }

  /** A message of a member came from an address that is no living member's. */
  spoke(now: number, addr: Address): void {
    const key = addressKey(addr);
    if (this.#seen.has(key) || this.#seen.size >= MAX_STRANGERS) return;
    this.#seen.add(key);
    const { timers, rng } = this.#context;
    timers.at(now + WAIT_MS + rng.float() * JITTER_MS, (later) => this.#ask(later, addr));
    timers.at(now + AGAIN_MS, () => this.#seen.delete(key));
  }

  #ask(now: number, addr: Address): void {
    const { table, membership, exchange } = this.#parts;
    const known = table.atExactly(addr);
    if (membership.hasLeft || (known !== undefined && isUp(known))) return;
    this.#context.counts.add('stranger-merge');
    exchange.pushPull(now, addr, false, () => undefined);
  }
}
