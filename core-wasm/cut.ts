/**
 * Cutting: a TAP frame becomes VXLAN datagrams in an arena, back to back, every checksum finished.
 *
 *   super-frame   [Ethernet · IP · TCP or UDP | payload ............................................]
 *   arena         [VXLAN | headers | payload 1] [VXLAN | headers | payload 2] … [VXLAN | headers | the rest]
 *
 * Per segment: total length, IPv4 id + i, sequence + i × size; FIN and PSH only in the last, CWR only in the first
 * (RFC 3168 §6.1.2). Checksums are not recomputed but carried: the kernel left the pseudo-header sum in the field, its
 * length is exchanged, the header's fixed words are summed once, and each payload is summed while it is copied.
 * A frame that is no super-frame is copied whole, and its checksum finished if it was left partial. An IPv4 packet too large
 * for its path is cut into fragments the same way (shrink.ts).
 */
import { l3, l4, etherType } from './classify';
import { copyLoose, copySum, fold, sum, without, word } from './checksum';
import { load16, load32, store16, store32 } from './bytes';
import { TYPE_IPV4 } from './ethernet';
import {
  IPV4_FRAGMENT,
  IPV4_ID,
  IPV4_MORE_FRAGMENTS,
  IPV4_SIZE,
  IPV4_SUM,
  IPV4_TOTAL,
  ipv4Finish,
  ipv4HeaderLength,
} from './ipv4';
import { IPV6_PAYLOAD, IPV6_SIZE } from './ipv6';
import { TCP_CWR, TCP_FIN, TCP_FLAGS, TCP_OFFSET, TCP_PSH, TCP_SEQUENCE, TCP_SUM, tcpFlags } from './tcp';
import { UDP_LENGTH, UDP_SUM, udpSum } from './udp';
import { VXLAN_SIZE, vxlanHeader } from './vxlan';
import { TX_RESERVE } from './layout';
import { OPTION_NOP, optionSize } from './options';
import { csumStart, finishSum, gsoHeaders, gsoSegments, gsoSize, gsoType } from './offload';
import { GSO_FRAGMENTS, GSO_NONE, GSO_UDP_L4 } from './vnet';

const OPTION_COPIED: u32 = 0x80;

/** Of the last cut: bytes of a full datagram, datagrams, and bytes in all. Scratch, as in classify.ts. */
export let cutSize: u32 = 0;
export let cutCount: u32 = 0;
export let cutBytes: u32 = 0;

/** Sums of the constant words of the IPv4 and transport headers. */
let ipSum: u32 = 0;
let transportSum: u32 = 0;

/**
 * Writes the classified and checked frame's datagrams to `to`, which has TX_RESERVE bytes; with `lead` bytes left free
 * before the VXLAN header of each, and `trail` behind it. False, with nothing written: they would not fit, which offload.ts
 * lets no frame come to.
 */
export function cut(to: usize, frame: usize, length: u32, vni: u32, lead: u32, trail: u32): bool {
  if (gsoType == GSO_NONE) {
    copyWhole(to + lead, frame, length, vni);
    cutSize += lead + trail;
    cutBytes = cutSize;
    return true;
  }
  cutCount = gsoSegments(length);
  const around = lead + VXLAN_SIZE + gsoHeaders + trail;
  cutSize = around + gsoSize;
  cutBytes = cutCount * around + (length - gsoHeaders);
  if (cutBytes > TX_RESERVE) return false;
  prepareIp(frame);
  if (gsoType == GSO_UDP_L4) prepareUdp(frame, length);
  else if (gsoType != GSO_FRAGMENTS) prepareTcp(frame, length);

  const header = vxlanHeader(vni);
  let payload = frame + gsoHeaders;
  let left = length - gsoHeaders;
  let at = to + lead;
  for (let i: u32 = 0; i < cutCount; i++) {
    assert(left > 0);
    const size = left < gsoSize ? left : gsoSize;
    store<u64>(at, header);
    const copy = at + VXLAN_SIZE;
    copyLoose(copy, frame, gsoHeaders);
    const payloadSum = copySum(copy + gsoHeaders, payload, size);
    if (gsoType == GSO_FRAGMENTS) {
      patchFragment(copy, i, size);
    } else {
      patchIp(copy, i, size);
      if (gsoType == GSO_UDP_L4) patchUdp(copy, size, payloadSum);
      else patchTcp(copy, i, size, payloadSum);
    }
    payload += size;
    left -= size;
    at = copy + gsoHeaders + size + trail + lead;
  }
  assert(left == 0 && ((at - lead - to) as u32) == cutBytes);
  return true;
}

