/**
 * What a TAP's virtio_net_hdr claims about the frame behind it, checked before anything relies on it.
 *
 * A header that asks for segmentation must name exactly the transport header that the frame has, and all lengths must
 * agree; else the frame is dropped as bad-offload. Results are scratch globals, valid until the next `checkOffload`.
 *
 * An unfinished checksum is left unfinished, for whoever copies the frame or writes it to a TAP, only where it is that of the
 * frame's own TCP or UDP header, which nothing here reads. Any other (of a tunnel's inner packet; or chosen so that it falls on
 * an address) is finished at once, so that the guards see what leaves.
 */
import { classify, l3, l4, protocol, etherType } from './classify';
import { load16 } from './bytes';
import { fold, sum } from './checksum';
import { ETHERNET_SIZE, TYPE_IPV4, TYPE_IPV6 } from './ethernet';
import { IPV4_TOTAL } from './ipv4';
import { IPV6_SIZE, ipv6PayloadLength } from './ipv6';
import { TX_RESERVE } from './layout';
import { SEAL_SIZE } from './sealed';
import { PROTOCOL_TCP, TCP_SIZE, TCP_SUM, tcpHeaderLength } from './tcp';
import { PROTOCOL_UDP, UDP_LENGTH, UDP_SIZE, UDP_SUM, udpSum } from './udp';
import {
  GSO_ECN,
  GSO_NONE,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP_L4,
  VNET_NEEDS_CSUM,
  setGso,
  setPartial,
  vnetCsumOffset,
  vnetCsumStart,
  vnetFlags,
  vnetGsoSize,
  vnetGsoType,
} from './vnet';
import { VXLAN_SIZE } from './vxlan';

/** Where the checksum to be finished starts, 0 when none is; and where in it the sum is stored. */
export let csumStart: u32 = 0;
export let csumOffset: u32 = 0;
/** GSO_x without the ECN bit. */
export let gsoType: u32 = 0;
/** Payload bytes of a full segment. */
export let gsoSize: u32 = 0;
/** Bytes before the payload, all headers together; of a super-frame only. */
export let gsoHeaders: u32 = 0;
let gsoEcn: u32 = 0;

/** A super-frame of more segments than this is an attack on our memory: real ones have a few dozen. */
export const MAX_SEGMENTS: u32 = 2048;

/** Reads the header for the classified frame, which may be finished and classified anew; false: it lies. */
export function checkOffload(vnet: usize, frame: usize, length: u32): bool {
  csumStart = 0;
  csumOffset = 0;
  gsoSize = 0;
  gsoHeaders = 0;
  gsoEcn = vnetGsoType(vnet) & GSO_ECN;
  gsoType = vnetGsoType(vnet) & ~GSO_ECN;
  if (!(vnetFlags(vnet) & VNET_NEEDS_CSUM)) return gsoType == GSO_NONE;
  csumStart = vnetCsumStart(vnet);
  csumOffset = vnetCsumOffset(vnet);
  if (csumStart < ETHERNET_SIZE || csumStart + csumOffset + 2 > length) return false;
  if (gsoType == GSO_NONE) {
    if (!isOwnSum()) finishNow(frame, length);
    return true;
  }
  gsoSize = vnetGsoSize(vnet);
  if (csumStart != l4 || !lengthAgrees(frame, length) || !typeAgrees(frame, length)) return false;
  if (gsoSize == 0 || gsoHeaders >= length) return false;
  return gsoSegments(length) <= MAX_SEGMENTS && fitsReserve(length);
}

/** The unfinished checksum is that of the frame's own transport header. */
function isOwnSum(): bool {
  if (csumStart != l4) return false;
  return (
    (protocol == PROTOCOL_TCP && csumOffset == TCP_SUM) || (protocol == PROTOCOL_UDP && csumOffset == UDP_SUM)
  );
}

function finishNow(frame: usize, length: u32): void {
  finishSum(frame, sum(frame + csumStart, length - csumStart));
  unfinished(0, 0);
  classify(frame, length);
}

/** Each segment repeats the headers, of which IPv6 may have kilobytes: what cutting writes stays within what is kept for it. */
function fitsReserve(length: u32): bool {
  const around = gsoHeaders + VXLAN_SIZE + SEAL_SIZE;
  return gsoSegments(length) * around + (length - gsoHeaders) <= TX_RESERVE;
}

/** Segments that the checked super-frame makes; 1 for any other frame. */
export function gsoSegments(length: u32): u32 {
  return gsoType == GSO_NONE ? 1 : (length - gsoHeaders + gsoSize - 1) / gsoSize;
}

/** Ethernet bytes of the largest segment. */
export function largestSegment(length: u32): u32 {
  if (gsoType == GSO_NONE) return length;
  const full = gsoHeaders + gsoSize;
  return full < length ? full : length;
}

/** Writes a clean header for handing the frame on whole. */
export function writeOffload(vnet: usize): void {
  if (csumStart) setPartial(vnet, csumStart, csumOffset);
  if (gsoType != GSO_NONE) setGso(vnet, gsoType | gsoEcn, gsoSize, gsoHeaders);
}

/**
 * Cuts the super-frame into segments of `size` bytes of payload, fewer than it asked for; false: that is no size, or makes too
 * much of it.
 */
export function resize(length: u32, size: u32): bool {
  if (size == 0) return false;
  gsoSize = size;
  return fitsReserve(length);
}

/** Takes a frame that is no super-frame for one, of `headers` bytes of headers; false, and as it was: too much would come of it. */
export function wholeAsSuperFrame(length: u32, type: u32, headers: u32, size: u32): bool {
  const before = gsoType;
  gsoType = type;
  gsoHeaders = headers;
  gsoSize = size;
  if (fitsReserve(length)) return true;
  gsoType = before;
  return false;
}

/** Where the checksum is left unfinished now; 0: it is done. */
export function unfinished(start: u32, offset: u32): void {
  csumStart = start;
  csumOffset = offset;
}

/** Writes the unfinished checksum into the frame, or a copy of it; `total`: the sum of all that it covers. */
export function finishSum(frame: usize, total: u32): void {
  const finished = ~fold(total) & 0xffff;
  // The sum of UDP stands six bytes in; those of TCP and ICMPv6 do not, and mean a true zero by zero.
  store<u16>(frame + csumStart + csumOffset, (csumOffset == UDP_SUM ? udpSum(finished) : finished) as u16);
}

/** The IP header states the length that the frame has. */
export function lengthAgrees(frame: usize, length: u32): bool {
  if (etherType == TYPE_IPV4) return load16(frame + l3 + IPV4_TOTAL) == length - l3;
  if (etherType == TYPE_IPV6) return ipv6PayloadLength(frame + l3) + IPV6_SIZE == length - l3;
  return false;
}

function typeAgrees(frame: usize, length: u32): bool {
  if (gsoType == GSO_UDP_L4) {
    gsoHeaders = l4 + UDP_SIZE;
    return (
      protocol == PROTOCOL_UDP &&
      csumOffset == UDP_SUM &&
      gsoEcn == 0 &&
      gsoHeaders <= length &&
      load16(frame + l4 + UDP_LENGTH) == length - l4
    );
  }
  const expected = etherType == TYPE_IPV4 ? GSO_TCPV4 : GSO_TCPV6;
  if (gsoType != expected || protocol != PROTOCOL_TCP || csumOffset != TCP_SUM) return false;
  if (l4 + TCP_SIZE > length) return false;
  const header = tcpHeaderLength(frame + l4);
  gsoHeaders = l4 + header;
  return header >= TCP_SIZE;
}
