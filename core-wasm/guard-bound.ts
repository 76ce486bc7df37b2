/**
 * What a bound port must not send: frames from, or claims on, a MAC or an address that is not its own (ARP and neighbour
 * discovery spoofing, IP source guard), and what only routers and DHCP servers say (RFC 6105, RFC 7610).
 *
 * Let through without an address: what an endpoint says before it has one. That is duplicate address detection for an
 * address of its own (RFC 4862, RFC 5227), a DHCP client's questions, router solicitations, IGMP and MLD reports.
 * What hides its nature is refused where a receiver might see through it: chains of extension headers, fragments of
 * neighbour discovery (RFC 6980, RFC 7113), tags below those that we look through, IP in SNAP.
 */
import { load16, loadMac } from './bytes';
import { etherType, l3, l4, protocol } from './classify';
import { ETHERNET_SOURCE, TYPE_ARP, TYPE_IPV4, TYPE_IPV6, isTag } from './ethernet';
import { ARP_SENDER_IP, ARP_TARGET_IP, isArpForIpv4 } from './arp';
import { bindingHas, bindingMac, bindingOf } from './binding';
import { IPV4_PROTOCOL, IPV4_SOURCE, PROTOCOL_IGMP, ipv4HeaderLength, ipv4Offset } from './ipv4';
import { IPV6_SOURCE, NEXT_FRAGMENT, NEXT_ICMPV6, isExtension } from './ipv6';
import {
  NDP_SIZE,
  TYPE_ADVERTISEMENT,
  TYPE_REDIRECT,
  TYPE_ROUTER_ADVERTISEMENT,
  TYPE_ROUTER_SOLICITATION,
  TYPE_SOLICITATION,
  isUnspecified,
  linkLayerOption,
  ndpTarget,
  optionMatches,
} from './ndp';
import { MAPPED_HIGH, mappedLow } from './neighbour';
import {
  REASON_GUARD_DHCP,
  REASON_GUARD_IP,
  REASON_GUARD_MAC,
  REASON_GUARD_RA,
  REASON_NONE,
  REASON_TRUNCATED,
} from './reason';
import { PROTOCOL_UDP } from './udp';

const FRAGMENT_SIZE: u32 = 8;
const DHCP_SERVER: u32 = 67;
const DHCP_CLIENT: u32 = 68;
const DHCPV6_SERVER: u32 = 547;
const DHCPV6_CLIENT: u32 = 546;
/** Below it the field is a length, and IEEE 802.2 follows; 0 is an IP header that does not parse. */
const FIRST_TYPE: u32 = 0x0600;
const SNAP: u32 = 0xaaaa;

/** REASON_NONE, or why the classified frame, which has passed guard.ts, goes no further. */
export function guardBound(port: u32, frame: usize, length: u32): u32 {
  const binding = bindingOf(port);
  if (!binding) return REASON_NONE;
  if (loadMac(frame + ETHERNET_SOURCE) != bindingMac(binding)) return REASON_GUARD_MAC;
  if (etherType == TYPE_ARP) return guardArp(binding, frame + l3);
  if (etherType == TYPE_IPV4) return guardIpv4(binding, frame, length);
  if (etherType == TYPE_IPV6) return guardIpv6(binding, frame, length);
  const isSnap = etherType < FIRST_TYPE && l3 + 2 <= length && load16(frame + l3) == SNAP;
  return isSnap || isTag(etherType) ? REASON_GUARD_IP : REASON_NONE;
}

function hasIpv4(binding: usize, at: usize): bool {
  return bindingHas(binding, MAPPED_HIGH, mappedLow(at));
}

function hasIpv6(binding: usize, at: usize): bool {
  return bindingHas(binding, load<u64>(at), load<u64>(at, 8));
}