function copyWhole(to: usize, frame: usize, length: u32, vni: u32): void {
  store<u64>(to, vxlanHeader(vni));
  const copy = to + VXLAN_SIZE;
  if (csumStart) {
    copyLoose(copy, frame, csumStart);
    finishSum(copy, copySum(copy + csumStart, frame + csumStart, length - csumStart));
  } else {
    copyLoose(copy, frame, length);
  }
  cutCount = 1;
  cutSize = VXLAN_SIZE + length;
}

/** Everything of the IPv4 header that no segment changes. */
function prepareIp(frame: usize): void {
  if (etherType != TYPE_IPV4) return;
  const ip = frame + l3;
  let total = sum(ip, ipv4HeaderLength(ip));
  total = without(total, load<u16>(ip, IPV4_TOTAL));
  total = without(total, load<u16>(ip, IPV4_ID));
  ipSum = without(total, load<u16>(ip, IPV4_SUM));
}

function patchIp(frame: usize, index: u32, size: u32): void {
  const ip = frame + l3;
  const length = gsoHeaders - l3 + size;
  if (etherType != TYPE_IPV4) {
    store16(ip + IPV6_PAYLOAD, length - IPV6_SIZE);
    return;
  }
  const id = (load16(ip + IPV4_ID) + index) & 0xffff;
  store16(ip + IPV4_ID, id);
  store16(ip + IPV4_TOTAL, length);
  store<u16>(ip, ~fold(ipSum + word(id) + word(length)) as u16, IPV4_SUM);
}

/** One of a packet's fragments (RFC 791 §3.2), which may be a fragment itself. All keep its identification. */
function patchFragment(frame: usize, index: u32, size: u32): void {
  const ip = frame + l3;
  const header = ipv4HeaderLength(ip);
  if (index != 0) dropUncopied(ip, header);
  let place = load16(ip + IPV4_FRAGMENT) + ((index * gsoSize) >> 3);
  if (index + 1 != cutCount) place |= IPV4_MORE_FRAGMENTS;
  store16(ip + IPV4_FRAGMENT, place);
  store16(ip + IPV4_TOTAL, header + size);
  ipv4Finish(ip, header);
}

/** Options without the copied bit are in the first fragment only; no-operations in their place keep all headers of one size. */
function dropUncopied(ip: usize, header: u32): void {
  const end = ip + header;
  let at = ip + IPV4_SIZE;
  while (at < end) {
    const size = optionSize(at, end);
    if (size == 0) return;
    if (((load<u8>(at) as u32) & OPTION_COPIED) == 0) memory.fill(at, OPTION_NOP as u8, size);
    at += size;
  }
}

/** The TCP header without sequence and flags, and the pseudo-header in the sum's place without its length. */
function prepareTcp(frame: usize, length: u32): void {
  const tcp = frame + l4;
  let total = sum(tcp, gsoHeaders - l4);
  total = without(total, word(length - l4));
  total = without(total, load<u16>(tcp, TCP_SEQUENCE));
  total = without(total, load<u16>(tcp, TCP_SEQUENCE + 2));
  transportSum = fold(without(total, load<u16>(tcp, TCP_OFFSET)));
}

function patchTcp(frame: usize, index: u32, size: u32, payloadSum: u32): void {
  const tcp = frame + l4;
  store32(tcp + TCP_SEQUENCE, load32(tcp + TCP_SEQUENCE) + index * gsoSize);
  let flags = tcpFlags(tcp);
  if (index != 0) flags &= ~TCP_CWR;
  if (index + 1 != cutCount) flags &= ~(TCP_FIN | TCP_PSH);
  store<u8>(tcp, flags as u8, TCP_FLAGS);
  let total = transportSum + payloadSum + word(gsoHeaders - l4 + size);
  total += (load<u16>(tcp, TCP_SEQUENCE) as u32) + (load<u16>(tcp, TCP_SEQUENCE + 2) as u32);
  total += load<u16>(tcp, TCP_OFFSET);
  store<u16>(tcp, ~fold(total) as u16, TCP_SUM);
}

/** The UDP header without its length, and the pseudo-header in the sum's place without its length. */
function prepareUdp(frame: usize, length: u32): void {
  const udp = frame + l4;
  const total = without(sum(udp, gsoHeaders - l4), load<u16>(udp, UDP_LENGTH));
  transportSum = fold(without(total, word(length - l4)));
}

function patchUdp(frame: usize, size: u32, payloadSum: u32): void {
  const udp = frame + l4;
  const length = gsoHeaders - l4 + size;
  store16(udp + UDP_LENGTH, length);
  // Once in the header, once in the pseudo-header.
  const total = transportSum + payloadSum + word(length) + word(length);
  store<u16>(udp, udpSum(~fold(total) & 0xffff) as u16, UDP_SUM);
}
