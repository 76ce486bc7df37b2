import type { Rng } from '../env.ts';

/**
 * Who receives on which index. The low 16 bits are a slot, handed out densely from 0, so that the data path finds a session
 * with one look into an array; the high 16 are random and new each time, so that an index of before is not one of now.
 */
export const INDEX_SLOTS = 65_536;

export class IndexTable<Owner> {
  readonly #rng: Rng;
  readonly #owners = new Map<number, Owner>();
  /** Freed slots, the longest free first. */
  readonly #free: number[] = [];
  #unused = 0;

  constructor(rng: Rng) {
    this.#rng = rng;
  }

  /** Undefined when all slots are taken. */
  allocate(owner: Owner): number | undefined {
    const slot = this.#unused < INDEX_SLOTS && this.#free.length === 0 ? this.#unused++ : this.#free.shift();
    if (slot === undefined) return undefined;
    const index = ((this.#rng.u32() & 0xffff_0000) | slot) >>> 0;
    this.#owners.set(index, owner);
    return index;
  }

  find(index: number): Owner | undefined {
    return this.#owners.get(index);
  }

  free(index: number): void {
    if (this.#owners.delete(index)) this.#free.push(index & 0xffff);
  }

  get size(): number {
    return this.#owners.size;
  }
}
