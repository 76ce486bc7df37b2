import type { SwimContext } from './context.ts';
import type { MemberTable, Peer } from './member-table.ts';
import type { Timer } from './timer-heap.ts';
import { confirmationsWanted, suspicionMinMs, suspicionTimeoutMs } from './timing.ts';

/**
 * The time that a suspect has to refute (Lifeguard; gossip.md 2.6): long at first, shorter with each independent
 * confirmation, so that one sick accuser alone cannot have a healthy node declared dead quickly.
 */
export interface Suspicion {
  readonly startMs: number;
  readonly minMs: number;
  readonly maxMs: number;
  readonly wanted: number;
  /** Who accused; the first is the accuser, the others confirm. */
  readonly from: Set<string>;
  timer: Timer;
}

export class Suspicions {
  readonly #context: SwimContext;
  readonly #table: MemberTable;
  readonly #onExpired: (now: number, peer: Peer) => void;

  constructor(context: SwimContext, table: MemberTable, onExpired: (now: number, peer: Peer) => void) {
    this.#context = context;
    this.#table = table;
    this.#onExpired = onExpired;
  }

  start(now: number, peer: Peer, accuser: string): void {
    const { suspicionMult, suspicionMaxMult, probeIntervalMs } = this.#context.settings;
    // Fixed for this suspicion, whatever becomes of the cluster meanwhile.
    const minMs = suspicionMinMs(suspicionMult, this.#table.size, probeIntervalMs);
    const maxMs = minMs * suspicionMaxMult;
    const wanted = confirmationsWanted(suspicionMult, this.#table.size);
    const timer = this.#timer(peer, now + suspicionTimeoutMs(minMs, maxMs, wanted, 0));
    peer.suspicion = { startMs: now, minMs, maxMs, wanted, from: new Set([accuser]), timer };
  }

  /** True when this accuser is new and another confirmation was still wanted: then it is worth telling others. */
  confirm(now: number, peer: Peer, suspicion: Suspicion, from: string): boolean {
    const { startMs, minMs, maxMs, wanted } = suspicion;
    if (suspicion.from.size - 1 >= wanted || suspicion.from.has(from)) return false;
    suspicion.from.add(from);
    suspicion.timer.cancel();
    // Counted from the start; a confirmation may find that the time is up already.
    const endMs = startMs + suspicionTimeoutMs(minMs, maxMs, wanted, suspicion.from.size - 1);
    suspicion.timer = this.#timer(peer, Math.max(now, endMs));
    return true;
  }

  cancel(peer: Peer): void {
    peer.suspicion?.timer.cancel();
    peer.suspicion = undefined;
  }

  /** After we were stopped for a while: what refutations came meanwhile is still in the socket, so wait anew. */
  restartAll(now: number): void {
    for (const peer of this.#table.order) {
      if (peer.suspicion === undefined) continue;
      const [accuser = ''] = peer.suspicion.from;
      this.cancel(peer);
      this.start(now, peer, accuser);
    }
  }

  #timer(peer: Peer, atMs: number): Timer {
    return this.#context.timers.at(atMs, (now) => {
      this.#context.counts.add('suspicion-expired');
      this.#onExpired(now, peer);
    });
  }
}
