import { Estimate } from './estimate.ts';
import { candidates, knownSizes, spread } from './candidates.ts';
import type { SearchOptions } from './options.ts';

/**
 * Packetization layer path MTU discovery for one path (DPLPMTUD, RFC 8899 §5), without any help from ICMP.
 *
 * Probes go out in rounds: a few sizes at once, among them always one so small that it passes wherever anything does. A
 * size that passed is believed at once. That one did not answer says nothing by itself: it counts only in a round in which a
 * smaller one was answered, and only after several of these in a row; so neither loss nor a dead path nor a sleeping host
 * lowers anything.
 *
 *   base       nothing was ever answered: the link's own size is gone by, as there is nothing better
 *   search     what lies between the largest that passes and the smallest that does not
 *   complete   both are known; what passes is confirmed, twice a second under traffic; now and then more is tried
 *   error      less than the base size passes (§5.2.2); searched and confirmed like the others
 *
 * A confirmation that fails makes the path suspect: then rounds follow at once, with sizes between as well, so that a black
 * hole (§4.3) is not only found within a second, but what still passes is known in the same moment.
 */
export type PathState = 'base' | 'search' | 'complete' | 'error';

export interface Probe {
  /** Of the IP packet. */
  readonly bytes: number;
  readonly token: number;
}

interface Sent extends Probe {
  readonly sentMs: number;
}

interface Round {
  /** Not answered yet. */
  readonly tokens: Map<number, number>;
  readonly sizes: readonly number[];
  /** What passes was being confirmed without any doubt: no sizes between are in it. */
  readonly isPlain: boolean;
  largest: number;
}

/** Sizes of one round beside the control. */
const SIZES_PER_ROUND = 6;
/** Probes of earlier rounds whose late answers are still understood. */
const REMEMBERED = 64;
const REMEMBERED_MS = 5_000;
/** Tried again after so long when nothing can be sent. */
const NO_SESSION_MS = 100;

export class PathSearch {
  readonly #options: SearchOptions;
  readonly #estimate = new Estimate();
  /** Largest that passes, 0: nothing was ever answered; smallest that does not. */
  #low = 0;
  #high: number;
  /** Before the first search found out about the link's size. */
  #isHopeful = true;
  /** Rounds in a row in which a size failed. */
  readonly #fails = new Map<number, number>();
  /** Sizes that are being decided. */
  #batch: number[];
  /** Of the round that is out. */
  #round: Round | undefined;
  readonly #sent = new Map<number, Sent>();
  readonly #queue: Probe[] = [];
  #dueMs: number;
  #silentRounds = 0;
  /** The next round's probes, spent already; from `atMs` on they may go out. */
  #leave: { count: number; readonly atMs: number } | undefined;
  #isActive = false;
  #activeUntilMs = -Infinity;
  #confirmedMs = -Infinity;
  #raiseAtMs = Infinity;
  #raiseMs: number;
  #loweredMs = -Infinity;
  #blackHoles = 0;

  constructor(now: number, options: SearchOptions) {
    this.#options = options;
    const { linkBytes, timing, rng } = options;
    this.#high = linkBytes + 1;
    this.#raiseMs = timing.raiseMs;
    const between = knownSizes(timing.baseBytes, linkBytes, linkBytes);
    this.#batch = this.#below([timing.baseBytes, ...spread(between, SIZES_PER_ROUND - 2), linkBytes]);
    this.#dueMs = now + rng.float() * NO_SESSION_MS;
    options.budget.countPath(1);
  }

