/**
 * Asks for anti-entropy (gossip.md 7.6 steps 2 and 5): when, which scope, and with whom.
 *
 * Each scope that we hold has one clock. A new scope syncs at once, and again with a second peer when the first has
 * said all; after that at the base interval × the push/pull scale, or at once when a digest shows a difference.
 * One exchange per scope at a time; a busy or silent peer is replaced by another.
 */
import type { Rng } from '../env.ts';
import type { SyncMessage } from './messages.ts';
import { SYNC_FLAG, encodeSync } from './messages.ts';
import type { Outbox } from './outbox.ts';
import { URGENCY } from './outbox.ts';
import type { Store } from './store.ts';
import { SYNC_BUCKETS, SYNC_LINES_DIRECT, bucketSums, linesOf } from './sync-buckets.ts';
import type { Targets } from './targets.ts';

interface ScopeClock {
  /** Exchanges left until we have joined the scope: with a first and with a second peer. */
  toJoin: number;
  dueMs: number;
  sentMs: number;
  /** There was reason to sync since the last one was begun. */
  isWanted: boolean;
  /** Whom a digest has shown to differ. */
  hint: string | undefined;
  lastPeer: string | undefined;
  running: { id: number; peer: string; untilMs: number; hasSums: boolean } | undefined;
  readonly avoid: Map<string, number>;
}

const JOIN_ROUNDS = 2;
/** Scopes that join at once. */
const JOINING_MAX = 2;
const JOIN_TURN_MS = 50;
const ANSWER_MS = 2_000;
const AVOID_SILENT_MS = 10_000;
/** The second peer is asked when the first has been quiet for that long. */
const QUIET_MS = 1_000;
const SPACING_MS = 1_000;
const NO_PEER_MS = 1_000;

export class SyncClient {
  readonly #store: Store;
  readonly #targets: Targets;
  readonly #outbox: Outbox;
  readonly #rng: Rng;
  readonly #intervalMs: number;
  readonly #clocks = new Map<number, ScopeClock>();
  #ids = 0;

  constructor(store: Store, targets: Targets, outbox: Outbox, rng: Rng, intervalMs: number) {
    this.#store = store;
    this.#targets = targets;
    this.#outbox = outbox;
    this.#rng = rng;
    this.#intervalMs = intervalMs;
  }

