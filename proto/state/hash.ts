/**
 * hash64: two 32-bit lanes mixed word by word (murmur-like), for digests of replicated state.
 *
 * Not cryptographic and not seeded: all hosts must get the same number. It finds differences between honest replicas;
 * whoever holds the cluster key can do worse than collide it.
 */
const U64_MASK = 0xffff_ffff_ffff_ffffn;

export class Hash64 {
  #a = 0x9e3779b9;
  #b = 0x85ebca6b;
  #length = 0;

  word(word: number): this {
    this.#a = Math.imul(this.#a ^ word, 0xcc9e2d51);
    this.#a = (this.#a << 13) | (this.#a >>> 19);
    this.#b = Math.imul(this.#b + word + this.#a, 0x1b873593);
    this.#b = (this.#b << 17) | (this.#b >>> 15);
    this.#length++;
    return this;
  }

  /** A non-negative safe integer. */
  number(value: number): this {
    return this.word(value >>> 0).word(Math.floor(value / 0x1_0000_0000));
  }

  u64(value: bigint): this {
    return this.word(Number(value & 0xffff_ffffn)).word(Number((value >> 32n) & 0xffff_ffffn));
  }

  /** With its length, so that neighbouring fields cannot run into each other. */
  bytes(bytes: Uint8Array): this {
    this.word(bytes.length);
    let i = 0;
    for (; i + 4 <= bytes.length; i += 4) {
      this.word(bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24));
    }
    let tail = 0;
    for (let shift = 0; i < bytes.length; i++, shift += 8) tail |= bytes[i]! << shift;
    return this.word(tail);
  }

  finish(): bigint {
    const low = avalanche(this.#a ^ this.#length);
    const high = avalanche(this.#b ^ low);
    return (BigInt(high) << 32n) | BigInt(low);
  }
}

function avalanche(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Sums modulo 2^64: an order-free digest that can be kept incrementally. */
export const add64 = (a: bigint, b: bigint): bigint => (a + b) & U64_MASK;
export const subtract64 = (a: bigint, b: bigint): bigint => (a - b) & U64_MASK;
