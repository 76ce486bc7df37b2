/**
 * Which frames may become one super-frame: the rules of GRO, as far as TCP and UDP over plain IP go.
 *
 * A candidate is a whole TCP data segment (flags ACK, perhaps PSH, ECE; CWR only at a group's head) or UDP datagram with
 * payload and a checksum, in an IP packet without options or extension headers that fills its frame exactly. Two belong
 * together when all their headers agree but for lengths, checksums, IPv4 id, sequence and PSH. The results of `inspect`
 * are scratch globals.
 */
import { equal, load16, load32 } from './bytes';
import { ipv4AddressSum, ipv4HeaderLength, ipv4IsAtomic } from './ipv4';
import { IPV4_FRAGMENT, IPV4_ID, IPV4_PROTOCOL, IPV4_SIZE, IPV4_SOURCE, IPV4_TOTAL } from './ipv4';
import { IPV6_NEXT, IPV6_SIZE, IPV6_SOURCE, ipv6AddressSum, ipv6PayloadLength } from './ipv6';
import { classify, etherType, l3, l4, protocol } from './classify';
import { fold, headerSum, sum, word } from './checksum';
import { TYPE_IPV4, TYPE_IPV6 } from './ethernet';
import {
  PROTOCOL_TCP,
  TCP_ACK,
  TCP_ACKNOWLEDGEMENT,
  TCP_CWR,
  TCP_FIN,
  TCP_OFFSET,
  TCP_PSH,
  TCP_RST,
  TCP_SEQUENCE,
  TCP_SIZE,
  TCP_SYN,
  TCP_URG,
  TCP_URGENT,
  TCP_WINDOW,
  tcpFlags,
  tcpHeaderLength,
} from './tcp';
import { PROTOCOL_UDP, UDP_LENGTH, UDP_SIZE, UDP_SUM } from './udp';
import { GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4 } from './vnet';

/** Kind of super-frame that the inspected frame could be part of; GSO_NONE: of none. */
export let kind: u32 = GSO_NONE;
/** Its bytes before the payload, and of payload. */
export let headers: u32 = 0;
export let payload: u32 = 0;

/** Classifies the frame and sets the globals; true when it is a candidate. */
export function inspect(frame: usize, length: u32): bool {
  kind = GSO_NONE;
  classify(frame, length);
  if (l4 == 0 || !fillsFrame(frame, length)) return false;
  if (protocol == PROTOCOL_TCP) return inspectTcp(frame, length);
  if (protocol == PROTOCOL_UDP) return inspectUdp(frame, length);
  return false;
}

function fillsFrame(frame: usize, length: u32): bool {
  const ip = frame + l3;
  if (etherType == TYPE_IPV4) {
    if (ipv4HeaderLength(ip) != IPV4_SIZE || load16(ip + IPV4_TOTAL) != length - l3) return false;
    return headerSum(ip, IPV4_SIZE) == 0xffff;
  }
  if (etherType != TYPE_IPV6) return false;
  return l4 == l3 + IPV6_SIZE && ipv6PayloadLength(ip) == length - l4;
}

function inspectTcp(frame: usize, length: u32): bool {
  const tcp = frame + l4;
  if (l4 + TCP_SIZE > length) return false;
  const header = tcpHeaderLength(tcp);
  headers = l4 + header;
  if (header < TCP_SIZE || headers >= length) return false;
  if ((tcpFlags(tcp) & (TCP_FIN | TCP_SYN | TCP_RST | TCP_URG | TCP_ACK)) != TCP_ACK) return false;
  payload = length - headers;
  kind = etherType == TYPE_IPV4 ? GSO_TCPV4 : GSO_TCPV6;
  return true;
}

function inspectUdp(frame: usize, length: u32): bool {
  const udp = frame + l4;
  headers = l4 + UDP_SIZE;
  if (headers >= length || load16(udp + UDP_LENGTH) != length - l4 || load<u16>(udp + UDP_SUM) == 0)
    return false;
  payload = length - headers;
  kind = GSO_UDP_L4;
  return true;
}

