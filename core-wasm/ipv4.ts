/**
 * IPv4 (RFC 791).
 *
 *   ver/ihl @0 · tos @1 · total length u16 @2 · id u16 @4 · flags/fragment u16 @6 · ttl @8 · protocol @9 · sum u16 @10
 *   source @12 · destination @16 · options
 */
import { load16 } from './bytes';
import { fold, headerSum } from './checksum';

export const IPV4_SIZE: u32 = 20;
export const IPV4_TOTAL: usize = 2;
export const IPV4_ID: usize = 4;
export const IPV4_FRAGMENT: usize = 6;
export const IPV4_PROTOCOL: usize = 9;
export const IPV4_SUM: usize = 10;
export const IPV4_SOURCE: usize = 12;
export const IPV4_DESTINATION: usize = 16;

export const PROTOCOL_IGMP: u32 = 2;

/** More fragments, or an offset: not a whole packet. */
const FRAGMENT_BITS: u32 = 0x3fff;
export const IPV4_DO_NOT_FRAGMENT: u32 = 0x4000;
export const IPV4_MORE_FRAGMENTS: u32 = 0x2000;
const OFFSET: u32 = 0x1fff;

export function ipv4HeaderLength(ip: usize): u32 {
  return ((load<u8>(ip) as u32) & 15) << 2;
}

export function ipv4IsFragment(ip: usize): bool {
  return (load16(ip + IPV4_FRAGMENT) & FRAGMENT_BITS) != 0;
}

/** Bytes of the packet before this fragment: where there are any, no transport header is in it. */
export function ipv4Offset(ip: usize): u32 {
  return (load16(ip + IPV4_FRAGMENT) & OFFSET) << 3;
}

/** The identification has no meaning then (RFC 6864 §4.1). */
export function ipv4IsAtomic(ip: usize): bool {
  return (load16(ip + IPV4_FRAGMENT) & IPV4_DO_NOT_FRAGMENT) != 0;
}

/** Writes the checksum of a header that is otherwise as it shall be. */
export function ipv4Finish(ip: usize, header: u32): void {
  store<u16>(ip, 0, IPV4_SUM);
  store<u16>(ip, ~fold(headerSum(ip, header)) as u16, IPV4_SUM);
}

/** Sum of the two addresses, for a pseudo-header. */
export function ipv4AddressSum(ip: usize): u32 {
  return headerSum(ip + IPV4_SOURCE, 8);
}
