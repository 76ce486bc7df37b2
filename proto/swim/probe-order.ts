import type { Rng } from '../env.ts';
import { below } from '../rng.ts';

/**
 * A random order over the places 0 .. n-1, made as it is walked: a Fisher–Yates shuffle that remembers only its swaps.
 * Each place comes once in a round; one added meanwhile comes in what is left of the round, at a random time.
 */
export class ProbeOrder {
  readonly #rng: Rng;
  /** Place that stands where another was: position → place. */
  readonly #swapped = new Map<number, number>();
  #next = 0;

  constructor(rng: Rng) {
    this.#rng = rng;
  }

  /** The next of `size` places; undefined at the end of the round. */
  next(size: number): number | undefined {
    if (this.#next >= size) return undefined;
    const from = this.#next++;
    const to = from + below(this.#rng, size - from);
    const place = this.#swapped.get(to) ?? to;
    if (to !== from) this.#swapped.set(to, this.#swapped.get(from) ?? from);
    this.#swapped.delete(from);
    return place;
  }

  restart(): void {
    this.#swapped.clear();
    this.#next = 0;
  }
}