  /** It is not gone by any more. */
  close(): void {
    const { budget } = this.#options;
    budget.countPath(-1);
    if (this.#isActive) budget.countActive(-1);
    budget.giveBack(this.#leave?.count ?? 0);
  }

  /** What to go by: bytes of an IP packet. */
  get mtu(): number {
    return this.#low === 0 || this.#isHopeful ? this.#options.linkBytes : this.#low;
  }

  /** The largest packet that was answered for; undefined: none yet. */
  get proven(): number | undefined {
    return this.#low === 0 ? undefined : this.#low;
  }

  get state(): PathState {
    if (this.#low === 0) return 'base';
    if (this.#low < this.#options.timing.baseBytes && this.#high <= this.#options.timing.baseBytes)
      return 'error';
    return this.#batch.length > 0 ? 'search' : 'complete';
  }

  get rttMs(): number | undefined {
    return this.#estimate.rttMs;
  }

  get loss(): number | undefined {
    return this.#estimate.loss;
  }

  /** Times that what had passed passed no more. */
  get blackHoles(): number {
    return this.#blackHoles;
  }

  nextDeadline(): number {
    return this.#dueMs;
  }

  /** Probes to be sent now. */
  pollProbe(): Probe | undefined {
    return this.#queue.shift();
  }

  /** There is traffic: what passes is confirmed often from now on, and soon. */
  noteTraffic(now: number): void {
    const { budget, timing } = this.#options;
    this.#activeUntilMs = now + timing.activeForMs;
    if (!this.#isActive) budget.countActive(1);
    this.#isActive = true;
    if (this.#round === undefined && this.#low > 0 && this.#leave === undefined)
      this.#dueMs = Math.min(this.#dueMs, Math.max(now, this.#confirmedMs + this.#confirmMs()));
  }

  /** False: it is no answer to a probe of ours. */
  handleAnswer(now: number, token: number, bytes: number): boolean {
    const probe = this.#sent.get(token);
    if (probe === undefined || probe.bytes !== bytes) return false;
    this.#sent.delete(token);
    this.#estimate.answered(now - probe.sentMs);
    this.#silentRounds = 0;
    // From before a black hole: it says nothing of what passes now.
    if (probe.sentMs >= this.#loweredMs) this.#passed(bytes);
    const round = this.#round;
    if (round?.tokens.delete(token) !== true) return true;
    if (round.largest === 0) this.#hurry(now, now - probe.sentMs);
    round.largest = Math.max(round.largest, bytes);
    if (round.tokens.size === 0) this.#closeRound(now);
    return true;
  }

  /** Our own kernel would not send it: that needs no second word, only a round that tells what passes instead. */
  handleTooLong(token: number): void {
    const probe = this.#sent.get(token);
    if (probe !== undefined) this.#fails.set(probe.bytes, this.#options.timing.triesMost);
  }

  handleDeadline(now: number): void {
    if (now < this.#dueMs) return;
    if (this.#round !== undefined) this.#closeRound(now);
    else this.#openRound(now);
  }

  #openRound(now: number): void {
    const { timing, rng } = this.#options;
    if (now >= this.#raiseAtMs) this.#beginRaise();
    const isSuspect = this.#fails.has(this.#low);
    const wanted = isSuspect ? this.#below(this.#doubted()) : this.#below([this.#low, ...this.#batch]);
    const sizes = [timing.floorBytes, ...wanted.filter((size) => size > timing.floorBytes)];
    if (!this.#hasLeave(now, sizes.length)) return;
    const tokens = new Map<number, number>();
    for (const bytes of sizes) {
      // 53 bits.
      const token = rng.u32() * 0x20_0000 + (rng.u32() >>> 11);
      tokens.set(token, bytes);
      this.#sent.set(token, { bytes, token, sentMs: now });
      this.#queue.push({ bytes, token });
    }
    this.#forgetOld(now);
    this.#round = { tokens, sizes, isPlain: !isSuspect, largest: 0 };
    this.#confirmedMs = now;
    this.#dueMs = now + this.#estimate.waitMs(timing.firstWaitMs, timing.leastWaitMs, timing.mostWaitMs);
  }

  /** Whether so many probes may go out now; otherwise it is known when to ask again. */
  #hasLeave(now: number, count: number): boolean {
    const { budget, canProbe, rng } = this.#options;
    if (!canProbe()) {
      budget.giveBack(this.#leave?.count ?? 0);
      this.#leave = undefined;
      this.#dueMs = now + NO_SESSION_MS * (1 + rng.float());
      return false;
    }
    // What became of the path while it waited may take other sizes, and so a few probes more or less.
    const more = count - (this.#leave?.count ?? 0);
    const waitMs = budget.spend(now, more);
    this.#leave ??= { count, atMs: now + waitMs };
    this.#leave.count = count;
    if (now < this.#leave.atMs) {
      this.#dueMs = this.#leave.atMs;
      return false;
    }
    this.#leave = undefined;
    return true;
  }

  /** All of a round went out together: what comes does so soon after the first, however long that took on a busy host. */
  #hurry(now: number, rttMs: number): void {
    this.#dueMs = Math.min(this.#dueMs, now + Math.max(rttMs, this.#options.timing.leastWaitMs));
  }

  /** What passed until now, and sizes below it. */
  #doubted(): number[] {
    const { timing, linkBytes } = this.#options;
    const from = this.#low > timing.baseBytes ? timing.baseBytes : timing.floorBytes;
    const between = candidates(from, this.#low, linkBytes, timing.stepBytes, SIZES_PER_ROUND - 2);
    return [from, ...between, this.#low];
  }

  #closeRound(now: number): void {
    const round = this.#round;
    if (round === undefined) return;
    this.#round = undefined;
    const unanswered = new Set(round.tokens.values());
    this.#estimate.note(!unanswered.has(this.#options.timing.floorBytes));
    if (round.largest === 0) this.#silentRounds += 1;
    const tries = this.#estimate.tries(this.#options.timing.tries, this.#options.timing.triesMost);
    for (const bytes of round.sizes) {
      const isAlive = round.sizes.some((other) => other < bytes && !unanswered.has(other));
      if (!unanswered.has(bytes) || !isAlive) continue;
      const fails = (this.#fails.get(bytes) ?? 0) + 1;
      this.#fails.set(bytes, fails);
      // Before it is given up, it is known what to go by instead.
      if (fails < tries || (round.isPlain && bytes === this.#low)) continue;
      this.#failed(now, bytes, round.largest);
      break;
    }
    this.#settle(now);
  }

  #passed(bytes: number): void {
    this.#low = Math.max(this.#low, bytes);
    for (const size of this.#fails.keys()) if (size <= bytes) this.#fails.delete(size);
    if (bytes >= this.#high) this.#high = this.#options.linkBytes + 1;
    if (bytes >= this.#options.linkBytes) this.#isHopeful = false;
    this.#trimBatch();
  }

  /** Nothing of this size passes: what was known to pass beyond it does no more. `largest`: what has just passed. */
  #failed(now: number, bytes: number, largest: number): void {
    const { timing } = this.#options;
    this.#high = Math.min(this.#high, bytes);
    this.#isHopeful = false;
    if (this.#low >= bytes) {
      this.#blackHoles += 1;
      this.#loweredMs = now;
      this.#low = Math.min(Math.max(largest, timing.floorBytes), bytes - 1);
      this.#raiseMs = timing.raiseSoonMs;
      this.#raiseAtMs = Infinity;
      this.#batch = this.#nextBatch();
    }
    for (const size of this.#fails.keys()) if (size >= this.#high) this.#fails.delete(size);
    this.#trimBatch();
  }

  #trimBatch(): void {
    this.#batch = this.#batch.filter((size) => size > this.#low && size < this.#high);
  }

  #nextBatch(): number[] {
    const { linkBytes, timing } = this.#options;
    return candidates(this.#low, this.#high, linkBytes, timing.stepBytes, SIZES_PER_ROUND - 1);
  }

  /** Between rounds: what comes next, and when. */
  #settle(now: number): void {
    const { budget, timing, rng } = this.#options;
    if (this.#isActive && now >= this.#activeUntilMs) {
      this.#isActive = false;
      budget.countActive(-1);
    }
    if (this.#silentRounds > 0) {
      const most = this.#isActive && this.#low > 0 ? this.#confirmMs() * 2 : timing.confirmIdleMs;
      const wait = Math.min(most, timing.silentMs * 2 ** Math.min(this.#silentRounds - 1, 10));
      this.#dueMs = now + wait * (0.75 + rng.float() / 2);
      return;
    }
    if (this.#low > 0 && this.#batch.length === 0) this.#batch = this.#nextBatch();
    if (this.#batch.length > 0 || this.#fails.has(this.#low)) {
      this.#dueMs = now;
      return;
    }
    this.#scheduleRaise(now);
    const every = this.#confirmMs() * (this.#isActive ? 1 : 0.75 + rng.float() / 2);
    this.#dueMs = Math.min(now + every, Math.max(now, this.#raiseAtMs));
  }

  #confirmMs(): number {
    const { budget, timing } = this.#options;
    return budget.confirmMs(this.#isActive, this.#isActive ? timing.confirmActiveMs : timing.confirmIdleMs);
  }

  /** The search is over; whether more passes by now is tried later, ever later. */
  #scheduleRaise(now: number): void {
    this.#isHopeful = false;
    const isWorthIt = this.#low < this.#options.linkBytes;
    if (!isWorthIt) this.#raiseAtMs = Infinity;
    else if (this.#raiseAtMs === Infinity) this.#raiseAtMs = now + this.#raiseMs;
  }

  #beginRaise(): void {
    this.#raiseAtMs = Infinity;
    this.#raiseMs = Math.min(this.#options.timing.raiseMostMs, this.#raiseMs * 2);
    this.#high = this.#options.linkBytes + 1;
    this.#fails.clear();
    this.#batch = this.#nextBatch();
  }

  /** Those that our link takes, rising, each once. */
  #below(sizes: readonly number[]): number[] {
    const { linkBytes } = this.#options;
    return [...new Set(sizes.map((size) => Math.min(size, linkBytes)))].sort((a, b) => a - b);
  }

  #forgetOld(now: number): void {
    for (const [token, { sentMs }] of this.#sent) {
      if (now - sentMs <= REMEMBERED_MS && this.#sent.size <= REMEMBERED) return;
      this.#sent.delete(token);
    }
  }
}
