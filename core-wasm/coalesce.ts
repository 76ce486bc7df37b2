/**
 * Coalescing: a run of one flow's datagrams, as GRO delivered them, becomes one super-frame again, in place.
 *
 *   before   [V|headers|payload 1][V|headers|payload 2][V|headers|payload 3]
 *   after       [headers|payload 1|payload 2|payload 3]                         V: VXLAN header
 *
 * One group is open at a time. Compaction overwrites the headers of what it appends, so everything needed of them is
 * read first; and whatever else is emitted closes the group, or compaction would run over that frame. Only segments
 * whose checksums verify are merged: the super-frame's own is left for the kernel to finish, so a broken segment inside
 * would be blessed. The first is verified when a second turns up; alone it goes out as it came, for the kernel to judge.
 * The others are summed while they are moved, one pass over the payload instead of two; a wrong one is moved back.
 */
import { count, dropMany } from './account';
import { store16 } from './bytes';
import { copyLoose, copySum, fold } from './checksum';
import { etherType, l3, l4 } from './classify';
import { COUNTER_COALESCED, COUNTER_DELIVERED } from './counters';
import { TYPE_IPV4 } from './ethernet';
import { IPV4_SIZE, IPV4_TOTAL, ipv4Finish } from './ipv4';
import { IPV6_PAYLOAD } from './ipv6';
import { STATE_HEADERS } from './layout';
import {
  continues,
  headers,
  inspect,
  kind,
  partialSum,
  payload,
  pseudoSum,
  sequenceOf,
  verifies,
} from './merge';
import { outPut } from './out';
import { PORT_OFFLOAD, PORT_USO, portHas } from './port';
import { REASON_OUT_FULL } from './reason';
import { PROTOCOL_TCP, TCP_CWR, TCP_FLAGS, TCP_PSH, TCP_SUM, tcpFlags } from './tcp';
import { PROTOCOL_UDP, UDP_LENGTH, UDP_SUM } from './udp';
import { GSO_ECN, GSO_NONE, GSO_UDP_L4, setGso, setPartial } from './vnet';

/** What the kernel's own GSO takes. */
const MAX_SEGMENTS: u32 = 64;
const LARGEST_PACKET: u32 = 65499;

/** The open group; no frames: none is open. Scratch within one call of fromTunnel. */
let frames: u32 = 0;
let port: u32 = 0;
let head: usize = 0;
let end: usize = 0;
let groupKind: u32 = 0;
let groupIsIpv4: bool = false;
let groupL3: u32 = 0;
let groupL4: u32 = 0;
let groupHeaders: u32 = 0;
/** Payload bytes of each segment but the last. */
let segment: u32 = 0;
let nextSequence: u32 = 0;
let headVerified: bool = false;
/**
 * Nothing may follow: a short segment was the last. PSH ends no group, as it does where one waits for more to come: what
 * is merged here has come already, and goes to the container at the end of the same call.
 */
let complete: bool = false;

/**
 * Takes a frame for a port: appends it to the open group or closes that and opens another. Accounts for it itself. False:
 * it is no data segment, and may still be changed in place, but in length.
 */
export function coalesce(to: u32, frame: usize, length: u32): bool {
  if (!inspect(frame, length) || !portHas(to, kind == GSO_UDP_L4 ? PORT_USO : PORT_OFFLOAD)) {
    flushGroup();
    openGroup(to, frame, length);
    complete = true;
    return kind != GSO_NONE;
  }
  if (append(to, frame)) return true;
  flushGroup();
  openGroup(to, frame, length);
  return true;
}

function openGroup(to: u32, frame: usize, length: u32): void {
  frames = 1;
  port = to;
  head = frame;
  end = frame + length;
  headVerified = false;
  complete = false;
  groupKind = kind;
  if (kind == GSO_NONE) return;
  groupIsIpv4 = etherType == TYPE_IPV4;
  groupL3 = l3;
  groupL4 = l4;
  groupHeaders = headers;
  segment = payload;
  nextSequence = kind == GSO_UDP_L4 ? 0 : sequenceOf(frame) + payload;
}

/** Appends the inspected frame, if it continues the group; false: it does not, and nothing changed. */
function append(to: u32, frame: usize): bool {
  if (frames == 0 || complete || frames >= MAX_SEGMENTS || to != port) return false;
  if (kind != groupKind || l3 != groupL3 || l4 != groupL4 || headers != groupHeaders) return false;
  if (payload > segment || ((end - head) as u32) - l3 + payload > LARGEST_PACKET) return false;
  if (kind != GSO_UDP_L4 && sequenceOf(frame) != nextSequence) return false;
  if (!continues(head, frame, frames)) return false;
  if (!headVerified) {
    if (!verifies(head, groupHeaders + segment)) return false;
    headVerified = true;
  }
  const flags = kind == GSO_UDP_L4 ? 0 : tcpFlags(frame + l4);
  if (!compact(frame)) return false;

  complete = payload < segment;
  if (kind != GSO_UDP_L4) {
    store<u8>(head + l4, (tcpFlags(head + l4) | (flags & TCP_PSH)) as u8, TCP_FLAGS);
    nextSequence += payload;
  }
  end += payload;
  frames++;
  return true;
}

/** Moves the inspected frame's payload to the group's end; false, and as it was, when its checksum is wrong. */
function compact(frame: usize): bool {
  // Compaction goes down, never up into what has not been read yet; but it runs over the frame's own headers.
  const from = frame + headers;
  assert(end < from && headers <= 256);
  const partial = partialSum(frame);
  copyLoose(STATE_HEADERS, frame, headers);
  if (fold(partial + copySum(end, from, payload)) == 0xffff) return true;
  memory.copy(from, end, payload);
  memory.copy(frame, STATE_HEADERS, headers);
  return false;
}

/** Emits the open group, if there is one. */
export function flushGroup(): void {
  if (frames == 0) return;
  const merged = frames;
  frames = 0;
  const length = (end - head) as u32;
  const vnet = outPut(port, head, length, merged, merged, COUNTER_DELIVERED);
  if (!vnet) {
    dropMany(REASON_OUT_FULL, merged);
    return;
  }
  if (merged == 1) return;
  count(COUNTER_COALESCED, merged);
  finish(vnet, length);
}

/** Headers of the super-frame, and its vnet header. */
function finish(vnet: usize, length: u32): void {
  const ip = head + groupL3;
  const size = length - groupL4;
  if (groupIsIpv4) {
    store16(ip + IPV4_TOTAL, length - groupL3);
    ipv4Finish(ip, IPV4_SIZE);
  } else {
    store16(ip + IPV6_PAYLOAD, size);
  }
  const isUdp = groupKind == GSO_UDP_L4;
  const sumOffset = isUdp ? UDP_SUM : TCP_SUM;
  const transport = head + groupL4;
  if (isUdp) store16(transport + UDP_LENGTH, size);
  // The kernel adds the payload's sum to the pseudo-header's, and complements the whole.
  const pseudo = pseudoSum(ip, groupIsIpv4, isUdp ? PROTOCOL_UDP : PROTOCOL_TCP, size);
  store<u16>(transport + sumOffset, fold(pseudo) as u16);
  const hasCwr = !isUdp && (tcpFlags(transport) & TCP_CWR) != 0;
  setPartial(vnet, groupL4, sumOffset);
  setGso(vnet, hasCwr ? groupKind | GSO_ECN : groupKind, segment, groupHeaders);
}
