/**
 * Two replicas that have the same log up to the same head must hold the same records. Where their digests differ, one of
 * them is wrong (corruption or a bug), or news is on its way: after some seconds the trees are compared (tree-repair.ts).
 *
 * What then turns out to be wrong is counted as "divergence", which must stay 0.
 */
import type { SyncLine } from './messages.ts';
import type { OwnerLog } from './owner-log.ts';

/** Ranges above `have` may explain a difference; they are filled or asked for within that time. */
const PATIENCE_MS = 5_000;
const SUSPICIONS_MAX = 1_024;

export class Divergence {
  readonly #suspicions = new Map<OwnerLog, { readonly peer: string; readonly atMs: number }>();
  #nextMs = Infinity;
  /** It is time to look closer at a log that differed from that of `peer`. */
  onDue: (now: number, log: OwnerLog, peer: string) => void = () => {};

  /** A peer told how far its log reaches. */
  handleLine(now: number, peer: string, log: OwnerLog, line: SyncLine): void {
    const { epoch, have, digest, coverage } = log;
    if (line.epoch !== epoch || line.have !== have || coverage.pending) return;
    if (line.digest !== digest) this.suspect(log, peer, now + PATIENCE_MS);
    else if (this.#suspicions.get(log)?.peer === peer) this.#suspicions.delete(log);
  }

  /** The first word about a log stands: others would only put the look off. */
  suspect(log: OwnerLog, peer: string, atMs: number): void {
    if (this.#suspicions.has(log) || this.#suspicions.size >= SUSPICIONS_MAX) return;
    this.#suspicions.set(log, { peer, atMs });
    this.#nextMs = Math.min(this.#nextMs, atMs);
  }

  forget(log: OwnerLog): void {
    this.#suspicions.delete(log);
  }

  handleDeadline(now: number): void {
    if (now < this.#nextMs) return;
    this.#nextMs = Infinity;
    for (const [log, { peer, atMs }] of this.#suspicions) {
      if (atMs > now) this.#nextMs = Math.min(this.#nextMs, atMs);
      else {
        this.#suspicions.delete(log);
        this.onDue(now, log, peer);
      }
    }
  }

  nextDeadline(): number {
    return this.#nextMs;
  }
}
