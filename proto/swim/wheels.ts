import type { Awareness } from './awareness.ts';
import type { SwimContext } from './context.ts';
import type { Exchange } from './exchange.ts';
import type { MemberTable } from './member-table.ts';
import type { Membership } from './membership.ts';
import type { PacketSender } from './packet-sender.ts';
import { isUp } from './peer.ts';
import type { Prober } from './prober.ts';
import { pushPullScale, suspicionMinMs } from './timing.ts';

/**
 * What a member does by itself, again and again: probe, gossip, push/pull (gossip.md 2.8 to 2.10); and what it does when
 * it finds that it was stopped for a while (traps 8 and 10).
 */
const LEAVE_GOSSIP_MS = 50;

export interface WheelParts {
  readonly table: MemberTable;
  readonly membership: Membership;
  readonly sender: PacketSender;
  readonly exchange: Exchange;
  readonly prober: Prober;
  readonly awareness: Awareness;
}

export class Wheels {
  readonly #context: SwimContext;
  readonly #parts: WheelParts;
  #nextGossipMs = 0;

  constructor(context: SwimContext, parts: WheelParts) {
    this.#context = context;
    this.#parts = parts;
  }

  start(now: number): void {
    const { gossipIntervalMs, probeIntervalMs, pushPullIntervalMs } = this.#context.settings;
    const { table, prober } = this.#parts;
    this.#repeat(
      now,
      () => probeIntervalMs,
      (later) => prober.tick(later),
    );
    this.#nextGossipMs = now + this.#context.rng.float() * gossipIntervalMs;
    this.#repeat(
      now,
      // The bigger the cluster, the bigger and the rarer its push/pulls.
      () => pushPullIntervalMs * pushPullScale(table.size),
      (later) => this.#pushPull(later),
    );
  }

  /** When gossip is due; never while nothing waits to be said, so that an idle host sleeps. */
  get nextGossipMs(): number {
    return this.#parts.sender.isQuiet ? Infinity : this.#nextGossipMs;
  }

  /** To be called before anything happens: rounds that nobody needed are past. */
  skipQuietRounds(now: number): void {
    if (now >= this.#nextGossipMs && this.#parts.sender.isQuiet) this.#advanceGossip(now);
  }

  /** No round of gossip is due before `ms`, needed or not. */
  isGossipAfter(ms: number): boolean {
    return this.#nextGossipMs >= ms;
  }

  gossipIfDue(now: number): void {
    if (now < this.#nextGossipMs) return;
    this.#advanceGossip(now);
    this.#gossip(now);
  }

  /** Says the leave that is queued at a quicker pace than gossip's, as long as `isWanted`. */
  hurryLeave(now: number, isWanted: () => boolean): void {
    const hurry = (later: number): void => {
      if (!isWanted()) return;
      this.#gossip(later);
      this.#context.timers.at(later + LEAVE_GOSSIP_MS, hurry);
    };
    hurry(now);
  }

  /** Nothing ran for `stallMs`. Others may hold us dead by now and would not tell, so ask at once. */
  recover(now: number, stallMs: number): void {
    const { table, membership, prober, awareness } = this.#parts;
    const { suspicionMult, probeIntervalMs } = this.#context.settings;
    this.#context.counts.add('stall');
    awareness.apply(1);
    prober.abandon();
    membership.postponeSuspicions(now, stallMs);
    if (stallMs > suspicionMinMs(suspicionMult, table.size, probeIntervalMs)) this.#pushPull(now);
  }

  /** The first time at a random moment of the interval, so that hosts started together do not march in step. */
  #repeat(now: number, intervalMs: () => number, run: (now: number) => void): void {
    const next = (later: number): void => {
      this.#context.timers.at(later + intervalMs(), next);
      run(later);
    };
    this.#context.timers.at(now + this.#context.rng.float() * intervalMs(), next);
  }

  /** To the first round after now, in step with all before. */
  #advanceGossip(now: number): void {
    const { gossipIntervalMs } = this.#context.settings;
    const rounds = Math.floor((now - this.#nextGossipMs) / gossipIntervalMs) + 1;
    this.#nextGossipMs += rounds * gossipIntervalMs;
  }

  #gossip(now: number): void {
    const { table, membership, sender } = this.#parts;
    const { gossipNodes, gossipToTheDeadMs } = this.#context.settings;
    const targets = table.pick(gossipNodes, (peer) => {
      if (peer === membership.self) return false;
      // The lately dead may be alive behind a broken link, and this is how they hear what is said of them.
      return isUp(peer) || (peer.state === 'dead' && now - peer.stateChangeMs <= gossipToTheDeadMs);
    });
    for (const peer of targets) sender.gossip(now, peer);
  }

  #pushPull(now: number): void {
    const { table, membership, exchange } = this.#parts;
    if (membership.hasLeft) return;
    const [peer] = table.pick(1, (other) => other.state === 'alive' && other !== membership.self);
    // Failures need no word: the failure detector is there for them, and the next round comes.
    if (peer !== undefined) exchange.pushPull(now, peer.addr, false, () => undefined);
  }
}
