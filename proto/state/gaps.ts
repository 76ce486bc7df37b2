/**
 * PULL: asks for what is missing from a log (gossip.md 7.5), and for what it is said to have more.
 *
 * A hole older than 300 ms (reordering heals itself) is asked for at whoever spoke of it, then at the owner, in turn
 * with growing pauses; after that the scope is flagged for an early sync. A hole that HEADS show is older than it looks
 * (they come after the update), and a log we have nothing of has nothing to wait for.
 *
 * HEADS are not signed: what they say is a hint, asked after in the same way and then forgotten. A log that has no hole
 * and yet not the digest that its owner signed (`isDoubtful`) was told only a part: it is compared with the owner's.
 */
import type { Rng } from '../env.ts';
import type { Head, LogName } from './messages.ts';
import { encodePull } from './messages.ts';
import type { Outbox } from './outbox.ts';
import { URGENCY } from './outbox.ts';
import type { OwnerLog } from './owner-log.ts';
import type { Owners } from './owners.ts';
import type { Store } from './store.ts';

interface Gap {
  readonly name: LogName;
  /** Somebody says, unsigned, that the log reaches that far; undefined: we see ourselves that something is missing. */
  hint: number | undefined;
  readonly source: string;
  tries: number;
  atMs: number;
}

interface Doubt {
  have: number;
  tries: number;
  atMs: number;
}

const PATIENCE_MS = 300;
const HEADS_PATIENCE_MS = 50;
const RETRY_MS = 100;
/** Spreads the questions of many receivers of one greeting. */
const EMPTY_PATIENCE_MS = 10;
const TRIES_MAX = 6;
const GAPS_MAX = 4_096;
/** While pieces come in, a log may well differ from what its owner signed. */
const DOUBT_PATIENCE_MS = 1_000;
const DOUBT_MAX_MS = 64_000;

export interface GapsDeps {
  readonly self: string;
  readonly store: Store;
  readonly owners: Owners;
  readonly outbox: Outbox;
  readonly rng: Rng;
}

export class Gaps {
  readonly #deps: GapsDeps;
  readonly #gaps = new Map<string, Gap>();
  readonly #doubts = new Map<OwnerLog, Doubt>();
  #nextMs = Infinity;
  /** A snapshot of the log is on its way: no need to ask. */
  isComing: (now: number, log: OwnerLog) => boolean = () => false;
  /** Nobody answered. */
  onGiveUp: (now: number, scope: number) => void = () => {};
  /** The log is to be compared with the owner's. */
  onDoubt: (now: number, log: OwnerLog) => void = () => {};

  constructor(deps: GapsDeps) {
    this.#deps = deps;
  }