  /** We hold a scope from now on. */
  open(now: number, scope: number): void {
    if (this.#clocks.has(scope)) return;
    this.#clocks.set(scope, {
      toJoin: JOIN_ROUNDS,
      dueMs: now,
      sentMs: -Infinity,
      isWanted: false,
      hint: undefined,
      lastPeer: undefined,
      running: undefined,
      avoid: new Map(),
    });
  }

  close(scope: number): void {
    this.#clocks.delete(scope);
  }

  isJoining(scope: number): boolean {
    return (this.#clocks.get(scope)?.toJoin ?? 0) > 0;
  }

  /** A peer appeared in the scope: a scope that waits for one need not wait any longer. */
  kick(now: number, scope: number): void {
    const clock = this.#clocks.get(scope);
    if (clock !== undefined && clock.toJoin === JOIN_ROUNDS && clock.sentMs === -Infinity) clock.dueMs = now;
  }

  /** There is reason to believe that we differ (from `peer`, if given). */
  trigger(now: number, scope: number, peer: string | undefined, delayMs = 0): void {
    const clock = this.#clocks.get(scope);
    if (clock === undefined) return;
    if (peer !== undefined) clock.hint = peer;
    clock.isWanted = true;
    clock.dueMs = Math.min(clock.dueMs, Math.max(now + delayMs, clock.sentMs + SPACING_MS));
  }

  /** Part of what we asked for came in: whoever sends has not finished. */
  handleDelta(now: number, scope: number): void {
    const clock = this.#clocks.get(scope);
    if (clock !== undefined && clock.toJoin > 0) clock.dueMs = Math.max(clock.dueMs, now + QUIET_MS);
  }

  handleAnswer(now: number, from: string, { id, scope, some }: SyncMessage): void {
    const clock = this.#clocks.get(scope);
    if (clock?.running?.id !== id || clock.running.peer !== from) return;
    if (some !== undefined && clock.running.hasSums) {
      // Here we differ: what do we have there?
      clock.running = { ...clock.running, hasSums: false, untilMs: now + ANSWER_MS };
      const lines = linesOf(this.#store.logs(scope), some.of, some.buckets);
      this.#send(from, { id, scope, flags: SYNC_FLAG.some, lines, some });
      return;
    }
    clock.running = undefined;
    clock.lastPeer = from;
    if (clock.toJoin > 0) clock.toJoin--;
    clock.dueMs = now + (clock.toJoin > 0 || clock.isWanted ? QUIET_MS : this.#interval(scope));
  }

  handleBusy(now: number, from: string, id: number, retryAfterMs: number): void {
    for (const clock of this.#clocks.values()) {
      if (clock.running?.id !== id || clock.running.peer !== from) continue;
      clock.running = undefined;
      clock.avoid.set(from, now + Math.min(retryAfterMs, this.#intervalMs));
      clock.dueMs = now;
    }
  }

  handleDeadline(now: number): void {
    for (const [scope, clock] of this.#clocks) {
      if (clock.running !== undefined && clock.running.untilMs <= now) {
        clock.avoid.set(clock.running.peer, now + AVOID_SILENT_MS);
        clock.running = undefined;
        clock.dueMs = now;
      }
      if (clock.running === undefined && clock.dueMs <= now) this.#start(now, scope, clock);
    }
  }

  nextDeadline(): number {
    let next = Infinity;
    for (const { running, dueMs } of this.#clocks.values()) next = Math.min(next, running?.untilMs ?? dueMs);
    return next;
  }

  #start(now: number, scope: number, clock: ScopeClock): void {
    if (clock.toJoin > 0 && this.#joining() >= JOINING_MAX) {
      clock.dueMs = now + JOIN_TURN_MS;
      return;
    }
    const peer = this.#choose(now, scope, clock);
    if (peer === undefined) {
      clock.dueMs = now + NO_PEER_MS;
      return;
    }
    const id = ++this.#ids;
    const logs = [...this.#store.logs(scope)];
    const hasSums = logs.length > SYNC_LINES_DIRECT;
    clock.running = { id, peer, untilMs: now + ANSWER_MS, hasSums };
    clock.sentMs = now;
    clock.hint = undefined;
    clock.isWanted = false;
    if (hasSums) {
      const sums = bucketSums(logs, SYNC_BUCKETS);
      this.#send(peer, { id, scope, flags: SYNC_FLAG.sums, lines: [], sums });
    } else this.#send(peer, { id, scope, flags: 0, lines: linesOf(logs) });
  }

  #send(peer: string, sync: SyncMessage): void {
    this.#outbox.send(URGENCY.control, peer, encodeSync(sync), true);
  }

  #joining(): number {
    let joining = 0;
    for (const { toJoin, running } of this.#clocks.values())
      if (toJoin > 0 && running !== undefined) joining++;
    return joining;
  }

  #choose(now: number, scope: number, clock: ScopeClock): string | undefined {
    for (const [peer, untilMs] of clock.avoid) if (untilMs <= now) clock.avoid.delete(peer);
    const usable = this.#targets.peers(scope).filter((peer) => !clock.avoid.has(peer));
    if (clock.hint !== undefined && usable.includes(clock.hint)) return clock.hint;
    const others = usable.filter((peer) => peer !== clock.lastPeer);
    return this.#targets.sample(others.length > 0 ? others : usable, 1)[0];
  }

  /** memberlist's push/pull scale: × 1 up to 32 peers, then with the logarithm; ± 20 % so that hosts spread out. */
  #interval(scope: number): number {
    const n = this.#targets.peers(scope).length;
    const scale = n <= 32 ? 1 : 32 - Math.clz32(n - 1) - 5 + 1;
    return this.#intervalMs * scale * (0.8 + 0.4 * this.#rng.float());
  }
}
