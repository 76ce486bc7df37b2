/**
 * What the sender of a packet hears that is too large for its path and must stay whole: ICMP "fragmentation needed" (RFC 1191
 * §4), ICMPv6 "packet too big" (RFC 4443 §3.2). Made here, from the packet itself and in its place; nothing of the underlay's
 * ICMP is ever listened to.
 *
 * It comes from the packet's destination: an address that the sender's routes lead to through this very interface, so that
 * no reverse path filter refuses it, gateway or not. Errors are not answered with errors, nor groups (RFC 1122 §3.2.2, RFC
 * 4443 §2.4 e), and no port is told more often than its bucket allows. The answer is smaller than what it answers.
 */
import { take } from './bucket';
import { loadMac, load32, storeMac, store16, store32 } from './bytes';
import { count } from './account';
import { etherType, l3, l4, protocol } from './classify';
import { fold, sum } from './checksum';
import { CONFIG_TOO_BIG_PPS, config } from './config';
import { COUNTER_ANSWERED, COUNTER_TOO_BIG_TOLD } from './counters';
import { ETHERNET_SOURCE, TYPE_IPV4, TYPE_IPV6 } from './ethernet';
import {
  IPV4_DESTINATION,
  IPV4_DO_NOT_FRAGMENT,
  IPV4_FRAGMENT,
  IPV4_PROTOCOL,
  IPV4_SIZE,
  IPV4_SOURCE,
  IPV4_TOTAL,
  ipv4Finish,
  ipv4HeaderLength,
  ipv4IsAtomic,
  ipv4Offset,
} from './ipv4';
import {
  IPV6_DESTINATION,
  IPV6_HOP_LIMIT,
  IPV6_NEXT,
  IPV6_PAYLOAD,
  IPV6_SIZE,
  IPV6_SOURCE,
  NEXT_ICMPV6,
  icmpv6Finish,
} from './ipv6';
import { isUnspecified } from './ndp';
import { gsoType } from './offload';
import { outHasRoom, outPut } from './out';
import { PORT_TOO_BIG_BUCKET, portAt } from './port';
import { GSO_NONE } from './vnet';

const PROTOCOL_ICMP: u32 = 1;
const ICMP_SIZE: u32 = 8;
/** Unreachable, quench, redirect, time exceeded, parameter problem: one bit each. */
const ICMP_ERRORS: u32 = (1 << 3) | (1 << 4) | (1 << 5) | (1 << 11) | (1 << 12);
const UNREACHABLE_FRAGMENTATION: u32 = 0x03040000;
const PACKET_TOO_BIG: u32 = 0x02000000;
/** Types from here on are no errors. */
const ICMPV6_INFORMATIONAL: u32 = 128;
const TTL: u32 = 64;
/** RFC 1812 §4.3.2.3: as much of the packet as keeps the answer within 576 bytes. */
const QUOTE_IPV4: u32 = 576 - IPV4_SIZE - ICMP_SIZE;
const LEAST_MTU_IPV4: u32 = 68;
/** No IPv6 link has less (RFC 8200 §5), and Linux listens to no less. */
const LEAST_MTU_IPV6: u32 = 1280;
const QUOTE_IPV6: u32 = LEAST_MTU_IPV6 - IPV6_SIZE - ICMP_SIZE;

/** Answers the classified and checked frame, if that is right; it is overwritten then. Frames of `room` bytes would do. */
export function tellTooBig(port: u32, frame: usize, length: u32, room: u32): void {
  const mtu = room < l3 ? 0 : room - l3;
  const size = etherType == TYPE_IPV4 ? mayTellIpv4(frame, length, mtu) : mayTellIpv6(frame, length);
  if (!size || !outHasRoom() || !take(portAt(port) + PORT_TOO_BIG_BUCKET, config(CONFIG_TOO_BIG_PPS))) return;
  const mac = loadMac(frame);
  storeMac(frame, loadMac(frame + ETHERNET_SOURCE));
  storeMac(frame + ETHERNET_SOURCE, mac);
  const answer = etherType == TYPE_IPV4 ? writeIpv4(frame + l3, size, mtu) : writeIpv6(frame + l3, size, mtu);
  if (outPut(port, frame, l3 + answer, 1, 0, COUNTER_ANSWERED)) count(COUNTER_TOO_BIG_TOLD, 1);
}

