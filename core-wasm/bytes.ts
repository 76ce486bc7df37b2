/**
 * Network byte order, address comparison, and the keyed hash.
 *
 * Nothing here checks a length: callers have done so once, at the edge of their format.
 */
import { STATE_SEED_A, STATE_SEED_B } from './layout';

export function load16(at: usize): u32 {
  return bswap<u16>(load<u16>(at));
}

export function load32(at: usize): u32 {
  return bswap<u32>(load<u32>(at));
}

export function store16(at: usize, value: u32): void {
  store<u16>(at, bswap<u16>(value as u16));
}

export function store32(at: usize, value: u32): void {
  store<u32>(at, bswap<u32>(value));
}

/** A MAC as a big-endian number: the low 48 bits of an FDB key. */
export function loadMac(at: usize): u64 {
  return ((load16(at) as u64) << 32) | (load32(at + 2) as u64);
}

export function storeMac(at: usize, mac: u64): void {
  store16(at, (mac >> 32) as u32);
  store32(at + 2, mac as u32);
}

/** The group bit: multicast or broadcast. */
export function isGroup(mac: usize): bool {
  return (load<u8>(mac) & 1) != 0;
}

/** Equality of `length` bytes; short runs only, so no SIMD. */
export function equal(a: usize, b: usize, length: usize): bool {
  let i: usize = 0;
  for (; i + 8 <= length; i += 8) {
    if (load<u64>(a + i) != load<u64>(b + i)) return false;
  }
  // The rest together with what is already known to be equal.
  if (length >= 8) return load<u64>(a + length - 8) == load<u64>(b + length - 8);
  for (; i < length; i++) {
    if (load<u8>(a + i) != load<u8>(b + i)) return false;
  }
  return true;
}

/** A 64-bit constant from its halves: JavaScript tools cannot read it whole. */
export function wide(high: u32, low: u32): u64 {
  return ((high as u64) << 32) | (low as u64);
}

/**
 * Keyed hash of 64 bits, to be read from the top. Multiplication by a secret odd number is universal for high bits
 * (Dietzfelbinger et al. 1997): without the seed nobody can choose keys that share a bucket.
 */
export function hash(key: u64): u64 {
  let h = (key ^ load<u64>(STATE_SEED_A)) * load<u64>(STATE_SEED_B);
  h ^= h >> 32;
  return h * wide(0x9e3779b9, 0x7f4a7c15);
}

/** Folds more input into a hash. */
export function hashMore(h: u64, more: u64): u64 {
  return hash(rotl<u64>(h, 23) ^ more);
}
