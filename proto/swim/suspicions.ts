import type { SwimContext } from './context.ts';
import type { MemberTable } from './member-table.ts';
import type { OwnPeer } from './peer.ts';
import type { Timer } from './timer-heap.ts';
import { confirmationsWanted, suspicionMinMs, suspicionTimeoutMs } from './timing.ts';

/**
 * The time that a suspect has to refute (Lifeguard; gossip.md 2.6): long at first, shorter with each independent
 * confirmation, so that one sick accuser alone cannot have a healthy node declared dead quickly.
 */
export interface Suspicion {
  readonly name: string;
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
  readonly #onExpired: (now: number, name: string) => void;
  readonly #running = new Set<Suspicion>();

  constructor(context: SwimContext, table: MemberTable, onExpired: (now: number, name: string) => void) {
    this.#context = context;
    this.#table = table;
    this.#onExpired = onExpired;
  }

  start(now: number, peer: OwnPeer, accuser: string): void {
    const { suspicionMult, suspicionMaxMult, probeIntervalMs } = this.#context.settings;
    // Fixed for this suspicion, whatever becomes of the cluster meanwhile.
    const minMs = suspicionMinMs(suspicionMult, this.#table.size, probeIntervalMs);
    const maxMs = minMs * suspicionMaxMult;
    const wanted = confirmationsWanted(suspicionMult, this.#table.size);
    const { name } = peer;
    const timer = this.#timer(name, now + suspicionTimeoutMs(minMs, maxMs, wanted, 0));
    const suspicion = { name, startMs: now, minMs, maxMs, wanted, from: new Set([accuser]), timer };
    this.#running.add(suspicion);
    peer.suspicion = suspicion;
  }

  /** True when this accuser is new and another confirmation was still wanted: then it is worth telling others. */
  confirm(now: number, suspicion: Suspicion, from: string): boolean {
    const { name, startMs, minMs, maxMs, wanted } = suspicion;
    if (suspicion.from.size - 1 >= wanted || suspicion.from.has(from)) return false;
    suspicion.from.add(from);
    suspicion.timer.cancel();
    // Counted from the start; a confirmation may find that the time is up already.
    const endMs = startMs + suspicionTimeoutMs(minMs, maxMs, wanted, suspicion.from.size - 1);
    suspicion.timer = this.#timer(name, Math.max(now, endMs));
    return true;
  }

  cancel(suspicion: Suspicion | undefined): void {
    if (suspicion === undefined) return;
    suspicion.timer.cancel();
    this.#running.delete(suspicion);
    const peer = this.#table.get(suspicion.name);
    if (peer?.suspicion === suspicion) this.#table.edit(peer).suspicion = undefined;
  }

  /** After we were stopped for a while: what refutations came meanwhile is still in the socket, so wait anew. */
  restartAll(now: number): void {
    const running = [...this.#running];
    for (const suspicion of running) {
      const [accuser = ''] = suspicion.from;
      this.cancel(suspicion);
      const peer = this.#table.get(suspicion.name);
      if (peer !== undefined) this.start(now, this.#table.edit(peer), accuser);
    }
  }

  #timer(name: string, atMs: number): Timer {
    return this.#context.timers.at(atMs, (now) => {
      this.#context.counts.add('suspicion-expired');
      this.#onExpired(now, name);
    });
  }
}
