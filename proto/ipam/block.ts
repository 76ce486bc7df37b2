/**
 * Address blocks: aligned prefixes, as bigints, since IPv6 has no smaller number for them (this is no hot path).
 *
 * A range of addresses is a list of blocks, disjoint, sorted, and with neighbours merged: equal sets have equal lists.
 */
import { bytesToIp, ipToBytes } from '../memberlist/address.ts';

export type Family = 4 | 6;

export interface Block {
  /** The first address. */
  readonly base: bigint;
  /** Host bits: the block holds 2^bits addresses. */
  readonly bits: number;
}

export const widthOf = (family: Family): 32 | 128 => (family === 4 ? 32 : 128);
export const sizeOf = ({ bits }: Block): bigint => 1n << BigInt(bits);
/** The first address after it. */
export const endOf = (block: Block): bigint => block.base + sizeOf(block);

export const holds = (block: Block, address: bigint): boolean =>
  address >= block.base && address < endOf(block);

/** Blocks are aligned: they are disjoint, or one lies in the other. */
export const overlaps = (a: Block, b: Block): boolean => a.base < endOf(b) && b.base < endOf(a);

export const isInside = (inner: Block, outer: Block): boolean =>
  inner.bits <= outer.bits && holds(outer, inner.base);

export const anyHolds = (blocks: readonly Block[], address: bigint): boolean =>
  blocks.some((block) => holds(block, address));

export function halves({ base, bits }: Block): [Block, Block] {
  const half = bits - 1;
  return [
    { base, bits: half },
    { base: base + (1n << BigInt(half)), bits: half },
  ];
}

export function total(blocks: readonly Block[]): bigint {
  let sum = 0n;
  for (const block of blocks) sum += sizeOf(block);
  return sum;
}

/** The union, in its one form. */
export function merge(blocks: readonly Block[]): Block[] {
  const sorted = [...blocks].sort((a, b) => (a.base === b.base ? b.bits - a.bits : a.base < b.base ? -1 : 1));
  const merged: Block[] = [];
  for (const block of sorted) {
    const before = merged.at(-1);
    if (before !== undefined && isInside(block, before)) continue;
    merged.push(block);
    joinLast(merged);
  }
  return merged;
}

/** Two halves at the end of the list become what they are halves of, as often as that can be. */
function joinLast(blocks: Block[]): void {
  for (;;) {
    const [low, high] = blocks.slice(-2);
    if (low === undefined || high === undefined || low.bits !== high.bits || endOf(low) !== high.base) return;
    const bits = low.bits + 1;
    if (low.base % (1n << BigInt(bits)) !== 0n) return;
    blocks.splice(-2, 2, { base: low.base, bits });
  }
}

/** What is left of `blocks` without `gone`. */
export function subtract(blocks: readonly Block[], gone: Block): Block[] {
  const left: Block[] = [];
  for (const block of blocks) {
    if (!overlaps(block, gone)) left.push(block);
    else if (!isInside(block, gone)) left.push(...around(block, gone));
  }
  return merge(left);
}

/** `outer` without `inner`, which lies in it and is smaller. */
function* around(outer: Block, inner: Block): Generator<Block> {
  let rest = outer;
  while (rest.bits > inner.bits) {
    const [low, high] = halves(rest);
    const isLow = isInside(inner, low);
    yield isLow ? high : low;
    rest = isLow ? low : high;
  }
}

/** What is in both. */
export function intersect(a: readonly Block[], b: readonly Block[]): Block[] {
  const both: Block[] = [];
  for (const x of a) {
    for (const y of b) if (overlaps(x, y)) both.push(x.bits < y.bits ? x : y);
  }
  return merge(both);
}

/** undefined when it is no address of that family. */
export function parseAddress(text: string, family: Family): bigint | undefined {
  const bytes = ipToBytes(text);
  if (bytes?.length !== widthOf(family) / 8) return undefined;
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}

export function addressText(address: bigint, family: Family): string {
  const bytes = new Uint8Array(widthOf(family) / 8);
  let rest = address;
  for (let i = bytes.length - 1; i >= 0; i--, rest >>= 8n) bytes[i] = Number(rest & 0xffn);
  return bytesToIp(bytes)!;
}

/** `10.42.0.0/16`; undefined when it is no prefix with its host bits clear. */
export function parseBlock(text: string): { block: Block; family: Family } | undefined {
  const [address = '', length = '', ...rest] = text.split('/');
  if (rest.length > 0 || !/^\d{1,3}$/.test(length)) return undefined;
  const family = address.includes(':') ? 6 : 4;
  const base = parseAddress(address, family);
  const bits = widthOf(family) - Number(length);
  if (base === undefined || bits < 0 || base % (1n << BigInt(bits)) !== 0n) return undefined;
  return { block: { base, bits }, family };
}

export const blockText = ({ base, bits }: Block, family: Family): string =>
  `${addressText(base, family)}/${widthOf(family) - bits}`;
