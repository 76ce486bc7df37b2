/** Sums over workers, those that died included: what is shown never steps back. */
import { readCounters, readDrops } from './core.ts';
import type { Core } from './core.ts';
import { readPeer } from './core-reader.ts';
import type { PeerCounters } from './core-reader.ts';

const NO_TRAFFIC: PeerCounters = { rxFrames: 0, rxBytes: 0, txFrames: 0, txBytes: 0 };

export class Tally {
  readonly #counters: Record<string, number> = {};
  readonly #drops: Record<string, number> = {};
  readonly #peers = new Map<number, PeerCounters>();

  /** Keeps what a worker that died had counted, for each of `peers` too. */
  bury(core: Core, peers: Iterable<number>): void {
    addAll(this.#counters, readCounters(core));
    addAll(this.#drops, readDrops(core));
    for (const peer of peers) {
      const sum = { ...(this.#peers.get(peer) ?? NO_TRAFFIC) };
      addPeer(sum, readPeer(core, peer));
      this.#peers.set(peer, sum);
    }
  }

  /** The next peer with this number begins at zero. */
  forgetPeer(peer: number): void {
    this.#peers.delete(peer);
  }

  counters(living: readonly Core[]): { counters: Record<string, number>; drops: Record<string, number> } {
    const counters = { ...this.#counters };
    const drops = { ...this.#drops };
    for (const core of living) {
      addAll(counters, readCounters(core));
      addAll(drops, readDrops(core));
    }
    return { counters, drops };
  }

  peer(peer: number, living: readonly Core[]): PeerCounters {
    const sum = { ...(this.#peers.get(peer) ?? NO_TRAFFIC) };
    for (const core of living) addPeer(sum, readPeer(core, peer));
    return sum;
  }
}

function addAll(sums: Record<string, number>, values: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(values)) sums[name] = (sums[name] ?? 0) + value;
}

function addPeer(sum: PeerCounters, more: PeerCounters): void {
  sum.rxFrames += more.rxFrames;
  sum.rxBytes += more.rxBytes;
  sum.txFrames += more.txFrames;
  sum.txBytes += more.txBytes;
}
