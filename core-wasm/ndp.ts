/**
 * Neighbour discovery (RFC 4861): solicitations, advertisements, and the link-layer address options in them.
 *
 *   ICMPv6: type @0 · code @1 · sum u16 @2 · flags u32 @4 · target @8 · options @24: type, length in 8 bytes, value
 */
import { equal, load32, storeMac, store16, store32 } from './bytes';
import { ETHERNET_SIZE, ETHERNET_SOURCE } from './ethernet';
import { IPV6_DESTINATION, IPV6_HOP_LIMIT, IPV6_PAYLOAD, IPV6_SIZE, IPV6_SOURCE, icmpv6Finish } from './ipv6';

export const TYPE_ROUTER_SOLICITATION: u32 = 133;
export const TYPE_ROUTER_ADVERTISEMENT: u32 = 134;
export const TYPE_SOLICITATION: u32 = 135;
export const TYPE_ADVERTISEMENT: u32 = 136;
export const TYPE_REDIRECT: u32 = 137;
const OPTION_SOURCE: u32 = 1;
const OPTION_TARGET: u32 = 2;

const TARGET: usize = 8;
const OPTIONS: u32 = 24;
/** Of a solicitation or advertisement, without options. */
export const NDP_SIZE: u32 = OPTIONS;
const ADVERTISEMENT_SIZE: u32 = 32;
const FLAGS_SOLICITED_OVERRIDE: u32 = 0x60000000;
/** Nothing that a router has forwarded can carry it. */
const HOP_LIMIT: u32 = 255;

function isType(ip: usize, icmp: usize, length: u32, type: u32): bool {
  return (
    length >= OPTIONS &&
    load<u8>(icmp) == type &&
    load<u8>(icmp, 1) == 0 &&
    load<u8>(ip, IPV6_HOP_LIMIT) == HOP_LIMIT
  );
}

/** Shorter than the other two: options begin where their target stands. */
export function isRouterAdvertisement(ip: usize, icmp: usize, length: u32): bool {
  return (
    length >= 16 && load<u8>(icmp) == TYPE_ROUTER_ADVERTISEMENT && load<u8>(ip, IPV6_HOP_LIMIT) == HOP_LIMIT
  );
}

/** `length` is what the frame has from the ICMPv6 header on. */
export function isSolicitation(ip: usize, icmp: usize, length: u32): bool {
  return isType(ip, icmp, length, TYPE_SOLICITATION);
}

export function isAdvertisement(ip: usize, icmp: usize, length: u32): bool {
  return isType(ip, icmp, length, TYPE_ADVERTISEMENT);
}

export function ndpTarget(icmp: usize): usize {
  return icmp + TARGET;
}

/** Duplicate address detection asks with no source address (RFC 4862 §5.4.2). */
export function isUnspecified(address: usize): bool {
  return load<u64>(address) == 0 && load<u64>(address, 8) == 0;
}

/** The MAC that a message states for its source (solicitation) or target (advertisement); its address, or 0. */
export function linkLayerOption(icmp: usize, length: u32): usize {
  const wanted = load<u8>(icmp) == TYPE_SOLICITATION ? OPTION_SOURCE : OPTION_TARGET;
  let at = OPTIONS;
  while (at + 8 <= length) {
    const size = (load<u8>(icmp + at, 1) as u32) << 3;
    if (size == 0) return 0;
    if (load<u8>(icmp + at) == wanted && size == 8) return icmp + at + 2;
    at += size;
  }
  return 0;
}

/** The asker's own Ethernet address stands behind the address it asks from. */
export function optionMatches(option: usize, frame: usize): bool {
  return option != 0 && equal(option, frame + ETHERNET_SOURCE, 6);
}

/** Turns the solicitation in an untagged frame without extension headers into its advertisement; returns its length. */
export function writeAdvertisement(frame: usize, owner: u64): u32 {
  const ip = frame + ETHERNET_SIZE;
  const icmp = ip + IPV6_SIZE;
  memory.copy(frame, frame + ETHERNET_SOURCE, 6);
  storeMac(frame + ETHERNET_SOURCE, owner);
  store32(ip, (load32(ip) & 0xf0000000) as u32);
  store16(ip + IPV6_PAYLOAD, ADVERTISEMENT_SIZE);
  store<u8>(ip, HOP_LIMIT as u8, IPV6_HOP_LIMIT);
  memory.copy(ip + IPV6_DESTINATION, ip + IPV6_SOURCE, 16);
  memory.copy(ip + IPV6_SOURCE, icmp + TARGET, 16);
  store32(icmp, TYPE_ADVERTISEMENT << 24);
  store32(icmp + 4, FLAGS_SOLICITED_OVERRIDE);
  store<u8>(icmp + OPTIONS, OPTION_TARGET as u8);
  store<u8>(icmp + OPTIONS, 1, 1);
  storeMac(icmp + OPTIONS + 2, owner);
  icmpv6Finish(ip, icmp, ADVERTISEMENT_SIZE);
  return ETHERNET_SIZE + IPV6_SIZE + ADVERTISEMENT_SIZE;
}
