/**
 * The MACs that say they have one IP, with the best at hand: a binary heap, so that a change costs steps by the logarithm of
 * how many there are, however many share the IP and in whatever order they come and go.
 *
 * What was taken out stays in the heap until it comes to the top or is the greater part of it.
 */
import type { Winner } from './network-table.ts';

export interface RankedMac {
  readonly mac: number;
  readonly winner: Winner;
}

/** Whether the first goes before the second; never both ways round for two MACs. */
export type Outranks = (one: RankedMac, other: RankedMac) => boolean;

const GONE_MIN = 16;

export class RankedMacs {
  readonly #outranks: Outranks;
  #heap: RankedMac[] = [];
  readonly #present = new Map<number, RankedMac>();

  constructor(outranks: Outranks) {
    this.#outranks = outranks;
  }

  get size(): number {
    return this.#present.size;
  }

  /** The MAC has this claim from now on, in place of any other. */
  set(mac: number, winner: Winner): void {
    const ranked = { mac, winner };
    this.#present.set(mac, ranked);
    this.#heap.push(ranked);
    this.#rise(this.#heap.length - 1);
    this.#compact();
  }

  delete(mac: number): void {
    if (this.#present.delete(mac)) this.#compact();
  }

  best(): RankedMac | undefined {
    for (;;) {
      const top = this.#heap[0];
      if (top === undefined || this.#present.get(top.mac) === top) return top;
      this.#dropTop();
    }
  }

  #compact(): void {
    if (this.#heap.length <= GONE_MIN + 2 * this.#present.size) return;
    this.#heap = [...this.#present.values()];
    for (let at = this.#heap.length >> 1; at >= 0; at--) this.#sink(at);
  }

  #dropTop(): void {
    const last = this.#heap.pop()!;
    if (this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#sink(0);
  }

  #rise(from: number): void {
    for (let at = from; at > 0;) {
      const parent = (at - 1) >> 1;
      if (!this.#swapIfBetter(at, parent)) return;
      at = parent;
    }
  }

  #sink(from: number): void {
    for (let at = from; ;) {
      const left = 2 * at + 1;
      const right = left + 1;
      const [a, b] = [this.#heap[left], this.#heap[right]];
      if (a === undefined) return;
      const child = b !== undefined && this.#outranks(b, a) ? right : left;
      if (!this.#swapIfBetter(child, at)) return;
      at = child;
    }
  }

  #swapIfBetter(child: number, parent: number): boolean {
    const [low, high] = [this.#heap[child]!, this.#heap[parent]!];
    if (!this.#outranks(low, high)) return false;
    this.#heap[child] = high;
    this.#heap[parent] = low;
    return true;
  }
}
