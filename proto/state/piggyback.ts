/** Own updates of scope 0 that also ride on memberlist's own packets (gossip.md 7.5), each a few times. */
import { decades } from './targets.ts';

interface Rider {
  readonly bytes: Uint8Array;
  transmits: number;
}

const RETRANSMIT_MULT = 4;
/** The oldest go first: newer updates are nearer to what matters, and anti-entropy has the rest. */
const RIDERS_MAX = 64;

export class Piggyback {
  #riders: Rider[] = [];

  get isEmpty(): boolean {
    return this.#riders.length === 0;
  }

  add(bytes: Uint8Array): void {
    this.#riders.push({ bytes, transmits: 0 });
    if (this.#riders.length > RIDERS_MAX) this.#riders.shift();
  }

  /** What fits into `budget` bytes at `overhead` more each, the least sent first. */
  take(overhead: number, budget: number, members: number): Uint8Array[] {
    if (this.#riders.length === 0) return [];
    const limit = RETRANSMIT_MULT * decades(members);
    const taken: Uint8Array[] = [];
    let left = budget;
    for (const rider of this.#riders) {
      if (rider.bytes.length + overhead > left) continue;
      left -= rider.bytes.length + overhead;
      rider.transmits++;
      taken.push(rider.bytes);
    }
    this.#riders = this.#riders.filter((r) => r.transmits < limit).sort((a, b) => a.transmits - b.transmits);
    return taken;
  }
}
