import type { Rng } from './env.ts';

/**
 * A seeded generator for simulation and tests: xoshiro128** over a state filled by splitmix32. Not for secrets.
 *
 * `fork` derives an independent stream from the seed and a label without drawing from the parent, so that a new draw in
 * one place does not shift the numbers of others (gossip.md 8.1).
 */
export class SeededRng implements Rng {
  readonly #seed: number;
  readonly #state = new Uint32Array(4);

  constructor(seed: number) {
    this.#seed = seed >>> 0;
    let mix = this.#seed;
    for (let i = 0; i < 4; i++) {
      mix = (mix + 0x9e37_79b9) >>> 0;
      this.#state[i] = scramble(mix);
    }
  }

  u32(): number {
    const state = this.#state;
    const [s0, s1, s2, s3] = state as unknown as [number, number, number, number];
    const result = Math.imul(rotate(Math.imul(s1, 5), 7), 9) >>> 0;
    state[1] = s1 ^ (s2 ^ s0);
    state[0] = s0 ^ (s3 ^ s1);
    state[2] = s2 ^ s0 ^ (s1 << 9);
    state[3] = rotate(s3 ^ s1, 11);
    return result;
  }

  float(): number {
    return this.u32() / 0x1_0000_0000;
  }

  fill(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.u32() >>> 24;
  }

  fork(label: string): SeededRng {
    let hash = scramble(this.#seed ^ 0x811c_9dc5);
    for (let i = 0; i < label.length; i++)
      hash = scramble(Math.imul(hash ^ label.charCodeAt(i), 0x0100_0193));
    return new SeededRng(hash);
  }
}

/** Uniform in 0 .. bound-1 (bound ≥ 1, ≤ 2^32). */
export function below(rng: Rng, bound: number): number {
  return Math.floor(rng.float() * bound);
}

/** Fisher–Yates, in place. */
export function shuffle(rng: Rng, items: unknown[]): void {
  for (let i = items.length - 1; i > 0; i--) {
    const j = below(rng, i + 1);
    const item = items[i];
    items[i] = items[j];
    items[j] = item;
  }
}

function rotate(value: number, by: number): number {
  return (value << by) | (value >>> (32 - by));
}

/** The finisher of splitmix32 (murmur3's constants). */
function scramble(value: number): number {
  let z = value;
  z = Math.imul(z ^ (z >>> 16), 0x85eb_ca6b);
  z = Math.imul(z ^ (z >>> 13), 0xc2b2_ae35);
  return (z ^ (z >>> 16)) >>> 0;
}
