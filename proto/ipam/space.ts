/**
 * Which addresses of a pool are in use here, and what is free. Knows nothing of who owns what: blocks are arguments.
 *
 * The first address of a subnet, its last one (IPv4) and what is reserved (gateways) are never free.
 */
import type { Block, Family } from './block.ts';
import { anyHolds, endOf, halves, holds, sizeOf, subtract, total } from './block.ts';

export interface SpaceOptions {
  readonly subnet: Block;
  readonly family: Family;
  /** Gateways and the like. */
  readonly reserved: readonly bigint[];
}

/** Addresses that may be seen in use, one after the other, before a request gives up. */
const SEEN_MAX = 65_536;
const EIGHTH_BITS = 3;

export class Space {
  readonly #special: readonly bigint[];
  readonly #used = new Set<bigint>();
  #seen: ReadonlySet<bigint> = new Set();
  #sortedUsed: bigint[] | undefined;
  #next: bigint;

  constructor(options: SpaceOptions) {
    this.#special = [...new Set([...edges(options), ...options.reserved])];
    this.#next = options.subnet.base;
  }

  get used(): ReadonlySet<bigint> {
    return this.#used;
  }

  isUsed(address: bigint): boolean {
    return this.#used.has(address);
  }

  /** Never for endpoints. */
  isSpecial(address: bigint): boolean {
    return this.#special.includes(address);
  }

  /** In use by somebody, as far as anybody knows: neither handed out nor given away, though it may be ours. */
  setSeen(seen: ReadonlySet<bigint>): void {
    this.#seen = seen;
    this.#sortedUsed = undefined;
  }

  use(address: bigint): void {
    this.#used.add(address);
    this.#sortedUsed = undefined;
  }

  release(address: bigint): boolean {
    this.#sortedUsed = undefined;
    return this.#used.delete(address);
  }

  releaseAll(): void {
    this.#used.clear();
    this.#sortedUsed = undefined;
  }

  /** The next free address, after the one given out last: one that was just released rests for a while. */
  next(blocks: readonly Block[]): bigint | undefined {
    const from = this.#next;
    const found = this.#scan(blocks, from, undefined) ?? this.#scan(blocks, undefined, from);
    if (found !== undefined) this.#next = found + 1n;
    return found;
  }

  #scan(blocks: readonly Block[], from: bigint | undefined, to: bigint | undefined): bigint | undefined {
    let seen = 0;
    for (const block of blocks) {
      const end = to !== undefined && to < endOf(block) ? to : endOf(block);
      for (
        let address = from !== undefined && from > block.base ? from : block.base;
        address < end;
        address++
      ) {
        if (this.#used.has(address) || this.isSpecial(address)) continue;
        if (!this.#seen.has(address)) return address;
        if (++seen > SEEN_MAX) return undefined;
      }
    }
    return undefined;
  }

  /** Free addresses in disjoint blocks. */
  count(blocks: readonly Block[]): bigint {
    let taken = 0;
    for (const address of this.#used) if (anyHolds(blocks, address)) taken++;
    for (const address of this.#special) if (!this.#used.has(address) && anyHolds(blocks, address)) taken++;
    return total(blocks) - BigInt(taken);
  }

  /**
   * The largest block in which nothing is used, of at most `maxBits`; the highest of equals. Special addresses do not count:
   * whoever has them gives them to nobody.
   */
  largestFree(blocks: readonly Block[], maxBits = 128): Block | undefined {
    let best: Block | undefined;
    for (const block of blocks) {
      const found = this.#largestIn(block, maxBits, best?.bits ?? -1);
      if (found !== undefined && (best === undefined || found.bits >= best.bits)) best = found;
    }
    return best;
  }

  #largestIn(block: Block, maxBits: number, atLeast: number): Block | undefined {
    if (block.bits < atLeast) return undefined;
    if (this.#isFree(block)) {
      let part = block;
      while (part.bits > maxBits) [, part] = halves(part);
      return part;
    }
    if (block.bits === 0) return undefined;
    const [low, high] = halves(block);
    const a = this.#largestIn(high, maxBits, atLeast);
    const b = this.#largestIn(low, maxBits, Math.max(atLeast, (a?.bits ?? -1) + 1));
    return b !== undefined && (a === undefined || b.bits > a.bits) ? b : a;
  }

  #isFree(block: Block): boolean {
    const taken = this.#ascending();
    let low = 0;
    let high = taken.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (taken[middle]! < block.base) low = middle + 1;
      else high = middle;
    }
    return low >= taken.length || taken[low]! >= endOf(block);
  }

  #ascending(): readonly bigint[] {
    this.#sortedUsed ??= [...this.#used, ...this.#seen].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    return this.#sortedUsed;
  }

  /**
   * What may be given away of `blocks`: half of what is free where that lies together, else the largest part of it;
   * nothing when the giver would have nothing left.
   */
  toGive(blocks: readonly Block[]): Block[] {
    const free = this.count(blocks);
    const largest = this.largestFree(blocks);
    if (largest === undefined || free < 2n || this.count([largest]) === 0n) return [];
    return [isMoreThanHalf(largest, free) ? halves(largest)[1] : largest];
  }

  /**
   * Blocks around that address, when it is free, each twice the one before. To cut the address alone out of a piece would leave
   * as many pieces as that has host bits; so it begins with an eighth of the piece, and ends with what lies together, or half
   * of all that is free.
   */
  toGiveAt(blocks: readonly Block[], address: bigint): Block[] {
    const piece = blocks.find((block) => holds(block, address));
    if (piece === undefined || this.isSpecial(address)) return [];
    const free = this.count(blocks);
    const around: Block[] = [];
    for (let bits = 0; bits <= piece.bits; bits++) {
      const block = { base: address - (address % (1n << BigInt(bits))), bits };
      if (!this.#isFree(block) || (bits > 0 && isMoreThanHalf(block, free))) break;
      around.push(block);
    }
    return around.slice(Math.max(0, Math.min(around.length - 1, piece.bits - EIGHTH_BITS)));
  }
}

/** A few addresses in use must not make a quarter of a half. */
const isMoreThanHalf = (block: Block, free: bigint): boolean => sizeOf(block) * 2n > free + free / 8n;

function edges({ subnet, family }: SpaceOptions): bigint[] {
  // Of two addresses or one, all are hosts (RFC 3021, RFC 6164).
  if (subnet.bits < 2) return [];
  return family === 4 ? [subnet.base, endOf(subnet) - 1n] : [subnet.base];
}

/** What is left of `blocks` without those of `gone`. */
export const without = (blocks: readonly Block[], gone: readonly Block[]): Block[] =>
  gone.reduce((left, block) => subtract(left, block), [...blocks]);
