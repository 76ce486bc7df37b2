/**
 * News while it is news (gossip.md 7.5): own writes to the interested, relays of what was new to us, heads, pulls.
 *
 * Everything here may be lost without harm; HEADS and PULL repair soon, anti-entropy (sync-*) at last.
 */
import type { Counters } from './counters.ts';
import type { Epidemic } from './epidemic.ts';
import type { Gaps } from './gaps.ts';
import type { Heads } from './heads.ts';
import type { Merge } from './merge.ts';
import type { Head, Update } from './messages.ts';
import { encodeUpdate } from './messages.ts';
import type { Outbox } from './outbox.ts';
import { URGENCY } from './outbox.ts';
import type { OwnerLog } from './owner-log.ts';
import type { OwnLogs } from './own-logs.ts';
import type { Piggyback } from './piggyback.ts';
import type { Targets } from './targets.ts';

export interface FastPathDeps {
  readonly ownLogs: OwnLogs;
  readonly merge: Merge;
  readonly targets: Targets;
  readonly outbox: Outbox;
  readonly epidemic: Epidemic;
  readonly heads: Heads;
  readonly gaps: Gaps;
  readonly piggyback: Piggyback;
  readonly counters: Counters;
}

export class FastPath {
  readonly #deps: FastPathDeps;

  constructor(deps: FastPathDeps) {
    this.#deps = deps;
  }

  /** Sends own writes that are due. */
  flush(now: number): void {
    for (const { log, update } of this.#deps.ownLogs.takeUpdates(now)) this.#tell(now, log, update);
  }

  #tell(now: number, log: OwnerLog, update: Update): void {
    const { targets, outbox, epidemic, heads, piggyback } = this.#deps;
    const bytes = encodeUpdate(update);
    const direct = targets.direct(log.scope);
    if (log.scope === 0) piggyback.add(bytes);
    if (direct === undefined) {
      epidemic.spread(now, update, bytes, true);
    } else {
      for (const to of direct) outbox.send(URGENCY.own, to, bytes, false);
    }
    heads.changed(now, log, true, direct && bytes);
  }

  handleUpdate(now: number, from: string, update: Update, bytes: Uint8Array): void {
    const { merge, targets, epidemic, heads, gaps } = this.#deps;
    const result = merge.update(now, from, update);
    if (result === undefined) return;
    // Also when it is old: then our acknowledgement was lost.
    if (from === update.owner && targets.isDirect(update.scope)) heads.received(now, result.log);
    if (result.isNew && !targets.isDirect(update.scope)) {
      epidemic.spread(now, update, bytes.slice(), false);
      heads.changed(now, result.log, false);
    }
    gaps.check(now, result.log, from);
  }

  handleHeads(now: number, from: string, heads: readonly Head[]): void {
    const { ownLogs, merge, gaps } = this.#deps;
    for (const head of heads) {
      const own = ownLogs.log(head.scope);
      if (own?.owner === head.owner && own.epoch === head.epoch)
        this.#deps.heads.acknowledged(from, own, head.head);
      if (merge.mayAsk(now, from, head)) gaps.hint(now, head, from);
    }
  }
}
