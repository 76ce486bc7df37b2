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
    const counters = readCounters(core);
    const drops = readDrops(core);
    // The frame that it trapped on was taken in, and has no verdict.
    drops['trapped'] = (drops['trapped'] ?? 0) + withoutVerdict(counters, drops);
    addAll(this.#counters, counters);
    addAll(this.#drops, drops);
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

/** Frames in, less all that was counted of them (core-wasm/counters.ts). */
function withoutVerdict(
  counters: Readonly<Record<string, number>>,
  drops: Readonly<Record<string, number>>,
): number {
  const sum = (...names: string[]): number => names.reduce((total, name) => total + (counters[name] ?? 0), 0);
  const dropped = Object.values(drops).reduce((total, count) => total + count, 0);
  return sum('from-tap', 'from-tunnel') - sum('sent', 'delivered', 'answered', 'punted') - dropped;
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