/** Bytes of the packet to quote; 0: its sender is not to be told. */
function mayTellIpv4(frame: usize, length: u32, mtu: u32): u32 {
  const ip = frame + l3;
  if (mtu < LEAST_MTU_IPV4 || ipv4Offset(ip) != 0) return 0;
  // Without DF it would have been fragmented, had it been sound.
  if (gsoType == GSO_NONE && !ipv4IsAtomic(ip)) return 0;
  if (!isHostIpv4(load32(ip + IPV4_SOURCE)) || !isHostIpv4(load32(ip + IPV4_DESTINATION))) return 0;
  // Not by `l4`: a first fragment has none, and may be of an error as well.
  if (load<u8>(ip, IPV4_PROTOCOL) == PROTOCOL_ICMP) {
    const icmp = l3 + ipv4HeaderLength(ip);
    const type: u32 = icmp < length ? load<u8>(frame + icmp) : 31;
    if (type < 32 && (ICMP_ERRORS >> type) & 1) return 0;
  }
  return min(length - l3, QUOTE_IPV4);
}

/** Neither of this network, nor of this host, nor a group's. */
function isHostIpv4(address: u32): bool {
  const first = address >> 24;
  return first != 0 && first != 127 && first < 224;
}

function mayTellIpv6(frame: usize, length: u32): u32 {
  if (etherType != TYPE_IPV6 || length - l3 <= LEAST_MTU_IPV6) return 0;
  const ip = frame + l3;
  if (load<u8>(ip, IPV6_SOURCE) == 0xff || load<u8>(ip, IPV6_DESTINATION) == 0xff) return 0;
  if (isUnspecified(ip + IPV6_SOURCE)) return 0;
  if (protocol == NEXT_ICMPV6 && l4 != 0) {
    if (l4 >= length || (load<u8>(frame + l4) as u32) < ICMPV6_INFORMATIONAL) return 0;
  }
  return QUOTE_IPV6;
}

function writeIpv4(ip: usize, quote: u32, mtu: u32): u32 {
  const icmp = ip + IPV4_SIZE;
  memory.copy(icmp + ICMP_SIZE, ip, quote);
  const source = load<u32>(ip, IPV4_SOURCE);
  const destination = load<u32>(ip, IPV4_DESTINATION);
  const total = IPV4_SIZE + ICMP_SIZE + quote;
  store<u64>(ip, 0);
  store<u8>(ip, 0x45);
  store16(ip + IPV4_TOTAL, total);
  store16(ip + IPV4_FRAGMENT, IPV4_DO_NOT_FRAGMENT);
  store<u8>(ip, TTL as u8, IPV4_PROTOCOL - 1);
  store<u8>(ip, PROTOCOL_ICMP as u8, IPV4_PROTOCOL);
  store<u32>(ip, destination, IPV4_SOURCE);
  store<u32>(ip, source, IPV4_DESTINATION);
  ipv4Finish(ip, IPV4_SIZE);
  store32(icmp, UNREACHABLE_FRAGMENTATION);
  store32(icmp + 4, min(mtu, 0xffff));
  store<u16>(icmp, ~fold(sum(icmp, ICMP_SIZE + quote)) as u16, 2);
  return total;
}

function writeIpv6(ip: usize, quote: u32, mtu: u32): u32 {
  const icmp = ip + IPV6_SIZE;
  memory.copy(icmp + ICMP_SIZE, ip, quote);
  const original = icmp + ICMP_SIZE;
  const size = ICMP_SIZE + quote;
  store32(ip, 0x60000000);
  store16(ip + IPV6_PAYLOAD, size);
  store<u8>(ip, NEXT_ICMPV6 as u8, IPV6_NEXT);
  store<u8>(ip, TTL as u8, IPV6_HOP_LIMIT);
  memory.copy(ip + IPV6_SOURCE, original + IPV6_DESTINATION, 16);
  memory.copy(ip + IPV6_DESTINATION, original + IPV6_SOURCE, 16);
  store32(icmp, PACKET_TOO_BIG);
  store32(icmp + 4, max(mtu, LEAST_MTU_IPV6));
  icmpv6Finish(ip, icmp, size);
  return IPV6_SIZE + size;
}
