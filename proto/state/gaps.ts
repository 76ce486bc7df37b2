/**
 * PULL: asks for what is known to be missing from a log (gossip.md 7.5).
 *
 * A hole older than 300 ms (reordering heals itself) is asked for at whoever spoke of it, then at the owner, in turn
 * with growing pauses; after that the scope is flagged for an early sync. A hole that HEADS show is older than it looks
 * (they come after the update), and a log we have nothing of has nothing to wait for.
 */
import type { Rng } from '../env.ts';
import { encodePull } from './messages.ts';
import type { Outbox } from './outbox.ts';
import { URGENCY } from './outbox.ts';
import type { OwnerLog } from './owner-log.ts';
import type { Owners } from './owners.ts';

interface Gap {
  readonly source: string;
  tries: number;
  atMs: number;
}

const PATIENCE_MS = 300;
const HEADS_PATIENCE_MS = 50;
const RETRY_MS = 150;
/** Spreads the questions of many receivers of one greeting. */
const EMPTY_PATIENCE_MS = 10;
const TRIES_MAX = 5;
const GAPS_MAX = 4_096;

export class Gaps {
  readonly #owners: Owners;
  readonly #outbox: Outbox;
  readonly #rng: Rng;
  readonly #gaps = new Map<OwnerLog, Gap>();
  #nextMs = Infinity;
  /** A snapshot of the log is on its way: no need to ask. */
  isComing: (now: number, log: OwnerLog) => boolean = () => false;
  /** Nobody answered. */
  onGiveUp: (now: number, scope: number) => void = () => {};

  constructor(owners: Owners, outbox: Outbox, rng: Rng) {
    this.#owners = owners;
    this.#outbox = outbox;
    this.#rng = rng;
  }

  /** Something came in for the log: is anything still missing? */
  check(now: number, log: OwnerLog, source: string, isByHeads = false): void {
    if (!log.hasGap) {
      this.#gaps.delete(log);
      return;
    }
    if (this.#gaps.has(log) || this.#gaps.size >= GAPS_MAX) return;
    const usual = isByHeads ? HEADS_PATIENCE_MS : PATIENCE_MS;
    const patience = log.have === 0 ? EMPTY_PATIENCE_MS * this.#rng.float() : usual;
    this.#gaps.set(log, { source, tries: 0, atMs: now + patience });
    this.#nextMs = Math.min(this.#nextMs, now + patience);
  }

  forget(log: OwnerLog): void {
    this.#gaps.delete(log);
  }

  handleDeadline(now: number): void {
    if (now < this.#nextMs) return;
    this.#nextMs = Infinity;
    for (const [log, gap] of this.#gaps) {
      if (gap.atMs <= now) this.#ask(now, log, gap);
      if (this.#gaps.has(log)) this.#nextMs = Math.min(this.#nextMs, gap.atMs);
    }
  }

  nextDeadline(): number {
    return this.#nextMs;
  }

  #ask(now: number, log: OwnerLog, gap: Gap): void {
    if (!log.hasGap) {
      this.#gaps.delete(log);
      return;
    }
    if (this.isComing(now, log)) {
      gap.atMs = now + PATIENCE_MS;
      return;
    }
    if (gap.tries >= TRIES_MAX) {
      this.#gaps.delete(log);
      this.onGiveUp(now, log.scope);
      return;
    }
    const asks = gap.tries % 2 === 0 ? [gap.source, log.owner] : [log.owner, gap.source];
    const to = asks.find((name) => this.#owners.isPeer(name));
    if (to !== undefined) this.#outbox.send(URGENCY.control, to, encodePull(log, log.have), false);
    gap.atMs = now + RETRY_MS * 2 ** gap.tries;
    gap.tries++;
  }
}
