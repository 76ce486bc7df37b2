/**
 * Frames that are larger than the path takes, made smaller where that is allowed: TCP is cut into smaller segments, which
 * no receiver can object to, so that a running flow goes on at once when its path narrows; an IPv4 packet without DF
 * becomes fragments (RFC 791 §3.2). Both are left to cut.ts, as a super-frame of the size that fits.
 */
import { etherType, l3, l4, protocol } from './classify';
import { fold, sum } from './checksum';
import { TYPE_IPV4 } from './ethernet';
import { ipv4HeaderLength, ipv4IsAtomic, ipv4Offset } from './ipv4';
import { pseudoSum } from './merge';
import {
  csumStart,
  finishSum,
  gsoHeaders,
  gsoType,
  lengthAgrees,
  resize,
  unfinished,
  wholeAsSuperFrame,
} from './offload';
import { PROTOCOL_TCP, TCP_RST, TCP_SIZE, TCP_SUM, TCP_SYN, TCP_URG, tcpFlags, tcpHeaderLength } from './tcp';
import { GSO_FRAGMENTS, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4 } from './vnet';

/** Fewer bytes than this are no segment: the path is broken. */
const LEAST_PAYLOAD: u32 = 64;
/** Beyond this no fragment may reach. */
const LARGEST_PACKET: u32 = 65535;

/** Changes how the classified and checked frame is to be cut, so that frames of `room` bytes do; false: it cannot be. */
export function shrink(frame: usize, length: u32, room: u32): bool {
  if (gsoType == GSO_UDP_L4) return false; // each of its datagrams is its sender's own
  if (gsoType != GSO_NONE) return resize(length, payloadIn(room, gsoHeaders));
  if (!lengthAgrees(frame, length)) return false;
  if (protocol == PROTOCOL_TCP && l4 != 0 && segments(frame, length, room)) return true;
  return etherType == TYPE_IPV4 && !ipv4IsAtomic(frame + l3) && fragments(frame, length, room);
}

function payloadIn(room: u32, headers: u32): u32 {
  return room < headers + LEAST_PAYLOAD ? 0 : room - headers;
}

/** A single TCP segment, as the super-frame that it could have come in. */
function segments(frame: usize, length: u32, room: u32): bool {
  const tcp = frame + l4;
  if (l4 + TCP_SIZE > length || tcpFlags(tcp) & (TCP_SYN | TCP_RST | TCP_URG)) return false;
  const header = tcpHeaderLength(tcp);
  const size = payloadIn(room, l4 + header);
  if (header < TCP_SIZE || l4 + header >= length || size == 0) return false;
  const isIpv4 = etherType == TYPE_IPV4;
  if (csumStart == 0) {
    // A wrong checksum must not become a right one.
    const pseudo = pseudoSum(frame + l3, isIpv4, PROTOCOL_TCP, length - l4);
    if (fold(pseudo + sum(tcp, length - l4)) != 0xffff) return false;
    store<u16>(tcp, fold(pseudo) as u16, TCP_SUM);
    unfinished(l4, TCP_SUM);
  }
  return wholeAsSuperFrame(length, isIpv4 ? GSO_TCPV4 : GSO_TCPV6, l4 + header, size);
}

/** Fragments but for the last carry a multiple of eight bytes. */
function fragments(frame: usize, length: u32, room: u32): bool {
  const headers = l3 + ipv4HeaderLength(frame + l3);
  const size = payloadIn(room, headers) & ~7;
  if (size == 0 || headers >= length || ipv4Offset(frame + l3) + length - headers > LARGEST_PACKET)
    return false;
  if (csumStart) {
    // In place: it goes to one destination only.
    finishSum(frame, sum(frame + csumStart, length - csumStart));
    unfinished(0, 0);
  }
  return wholeAsSuperFrame(length, GSO_FRAGMENTS, headers, size);
}
