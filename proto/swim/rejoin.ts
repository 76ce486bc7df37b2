import type { Address } from '../env.ts';
import { below, shuffle } from '../rng.ts';
import type { SwimContext } from './context.ts';
import type { Exchange } from './exchange.ts';
import type { Member } from './interface.ts';
import type { MemberTable } from './member-table.ts';
import type { Membership } from './membership.ts';
import { addressKey } from './peer.ts';
import type { Prober } from './prober.ts';
import type { Timer } from './timer-heap.ts';

/**
 * What memberlist leaves to others (gossip.md 7.9, trap 9): how the parts of a split cluster meet again, and how a host
 * finds its cluster at the start.
 *
 * - Members that failed are pinged for three days, each about once a second by all the living together, however many
 *   they are: the first that answers is told what is said of it and gets a push/pull at once. So halves meet within
 *   seconds of being able to, and a host that is gone costs the cluster one small packet a second.
 * - Seeds are joined until one answers, and again whenever none is alive. A host that is all alone tries, behind its
 *   seeds, the members of an earlier life.
 *
 * What it remembers is its own: the member list forgets the dead after half a minute. Members that left are not tried.
 */
const TRY_EVERY_MS = 2000;
/** Of each failed member in that time, by all of us together. */
const TRIES = 2;
/** Of one of us in that time. */
const MAX_TRIES = 8;
const FAILED_FOR_MS = 72 * 3600 * 1000;
const MAX_FAILED = 4096;
/** Push/pulls on contact: everybody else makes contacts too. */
const MERGE_EVERY_MS = 2000;
const SEEDS_EVERY_MS = 30_000;
const JOINS_AT_ONCE = 3;
/** Members of an earlier life tried in one round, behind the seeds. */
const KNOWN_IN_ROUND = 6;
const BACK_OFF_FROM_MS = 1000;
const BACK_OFF_TO_MS = 30_000;
/** For who has nobody else: the first other host must be found soon after it is there. */
const BACK_OFF_ALONE_TO_MS = 6000;
const JITTER = 0.2;

interface Failed {
  readonly name: string;
  readonly addr: Address;
  readonly incarnation: number;
  readonly sinceMs: number;
}

export interface RejoinParts {
  readonly table: MemberTable;
  readonly membership: Membership;
  readonly exchange: Exchange;
  readonly prober: Prober;
}

export class Rejoin {
  readonly #context: SwimContext;
  readonly #parts: RejoinParts;
  /** By name, oldest failure first. */
  readonly #failed = new Map<string, Failed>();
  #seeds: readonly Address[];
  #known: Address[] = [];
  #seedTimer: Timer | undefined;
  #isJoiningSeeds = false;
  #backOffMs = BACK_OFF_FROM_MS;
  #mergedMs = -Infinity;

  constructor(context: SwimContext, parts: RejoinParts) {
    this.#context = context;
    this.#parts = parts;
    this.#seeds = context.settings.seeds;
  }

  /** From now on these are the seeds; an attempt under way is brought to its end first. */
  setSeeds(now: number, seeds: readonly Address[]): void {
    this.#seeds = seeds;
    this.#startSeeds(now);
  }

