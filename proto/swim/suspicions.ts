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
  /** Later than it began by the time that we did not live through. */
  startMs: number;
  readonly minMs: number;
  readonly maxMs: number;
  readonly wanted: number;
  /** Who accused; the first is the accuser, the others confirm. */
  readonly from: Set<string>;
  timer: Timer;
}

/** Of a host that was stopped: to read what came meanwhile. */
const READ_SOCKET_MS = 250;

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
    const formula = { startMs: now, minMs, maxMs, wanted, from: new Set([accuser]) };
    const suspicion = { name, ...formula, timer: this.#timer(name, endOf(formula)) };
    this.#running.add(suspicion);
    peer.suspicion = suspicion;
  }

  /** True when this accuser is new and another confirmation was still wanted: then it is worth telling others. */
  confirm(now: number, suspicion: Suspicion, from: string): boolean {
    if (suspicion.from.size - 1 >= suspicion.wanted || suspicion.from.has(from)) return false;
    suspicion.from.add(from);
    suspicion.timer.cancel();
    // Counted from the start; a confirmation may find that the time is up already.
    suspicion.timer = this.#timer(suspicion.name, Math.max(now, endOf(suspicion)));
    return true;
  }

  cancel(suspicion: Suspicion | undefined): void {
    if (suspicion === undefined) return;
    suspicion.timer.cancel();
    this.#running.delete(suspicion);
    const peer = this.#table.get(suspicion.name);
    if (peer?.suspicion === suspicion) this.#table.edit(peer).suspicion = undefined;
  }

  /**
   * We were stopped for `stallMs`: that time does not count. And a little more, for refutations that lie in the socket;
   * not the whole time anew, or a host that is stopped again and again would never see a death.
   */
  postponeAll(now: number, stallMs: number): void {
    for (const suspicion of this.#running) {
      suspicion.startMs += stallMs;
      suspicion.timer.cancel();
      suspicion.timer = this.#timer(suspicion.name, Math.max(now + READ_SOCKET_MS, endOf(suspicion)));
    }
  }

  #timer(name: string, atMs: number): Timer {
    return this.#context.timers.at(atMs, (now) => {
      this.#context.counts.add('suspicion-expired');
      this.#onExpired(now, name);
    });
  }
}

/** When it ends by the formula, with the confirmations so far. */
function endOf({ startMs, minMs, maxMs, wanted, from }: Omit<Suspicion, 'name' | 'timer'>): number {
  return startMs + suspicionTimeoutMs(minMs, maxMs, wanted, from.size - 1);
}
