import type { Address } from '../env.ts';
import { shuffle } from '../rng.ts';
import type { SwimContext } from './context.ts';
import type { Exchange } from './exchange.ts';
import type { Member } from './interface.ts';
import type { MemberTable } from './member-table.ts';
import type { Membership } from './membership.ts';
import { addressKey } from './peer.ts';
import type { Timer } from './timer-heap.ts';

/**
 * What memberlist leaves to others (gossip.md 7.9, trap 9): seeds are joined for ever until one answers and again when
 * none is alive; members that failed are tried again for a day, so that the halves of a split cluster meet once more.
 *
 * What it remembers is its own: the member list forgets the dead after half a minute. Members that left are not tried.
 */
const FAILED_EVERY_MS = 10_000;
const FAILED_FOR_MS = 24 * 3600 * 1000;
const MAX_FAILED = 4096;
const SEEDS_EVERY_MS = 30_000;
const SEEDS_AT_ONCE = 3;
const BACK_OFF_FROM_MS = 1000;
const BACK_OFF_TO_MS = 30_000;
const JITTER = 0.2;

interface Failed {
  readonly addr: Address;
  readonly sinceMs: number;
}

export class Rejoin {
  readonly #context: SwimContext;
  readonly #table: MemberTable;
  readonly #membership: Membership;
  readonly #exchange: Exchange;
  /** By name, oldest failure first. */
  readonly #failed = new Map<string, Failed>();
  #seeds: readonly Address[];
  #seedTimer: Timer | undefined;
  #isJoiningSeeds = false;
  #backOffMs = BACK_OFF_FROM_MS;

  constructor(context: SwimContext, table: MemberTable, membership: Membership, exchange: Exchange) {
    this.#context = context;
    this.#table = table;
    this.#membership = membership;
    this.#exchange = exchange;
    this.#seeds = context.settings.seeds;
  }

  /** From now on these are the seeds; an attempt under way is brought to its end first. */
  setSeeds(now: number, seeds: readonly Address[]): void {
    this.#seeds = seeds;
    this.#backOffMs = BACK_OFF_FROM_MS;
    if (this.#isJoiningSeeds) return;
    this.#seedTimer?.cancel();
    this.#seedRound(now);
  }

  start(now: number): void {
    this.#schedule(now, FAILED_EVERY_MS, (later) => this.#failedRound(later));
    this.#seedRound(now);
  }

  /** A member changed: the failed are remembered, who is back or has left on purpose is not. */
  memberChanged({ name, addr, state, stateChangeMs }: Member): void {
    if (state === 'suspect') return;
    this.#failed.delete(name);
    if (state !== 'dead') return;
    this.#failed.set(name, { addr, sinceMs: stateChangeMs });
    if (this.#failed.size <= MAX_FAILED) return;
    const [oldest] = this.#failed.keys();
    if (oldest !== undefined) this.#failed.delete(oldest);
  }

  /** Serf's rule: the more of the known have failed, the likelier is an attempt; one random member each time. */
  #failedRound(now: number): void {
    this.#schedule(now, FAILED_EVERY_MS, (later) => this.#failedRound(later));
    for (const [name, { sinceMs }] of this.#failed) {
      if (now - sinceMs <= FAILED_FOR_MS) break;
      this.#failed.delete(name);
    }
    if (this.#failed.size === 0 || this.#membership.hasLeft) return;
    const alive = Math.max(1, this.#table.upCount);
    if (this.#context.rng.float() > this.#failed.size / alive) return;
    // One at a time and at random: many members doing this must not meet at one failed host.
    const candidates = [...this.#failed.values()];
    const { addr } = candidates[Math.floor(this.#context.rng.float() * candidates.length)] as Failed;
    this.#context.counts.add('rejoin-failed');
    this.#exchange.pushPull(now, addr, true, () => undefined);
  }

  #seedRound(now: number): void {
    const seeds = this.#others();
    if (seeds.length === 0) return;
    if (this.#membership.hasLeft || this.#isSeedAlive()) {
      this.#seedsAgain(now, true);
      return;
    }
    // Not all hosts of a cluster that starts should fall on the first seed of the list.
    shuffle(this.#context.rng, seeds);
    this.#isJoiningSeeds = true;
    this.#joinSome(now, seeds);
  }

  /** Three at a time; when these have failed, the next three. */
  #joinSome(now: number, seeds: readonly Address[]): void {
    const some = seeds.slice(0, SEEDS_AT_ONCE);
    const rest = seeds.slice(SEEDS_AT_ONCE);
    let isJoined = false;
    let left = some.length;
    for (const addr of some) {
      this.#exchange.pushPull(now, addr, true, (later, error) => {
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
    const waitMs = isWell ? SEEDS_EVERY_MS : this.#backOffMs;
    this.#backOffMs = isWell ? BACK_OFF_FROM_MS : Math.min(BACK_OFF_TO_MS, this.#backOffMs * 2);
    this.#seedTimer = this.#schedule(now, waitMs, (later) => this.#seedRound(later));
  }

  #others(): Address[] {
    const own = addressKey(this.#membership.self.addr);
    return this.#seeds.filter((seed) => addressKey(seed) !== own);
  }

  #isSeedAlive(): boolean {
    return this.#others().some((seed) => this.#table.atExactly(seed)?.state === 'alive');
  }

  #schedule(now: number, ms: number, run: (now: number) => void): Timer {
    const jitter = 1 + (this.#context.rng.float() * 2 - 1) * JITTER;
    return this.#context.timers.at(now + ms * jitter, run);
  }
}