/** A probe claims its target, everything else its sender. Other hardware types are taken for Ethernet by some. */
function guardArp(binding: usize, arp: usize): u32 {
  if (!isArpForIpv4(arp)) return REASON_GUARD_IP;
  const isNameless = load<u32>(arp + ARP_SENDER_IP) == 0;
  return hasIpv4(binding, arp + (isNameless ? ARP_TARGET_IP : ARP_SENDER_IP)) ? REASON_NONE : REASON_GUARD_IP;
}

/** Ports of a datagram whose UDP header is at `udp`: said by a server, or to a client, which only servers do. */
function isServed(udp: usize, server: u32, client: u32): bool {
  return load16(udp) == server || load16(udp + 2) == client;
}

function guardIpv4(binding: usize, frame: usize, length: u32): u32 {
  const ip = frame + l3;
  const kind: u32 = load<u8>(ip, IPV4_PROTOCOL);
  const udp = frame + l3 + ipv4HeaderLength(ip);
  // A first fragment shows its ports, too.
  const showsPorts = kind == PROTOCOL_UDP && ipv4Offset(ip) == 0 && ((udp - frame) as u32) + 4 <= length;
  if (showsPorts && isServed(udp, DHCP_SERVER, DHCP_CLIENT)) return REASON_GUARD_DHCP;
  if (hasIpv4(binding, ip + IPV4_SOURCE)) return REASON_NONE;
  if (load<u32>(ip, IPV4_SOURCE) != 0) return REASON_GUARD_IP;
  const isDiscover = showsPorts && load16(udp) == DHCP_CLIENT && load16(udp + 2) == DHCP_SERVER;
  return isDiscover || kind == PROTOCOL_IGMP ? REASON_NONE : REASON_GUARD_IP;
}

function guardIpv6(binding: usize, frame: usize, length: u32): u32 {
  const source = frame + l3 + IPV6_SOURCE;
  const isNameless = isUnspecified(source);
  if (!isNameless && !hasIpv6(binding, source)) return REASON_GUARD_IP;
  if (l4 == 0) return REASON_TRUNCATED;
  let kind = protocol;
  let at = l4;
  const isFragment = kind == NEXT_FRAGMENT;
  if (isFragment) {
    if (at + FRAGMENT_SIZE > length) return REASON_TRUNCATED;
    const isLater = (load16(frame + at + 2) & 0xfff8) != 0;
    if (isLater) return isNameless ? REASON_GUARD_IP : REASON_NONE;
    kind = load<u8>(frame + at);
    at += FRAGMENT_SIZE;
  }
  if (isExtension(kind) || kind == NEXT_FRAGMENT) return REASON_GUARD_RA;
  if (kind == NEXT_ICMPV6) return guardIcmpv6(binding, frame, at, length, isNameless, isFragment);
  if (kind == PROTOCOL_UDP && at + 4 <= length && isServed(frame + at, DHCPV6_SERVER, DHCPV6_CLIENT)) {
    return REASON_GUARD_DHCP;
  }
  return isNameless ? REASON_GUARD_IP : REASON_NONE;
}

function guardIcmpv6(
  binding: usize,
  frame: usize,
  at: u32,
  length: u32,
  isNameless: bool,
  isFragment: bool,
): u32 {
  if (at >= length) return REASON_TRUNCATED;
  const icmp = frame + at;
  const type: u32 = load<u8>(icmp);
  if (type == TYPE_ROUTER_ADVERTISEMENT || type == TYPE_REDIRECT) return REASON_GUARD_RA;
  if (isFragment && type >= TYPE_ROUTER_SOLICITATION && type < TYPE_REDIRECT) return REASON_GUARD_RA;
  if (type != TYPE_SOLICITATION && type != TYPE_ADVERTISEMENT) return REASON_NONE;
  const left = length - at;
  if (left < NDP_SIZE) return REASON_TRUNCATED;
  const isClaim = type == TYPE_ADVERTISEMENT || isNameless;
  if (isClaim && !hasIpv6(binding, ndpTarget(icmp))) return REASON_GUARD_IP;
  const option = linkLayerOption(icmp, left);
  return option != 0 && !optionMatches(option, frame) ? REASON_GUARD_MAC : REASON_NONE;
}
