/**
 * Spreading updates among many interested peers (gossip.md 7.5): every round a few random ones get what is queued,
 * own writes before relays; who finds an update new relays it in turn.
 *
 * Rounds are 50 ms apart while something is fresh (its first 4 rounds), then 200 ms. An update goes in all to
 * 4 × ceil(log10(n + 1)) peers. The relay queue is bounded; on overflow relays are dropped and the scope flagged for an
 * early sync. A relay whose records have all been superseded is not sent any more.
 */
import { isGoodbye } from './farewells.ts';
import { recordsOf } from './block.ts';
import type { Counters } from './counters.ts';
import type { Update } from './messages.ts';
import { endOf } from './messages.ts';
import type { Outbox } from './outbox.ts';
import { URGENCY } from './outbox.ts';
import { recordId } from './record.ts';
import type { Store } from './store.ts';
import type { Targets } from './targets.ts';
import { decades } from './targets.ts';

interface Rumour {
  readonly update: Update;
  readonly bytes: Uint8Array;
  readonly isOwn: boolean;
  transmits: number;
  rounds: number;
}

const FANOUT = 3;
const FRESH_ROUNDS = 4;
const FRESH_ROUND_MS = 50;
const ROUND_MS = 200;
const RETRANSMIT_MULT = 4;
const RELAYS_MAX = 4_096;

export class Epidemic {
  readonly #store: Store;
  readonly #targets: Targets;
  readonly #outbox: Outbox;
  readonly #counters: Counters;
  readonly #rumours = new Map<number, Map<string, Rumour>>();
  #nextMs = Infinity;
  /** A scope lost relays. */
  onOverflow: (now: number, scope: number) => void = () => {};

  constructor(store: Store, targets: Targets, outbox: Outbox, counters: Counters) {
    this.#store = store;
    this.#targets = targets;
    this.#outbox = outbox;
    this.#counters = counters;
  }

  spread(now: number, update: Update, bytes: Uint8Array, isOwn: boolean): void {
    const { scope, owner, epoch, from } = update;
    const queue = this.#rumours.get(scope) ?? new Map<string, Rumour>();
    this.#rumours.set(scope, queue);
    if (!isOwn && queue.size >= RELAYS_MAX) {
      this.#counters.add('drop:relay');
      this.onOverflow(now, scope);
      return;
    }
    queue.set(`${owner} ${epoch} ${from} ${endOf(update)}`, {
      update,
      bytes,
      isOwn,
      transmits: 0,
      rounds: 0,
    });
    this.#nextMs = Math.min(this.#nextMs, now + FRESH_ROUND_MS);
  }

  handleDeadline(now: number): void {
    if (now < this.#nextMs) return;
    let isFresh = false;
    for (const [scope, queue] of this.#rumours) {
      isFresh = this.#round(scope, queue) || isFresh;
      if (queue.size === 0) this.#rumours.delete(scope);
    }
    this.#nextMs = this.#rumours.size === 0 ? Infinity : now + (isFresh ? FRESH_ROUND_MS : ROUND_MS);
  }

  nextDeadline(): number {
    return this.#nextMs;
  }

  /** True when something in the scope is still fresh. */
  #round(scope: number, queue: Map<string, Rumour>): boolean {
    const peers = this.#targets.peers(scope);
    const limit = RETRANSMIT_MULT * decades(peers.length + 1);
    const chosen = this.#targets.sample(peers, FANOUT);
    let isFresh = false;
    const ordered = [...queue].sort((a, b) => Number(b[1].isOwn) - Number(a[1].isOwn));
    for (const [key, rumour] of ordered) {
      if (!rumour.isOwn && this.#isSuperseded(rumour.update)) {
        queue.delete(key);
        continue;
      }
      const urgency = rumour.isOwn ? URGENCY.own : URGENCY.relay;
      for (const to of chosen) this.#outbox.send(urgency, to, rumour.bytes, false);
      rumour.transmits += chosen.length;
      rumour.rounds++;
      if (rumour.transmits >= limit || chosen.length === 0) queue.delete(key);
      else if (rumour.rounds < FRESH_ROUNDS) isFresh = true;
    }
    return isFresh;
  }

  #isSuperseded({ scope, owner, epoch, blocks }: Update): boolean {
    const records = blocks.flatMap(recordsOf);
    // Its log is gone here because of it.
    if (records.some(isGoodbye)) return false;
    const log = this.#store.log(scope, owner);
    if (log === undefined || log.epoch !== epoch) return true;
    if (records.length === 0) return false;
    return records.every(
      ({ table, keyHex, seq }) => (log.records.get(recordId(table, keyHex))?.seq ?? 0) > seq,
    );
  }
}
