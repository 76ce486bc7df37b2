/**
 * Two replicas that have the same log up to the same head must hold the same records. If their digests differ twice,
 * some seconds apart, one of them is wrong: corruption or a bug. It is counted ("divergence", must stay 0) and the owner
 * is asked for a snapshot (gossip.md 7.6 step 4 in its simplest form; the tree comes later).
 */
import type { Counters } from './counters.ts';
import type { SyncLine } from './messages.ts';
import { SYNC_ANSWER, encodeSync } from './messages.ts';
import type { Outbox } from './outbox.ts';
import { URGENCY } from './outbox.ts';
import type { OwnerLog } from './owner-log.ts';
import type { Owners } from './owners.ts';

interface Suspicion {
  readonly epoch: bigint;
  readonly have: number;
  readonly digest: bigint;
  readonly sinceMs: number;
}

/** Ranges above `have` may explain a difference; they are filled or asked for within that time. */
const CONFIRM_MS = 5_000;
const SUSPICIONS_MAX = 1_024;

export class Divergence {
  readonly #owners: Owners;
  readonly #outbox: Outbox;
  readonly #counters: Counters;
  readonly #suspicions = new Map<string, Suspicion>();

  constructor(owners: Owners, outbox: Outbox, counters: Counters) {
    this.#owners = owners;
    this.#outbox = outbox;
    this.#counters = counters;
  }

  /** Whether the peer's line differs from our log with no innocent explanation left. */
  isDivergent(now: number, peer: string, log: OwnerLog, line: SyncLine): boolean {
    const key = `${log.scope} ${log.owner} ${peer}`;
    const { epoch, have, digest } = log;
    if (line.epoch !== epoch || line.have !== have || line.digest === digest || log.coverage.pending) {
      this.#suspicions.delete(key);
      return false;
    }
    const known = this.#suspicions.get(key);
    if (known?.epoch !== epoch || known.have !== have || known.digest !== digest) {
      if (this.#suspicions.size >= SUSPICIONS_MAX)
        this.#suspicions.delete(this.#suspicions.keys().next().value!);
      this.#suspicions.set(key, { epoch, have, digest, sinceMs: now });
      return false;
    }
    if (now - known.sinceMs < CONFIRM_MS) return false;
    this.#suspicions.delete(key);
    this.#counters.add('divergence');
    return true;
  }

  /** A want for the whole log, addressed to its owner. */
  askOwner(log: OwnerLog): void {
    if (!this.#owners.isPeer(log.owner)) return;
    const line = { ...log.line(), have: 0 };
    const bytes = encodeSync({ id: 0, scope: log.scope, flags: SYNC_ANSWER, lines: [line] });
    this.#outbox.send(URGENCY.control, log.owner, bytes, true);
  }
}