  /** Something came in for the log: is anything still missing? */
  check(now: number, log: OwnerLog, source: string): void {
    this.#checkDoubt(now, log);
    const key = keyOf(log);
    if (log.hasGap) this.#note(now, { name: log.name, hint: undefined, source }, patienceFor(log));
    else if (this.#isAnswered(this.#gaps.get(key))) this.#gaps.delete(key);
  }

  /** Somebody says how far a log reaches. */
  hint(now: number, head: Head, source: string): void {
    const { scope, owner, epoch } = head;
    const gap = { name: { scope, owner, epoch }, hint: head.head, source };
    if (this.#isAnswered({ ...gap, tries: 0, atMs: 0 })) return;
    const known = this.#gaps.get(keyOf(head));
    if (known !== undefined) {
      if (known.hint !== undefined && known.name.epoch === epoch)
        known.hint = Math.max(known.hint, head.head);
      // Still unanswered, and the owner says it again: a question or an answer was lost.
      if (source === owner) this.#hurry(known, now + HEADS_PATIENCE_MS);
      return;
    }
    const log = this.#deps.store.log(scope, owner);
    this.#note(now, gap, log === undefined || log.have === 0 ? undefined : HEADS_PATIENCE_MS);
  }

  #note(now: number, gap: Pick<Gap, 'name' | 'hint' | 'source'>, patienceMs: number | undefined): void {
    const key = keyOf(gap.name);
    const known = this.#gaps.get(key);
    // What we see ourselves goes before what somebody says.
    const isBetter = known !== undefined && known.hint !== undefined && gap.hint === undefined;
    if (known !== undefined ? !isBetter : this.#gaps.size >= GAPS_MAX) return;
    const atMs = now + (patienceMs ?? EMPTY_PATIENCE_MS * this.#deps.rng.float());
    this.#gaps.set(key, { ...gap, tries: 0, atMs });
    this.#nextMs = Math.min(this.#nextMs, atMs);
  }

  #hurry(gap: Gap, atMs: number): void {
    gap.atMs = Math.min(gap.atMs, atMs);
    this.#nextMs = Math.min(this.#nextMs, gap.atMs);
  }

  #isAnswered(gap: Gap | undefined): boolean {
    if (gap === undefined) return true;
    const log = this.#deps.store.log(gap.name.scope, gap.name.owner);
    if (gap.hint === undefined) return log?.hasGap !== true;
    if (log === undefined || log.epoch < gap.name.epoch) return gap.hint === 0;
    return log.epoch > gap.name.epoch || log.have >= gap.hint;
  }

  #checkDoubt(now: number, log: OwnerLog): void {
    if (!log.isDoubtful || log.owner === this.#deps.self) {
      this.#doubts.delete(log);
      return;
    }
    const known = this.#doubts.get(log);
    if (known === undefined && this.#doubts.size >= GAPS_MAX) return;
    const atMs = known !== undefined && known.have === log.have ? known.atMs : now + DOUBT_PATIENCE_MS;
    this.#doubts.set(log, { have: log.have, tries: known?.tries ?? 0, atMs });
    this.#nextMs = Math.min(this.#nextMs, atMs);
  }

  forget(log: OwnerLog): void {
    this.#gaps.delete(keyOf(log));
    this.#doubts.delete(log);
  }

  handleDeadline(now: number): void {
    if (now < this.#nextMs) return;
    this.#nextMs = Infinity;
    for (const [key, gap] of this.#gaps) {
      if (gap.atMs <= now) this.#ask(now, key, gap);
      if (this.#gaps.has(key)) this.#nextMs = Math.min(this.#nextMs, gap.atMs);
    }
    for (const [log, doubt] of this.#doubts) {
      if (doubt.atMs <= now) this.#askOwner(now, log, doubt);
      if (this.#doubts.has(log)) this.#nextMs = Math.min(this.#nextMs, doubt.atMs);
    }
  }

  nextDeadline(): number {
    return this.#nextMs;
  }

  #ask(now: number, key: string, gap: Gap): void {
    const { store, owners, outbox } = this.#deps;
    if (this.#isAnswered(gap)) {
      this.#gaps.delete(key);
      return;
    }
    const { scope, owner, epoch } = gap.name;
    const log = store.log(scope, owner);
    if (log !== undefined && this.isComing(now, log)) {
      gap.atMs = now + PATIENCE_MS;
      return;
    }
    if (gap.tries >= TRIES_MAX) {
      this.#gaps.delete(key);
      // A stranger's word alone is no reason to trouble a third.
      if (gap.hint === undefined || gap.source === owner) this.onGiveUp(now, scope);
      return;
    }
    const asks = gap.tries % 2 === 0 ? [gap.source, owner] : [owner, gap.source];
    const to = asks.find((name) => owners.isPeer(name));
    const above = log?.epoch === epoch ? log.have : 0;
    if (to !== undefined) outbox.send(URGENCY.control, to, encodePull({ scope, owner, epoch }, above), false);
    gap.atMs = now + RETRY_MS * 2 ** gap.tries;
    gap.tries++;
  }

  #askOwner(now: number, log: OwnerLog, doubt: Doubt): void {
    if (!log.isDoubtful) {
      this.#doubts.delete(log);
      return;
    }
    if (!this.isComing(now, log)) {
      this.onDoubt(now, log);
      doubt.tries++;
    }
    doubt.atMs = now + Math.min(DOUBT_MAX_MS, DOUBT_PATIENCE_MS * 2 ** doubt.tries);
  }
}

const keyOf = ({ scope, owner }: { scope: number; owner: string }): string => `${scope} ${owner}`;

const patienceFor = (log: OwnerLog): number | undefined => (log.have === 0 ? undefined : PATIENCE_MS);