  /** Members of an earlier life, to be tried while we are alone. */
  setKnown(now: number, known: readonly Address[]): void {
    this.#known = [...known];
    shuffle(this.#context.rng, this.#known);
    this.#startSeeds(now);
  }

  start(now: number): void {
    this.#schedule(now, TRY_EVERY_MS, (later) => this.#tryFailed(later));
    this.#seedRound(now);
  }

  /** A member changed: the failed are remembered, who is back or has left on purpose is not. */
  memberChanged({ name, addr, state, incarnation, stateChangeMs }: Member): void {
    if (state === 'suspect') return;
    this.#failed.delete(name);
    if (state !== 'dead') return;
    this.#failed.set(name, { name, addr, incarnation, sinceMs: stateChangeMs });
    if (this.#failed.size <= MAX_FAILED) return;
    const [oldest] = this.#failed.keys();
    if (oldest !== undefined) this.#failed.delete(oldest);
  }

  /** It is not to be looked for any more. */
  forget(name: string): void {
    this.#failed.delete(name);
  }

  #tryFailed(now: number): void {
    this.#schedule(now, TRY_EVERY_MS, (later) => this.#tryFailed(later));
    for (const [name, { sinceMs }] of this.#failed) {
      if (now - sinceMs <= FAILED_FOR_MS) break;
      this.#failed.delete(name);
    }
    const { table, membership, prober } = this.#parts;
    if (this.#failed.size === 0 || membership.hasLeft) return;
    const { rng, counts } = this.#context;
    // Our share of the tries; the fraction is left to chance, so that many members do not meet at one failed host.
    const share = Math.min(MAX_TRIES, (TRIES * this.#failed.size) / Math.max(1, table.upCount));
    const tries = Math.floor(share + rng.float());
    const candidates = tries === 0 ? [] : [...this.#failed.values()];
    for (let i = 0; i < tries; i++) {
      const failed = candidates[below(rng, candidates.length)] as Failed;
      counts.add('rejoin-ping');
      prober.contact(now, failed, TRY_EVERY_MS, (later) => this.#contacted(later, failed));
    }
  }

  /** It lives. What happened on either side meanwhile, both should know at once. */
  #contacted(now: number, { name, addr }: Failed): void {
    if (!this.#failed.has(name) || now - this.#mergedMs < MERGE_EVERY_MS) return;
    this.#mergedMs = now;
    this.#context.counts.add('rejoin-merge');
    this.#parts.exchange.pushPull(now, addr, true, () => undefined);
  }

  #startSeeds(now: number): void {
    this.#backOffMs = BACK_OFF_FROM_MS;
    if (this.#isJoiningSeeds) return;
    this.#seedTimer?.cancel();
    this.#seedRound(now);
  }

  #seedRound(now: number): void {
    const seeds = this.#others();
    if (seeds.length === 0 && this.#known.length === 0) return;
    const { hasLeft } = this.#parts.membership;
    const wanted = hasLeft || this.#isSeedAlive(seeds) ? [] : [...seeds];
    // Not all hosts of a cluster that starts should fall on the first seed of the list.
    shuffle(this.#context.rng, wanted);
    if (!hasLeft && this.#isAlone()) {
      const some = this.#known.splice(0, KNOWN_IN_ROUND);
      this.#known.push(...some);
      wanted.push(...some);
    }
    if (wanted.length === 0) {
      this.#seedsAgain(now, true);
      return;
    }
    this.#isJoiningSeeds = true;
    this.#joinSome(now, wanted);
  }

  /** Three at a time; when these have failed, the next three. */
  #joinSome(now: number, addresses: readonly Address[]): void {
    const some = addresses.slice(0, JOINS_AT_ONCE);
    const rest = addresses.slice(JOINS_AT_ONCE);
    let isJoined = false;
    let left = some.length;
    for (const addr of some) {
      this.#parts.exchange.pushPull(now, addr, true, (later, error) => {
        this.#context.events.push({ type: 'join-result', addr, error });
        isJoined ||= error === undefined;
        left -= 1;
        if (left > 0) return;
        if (isJoined || rest.length === 0) this.#seedsAgain(later, isJoined);
        else this.#joinSome(later, rest);
      });
    }
  }

  #seedsAgain(now: number, isWell: boolean): void {
    this.#isJoiningSeeds = false;
    const longestMs = this.#isAlone() ? BACK_OFF_ALONE_TO_MS : BACK_OFF_TO_MS;
    const waitMs = isWell ? SEEDS_EVERY_MS : Math.min(longestMs, this.#backOffMs);
    this.#backOffMs = isWell ? BACK_OFF_FROM_MS : Math.min(longestMs, this.#backOffMs * 2);
    this.#seedTimer = this.#schedule(now, waitMs, (later) => this.#seedRound(later));
  }

  #others(): readonly Address[] {
    const own = addressKey(this.#parts.membership.self.addr);
    return this.#seeds.filter((seed) => addressKey(seed) !== own);
  }

  #isSeedAlive(seeds: readonly Address[]): boolean {
    return seeds.some((seed) => this.#parts.table.atExactly(seed)?.state === 'alive');
  }

  #isAlone(): boolean {
    return this.#parts.table.upCount <= 1;
  }

  #schedule(now: number, ms: number, run: (now: number) => void): Timer {
    const jitter = 1 + (this.#context.rng.float() * 2 - 1) * JITTER;
    return this.#context.timers.at(now + ms * jitter, run);
  }
}
