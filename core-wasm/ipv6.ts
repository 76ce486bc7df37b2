/**
 * IPv6 (RFC 8200).
 *
 *   ver/class/label u32 @0 · payload length u16 @4 · next header @6 · hop limit @7 · source @8 · destination @24
 */
import { load16 } from './bytes';
import { fold, headerSum, sum, word } from './checksum';

export const IPV6_SIZE: u32 = 40;
export const IPV6_PAYLOAD: usize = 4;
export const IPV6_NEXT: usize = 6;
export const IPV6_HOP_LIMIT: usize = 7;
export const IPV6_SOURCE: usize = 8;
export const IPV6_DESTINATION: usize = 24;

export const NEXT_ICMPV6: u32 = 58;
const ICMPV6_SUM: usize = 2;
export const NEXT_FRAGMENT: u32 = 44;
const NEXT_HOP_BY_HOP: u32 = 0;
const NEXT_ROUTING: u32 = 43;
const NEXT_DESTINATION: u32 = 60;

/** An extension header that states its own length in units of 8 bytes. A fragment header is none of these. */
export function isExtension(next: u32): bool {
  return next == NEXT_HOP_BY_HOP || next == NEXT_ROUTING || next == NEXT_DESTINATION;
}

export function extensionLength(at: usize): u32 {
  return ((load<u8>(at, 1) as u32) + 1) << 3;
}

export function ipv6PayloadLength(ip: usize): u32 {
  return load16(ip + IPV6_PAYLOAD);
}

/** Sum of the two addresses, for a pseudo-header (RFC 8200 §8.1). */
export function ipv6AddressSum(ip: usize): u32 {
  return headerSum(ip + IPV6_SOURCE, 32);
}

/** Writes the checksum of an ICMPv6 message of `size` bytes, whose field is zero (RFC 4443 §2.3). */
export function icmpv6Finish(ip: usize, icmp: usize, size: u32): void {
  const total = ipv6AddressSum(ip) + word(size) + word(NEXT_ICMPV6) + sum(icmp, size);
  store<u16>(icmp, ~fold(total) as u16, ICMPV6_SUM);
}