/** The transport checksum of an inspected frame is right. */
export function verifies(frame: usize, length: u32): bool {
  const size = length - l4;
  const pseudo = pseudoSum(frame + l3, etherType == TYPE_IPV4, protocol, size);
  return fold(pseudo + sum(frame + l4, size)) == 0xffff;
}

/** What the inspected frame's transport checksum covers, without the payload; not folded. */
export function partialSum(frame: usize): u32 {
  const pseudo = pseudoSum(frame + l3, etherType == TYPE_IPV4, protocol, headers - l4 + payload);
  return pseudo + sum(frame + l4, headers - l4);
}

/** Sum of the pseudo-header that goes with `size` bytes of a transport protocol over the IP header at `ip`. */
export function pseudoSum(ip: usize, isIpv4: bool, transport: u32, size: u32): u32 {
  const addresses = isIpv4 ? ipv4AddressSum(ip) : ipv6AddressSum(ip);
  return addresses + word(size) + word(transport);
}

/**
 * The inspected frame has the headers of `head`, whose layers begin at the same offsets, and is the `index`-th segment
 * after it.
 */
export function continues(head: usize, frame: usize, index: u32): bool {
  if (!equal(head, frame, l3)) return false;
  const isV4 = etherType == TYPE_IPV4;
  if (!(isV4 ? sameIpv4(head + l3, frame + l3, index) : sameIpv6(head + l3, frame + l3))) return false;
  // The two ports.
  if (load<u32>(head + l4) != load<u32>(frame + l4)) return false;
  return kind == GSO_UDP_L4 || sameTcp(head + l4, frame + l4, headers - l4);
}

function sameIpv4(a: usize, b: usize, index: u32): bool {
  // Version, length and type of service; fragment word; TTL and protocol; addresses.
  if (load<u16>(a) != load<u16>(b) || load<u16>(a, IPV4_FRAGMENT) != load<u16>(b, IPV4_FRAGMENT))
    return false;
  if (load<u16>(a, IPV4_PROTOCOL - 1) != load<u16>(b, IPV4_PROTOCOL - 1)) return false;
  if (load<u64>(a, IPV4_SOURCE) != load<u64>(b, IPV4_SOURCE)) return false;
  return ipv4IsAtomic(a) || ((load16(a + IPV4_ID) + index) & 0xffff) == load16(b + IPV4_ID);
}

function sameIpv6(a: usize, b: usize): bool {
  // Class and label; next header and hop limit; addresses.
  if (load<u32>(a) != load<u32>(b) || load<u16>(a, IPV6_NEXT) != load<u16>(b, IPV6_NEXT)) return false;
  return equal(a + IPV6_SOURCE, b + IPV6_SOURCE, 32);
}

function sameTcp(a: usize, b: usize, size: u32): bool {
  const ignored = TCP_PSH | TCP_CWR;
  if ((tcpFlags(a) & ~ignored) != (tcpFlags(b) & ~ignored) || tcpFlags(b) & TCP_CWR) return false;
  if (load<u32>(a, TCP_ACKNOWLEDGEMENT) != load<u32>(b, TCP_ACKNOWLEDGEMENT)) return false;
  if (load<u8>(a, TCP_OFFSET) != load<u8>(b, TCP_OFFSET)) return false;
  if (load<u16>(a, TCP_WINDOW) != load<u16>(b, TCP_WINDOW)) return false;
  if (load<u16>(a, TCP_URGENT) != load<u16>(b, TCP_URGENT)) return false;
  return equal(a + TCP_SIZE, b + TCP_SIZE, size - TCP_SIZE);
}

export function sequenceOf(frame: usize): u32 {
  return load32(frame + l4 + TCP_SEQUENCE);
}
