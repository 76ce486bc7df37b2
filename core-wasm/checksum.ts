/**
 * Internet checksum (RFC 1071), in SIMD.
 *
 * Sums are of 16-bit words as the machine loads them: one's complement addition does not care about byte order (RFC
 * 1071 §2 B), so a folded, complemented sum is stored as it is. A u32 holds the sum of 128 KiB unfolded, so nothing
 * here folds before the end. Fields given as numbers must be swapped first (`word`).
 */

/** A big-endian 16-bit number as it would be loaded from a packet. */
export function word(value: u32): u32 {
  return bswap<u16>(value as u16);
}

/** Takes a word out of a sum, by adding its complement. */
export function without(total: u32, taken: u32): u32 {
  return total + (0xffff - taken);
}

export function fold(total: u32): u32 {
  total = (total & 0xffff) + (total >> 16);
  return (total & 0xffff) + (total >> 16);
}

/** Sum of the bytes that a 16-byte stride leaves over; an odd last byte counts as if a zero followed. */
function tail(at: usize, length: u32): u32 {
  let total: u32 = 0;
  if (length & 8) {
    const both = load<u64>(at);
    total += ((both & 0xffff) as u32) + (((both >> 16) & 0xffff) as u32);
    total += (((both >> 32) & 0xffff) as u32) + ((both >> 48) as u32);
    at += 8;
  }
  if (length & 4) {
    total += (load<u16>(at) as u32) + (load<u16>(at, 2) as u32);
    at += 4;
  }
  if (length & 2) {
    total += load<u16>(at);
    at += 2;
  }
  if (length & 1) total += load<u8>(at);
  return total;
}

function lanes(v: v128): u32 {
  return (
    i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1) + i32x4.extract_lane(v, 2) + i32x4.extract_lane(v, 3)
  );
}

/** Sum of `length` bytes, not folded. */
export function sum(at: usize, length: u32): u32 {
  let a = i32x4.splat(0);
  let b = i32x4.splat(0);
  let left = length;
  while (left >= 64) {
    a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(at)));
    b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 16)));
    a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 32)));
    b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 48)));
    at += 64;
    left -= 64;
  }
  while (left >= 16) {
    a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(at)));
    at += 16;
    left -= 16;
  }
  return lanes(i32x4.add(a, b)) + tail(at, left);
}

/** Sum of a short header, a multiple of four bytes: folded once, so that it can be added to other sums. */
export function headerSum(at: usize, length: u32): u32 {
  let total: u64 = 0;
  const end = at + length;
  for (; at < end; at += 4) total += load<u32>(at);
  // 32-bit words are congruent to their halves modulo 0xffff.
  return fold(((total & 0xffff) as u32) + (((total >> 16) & 0xffff) as u32) + ((total >> 32) as u32));
}

/** Copies `length` bytes and returns their sum, in one pass; `to` may overlap `from` from below. */
export function copySum(to: usize, from: usize, length: u32): u32 {
  let a = i32x4.splat(0);
  let b = i32x4.splat(0);
  let left = length;
  while (left >= 64) {
    const v0 = v128.load(from);
    const v1 = v128.load(from, 16);
    const v2 = v128.load(from, 32);
    const v3 = v128.load(from, 48);
    v128.store(to, v0);
    v128.store(to, v1, 16);
    v128.store(to, v2, 32);
    v128.store(to, v3, 48);
    a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v0));
    b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(v1));
    a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v2));
    b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(v3));
    from += 64;
    to += 64;
    left -= 64;
  }
  while (left >= 16) {
    const v = v128.load(from);
    v128.store(to, v);
    a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v));
    from += 16;
    to += 16;
    left -= 16;
  }
  const total = lanes(i32x4.add(a, b)) + tail(from, left);
  copyTail(to, from, left);
  return total;
}

function copyTail(to: usize, from: usize, length: u32): void {
  if (length & 8) {
    store<u64>(to, load<u64>(from));
    from += 8;
    to += 8;
  }
  if (length & 4) {
    store<u32>(to, load<u32>(from));
    from += 4;
    to += 4;
  }
  if (length & 2) {
    store<u16>(to, load<u16>(from));
    from += 2;
    to += 2;
  }
  if (length & 1) store<u8>(to, load<u8>(from));
}

/** Copies in strides of 16 bytes: may write up to 15 bytes past the end, so only where what follows is written later. */
export function copyLoose(to: usize, from: usize, length: u32): void {
  const end = from + length;
  while (from < end) {
    v128.store(to, v128.load(from));
    from += 16;
    to += 16;
  }
}
