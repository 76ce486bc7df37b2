/**
 * TAP → tunnel. The stages, in the order of the functions below:
 *
 *   1. admit     the port exists, the length is an Ethernet frame's
 *   2. classify  where its layers are; the virtio header tells the truth; and, with what that had to be finished, guard: what
 *                no honest endpoint sends, and what is not this port's own
 *   3. learn     its source MAC, within the port's quota, and the IP it states for it
 *   4. answer    ARP and neighbour solicitations that the tables can answer
 *   5. forward   to a port, a peer, or everyone on the flood list
 *   6. fit       what the path does not take is made smaller, or its sender told
 *   7. cut       into VXLAN datagrams, queue them for the cipher where the network is sealed, and post them
 *
 * One frame, one verdict: a function here returns REASON_NONE once a message or out record carries the frame's
 * verdict, or the reason for which it is dropped.
 */
import { count, drop } from './account';
import { answer } from './answer';
import { take } from './bucket';
import { isGroup, loadMac } from './bytes';
import { clampMss } from './clamp';
import { classify, flowHash, l4, protocol } from './classify';
import { CONFIG_BROADCAST_PPS, CONFIG_REFLECT_UNKNOWN, CONFIG_UNKNOWN_PPS, config } from './config';
import {
  COUNTER_COPIES_LOST,
  COUNTER_CUT,
  COUNTER_FROM_TAP,
  COUNTER_FROM_TAP_BYTES,
  COUNTER_SHRUNK,
  COUNTER_UNKNOWN_UNICAST,
} from './counters';
import { cut, cutBytes, cutCount, cutSize } from './cut';
import { deliver } from './deliver';
import { ETHERNET_SIZE, TAG_SIZE } from './ethernet';
import { FDB_LOCAL, entryDestination, entryHas, fdbFind, fdbKey } from './fdb';
import { filterFlood, isConcerned } from './flood-filter';
import { NO_MORE, floodNext, floodPeers } from './flood';
import { guard } from './guard';
import { guardBound } from './guard-bound';
import { learnIp, learnMac } from './learn';
import { networkExists, networkIsSealed, networkSuppresses, networkVni } from './network';
import { checkOffload, csumStart, gsoType, largestSegment } from './offload';
import { outHasRoom } from './out';
import { PEER_SESSION, peerAt, peerExists } from './peer';
import {
  PORT_REFLECT,
  PORT_STORM_BUCKET,
  PORT_UNKNOWN_BUCKET,
  firstPort,
  nextPort,
  portAt,
  portExists,
  portHas,
  portNetwork,
} from './port';
import {
  REASON_BAD_OFFLOAD,
  REASON_NONE,
  REASON_NO_DESTINATION,
  REASON_NO_PEER,
  REASON_NO_PORT,
  REASON_NO_SESSION,
  REASON_OVERSIZE,
  REASON_SAME_PORT,
  REASON_STORM_LIMIT,
  REASON_TOO_BIG,
  REASON_TRUNCATED,
  REASON_TX_FULL,
  REASON_UNKNOWN_RATE,
} from './reason';
import { roomTo } from './room';
import { noteRouter } from './router';
import { SEAL_LEAD, SEAL_SIZE, sealHasRoom, sealRun } from './sealed';
import { takeCounters } from './session';
import { shrink } from './shrink';
import { PROTOCOL_TCP } from './tcp';
import { tellTooBig } from './toobig';
import { arenaCursor, arenaKeep, post, txHasRoom } from './transmit';
import { GSO_NONE, VNET_SIZE } from './vnet';

const LARGEST_FRAME: u32 = ETHERNET_SIZE + TAG_SIZE + 65535;
/** The top three bits of the flow hash choose among the eight tables. */
const TABLE_SHIFT: u64 = 61;

/** Takes one read from a TAP: vnet header and frame at `slot`. Returns 1 when the tables must be flushed first. */
export function fromTap(port: u32, slot: usize, length: u32): u32 {
  count(COUNTER_FROM_TAP, 1);
  if (length > VNET_SIZE) count(COUNTER_FROM_TAP_BYTES, length - VNET_SIZE);
  table = 0;
  const reason = admit(port, slot, length);
  if (reason) drop(reason);
  return txHasRoom(table) && txHasRoom(0) && outHasRoom() && sealHasRoom() ? 0 : 1;
}

/** The transmit table of the frame in hand. */
let table: u32 = 0;

function admit(port: u32, slot: usize, length: u32): u32 {
  if (!portExists(port)) return REASON_NO_PORT;
  const network = portNetwork(port);
  if (!networkExists(network)) return REASON_NO_PORT;
  if (length < VNET_SIZE + ETHERNET_SIZE) return REASON_TRUNCATED;
  if (length > VNET_SIZE + LARGEST_FRAME) return REASON_OVERSIZE;
  return inspect(network, port, slot, slot + VNET_SIZE, length - VNET_SIZE);
}

function inspect(network: u32, port: u32, vnet: usize, frame: usize, length: u32): u32 {
  classify(frame, length);
  if (!checkOffload(vnet, frame, length)) return REASON_BAD_OFFLOAD;
  const refusal = guard(frame, length);
  if (refusal) return refusal;
  const foreign = guardBound(port, frame, length);
  if (foreign) return foreign;
  const unlearnt = learnMac(network, port, frame);
  if (unlearnt) return unlearnt;
  learnIp(network, port, frame, length);
  noteRouter(network, frame, length);
  if (networkSuppresses(network) && answer(network, port, frame, length)) return REASON_NONE;
  return forward(network, port, frame, length);
}

function forward(network: u32, port: u32, frame: usize, length: u32): u32 {
  if (isGroup(frame)) return floodGroup(network, port, frame, length);
  const entry = fdbFind(fdbKey(network, loadMac(frame)));
  if (!entry) return floodUnknown(network, port, frame, length);
  const destination = entryDestination(entry);
  if (!entryHas(entry, FDB_LOCAL)) return toPeer(network, port, destination, frame, length);
  if (destination == port && !portHas(port, PORT_REFLECT)) return REASON_SAME_PORT;
  return deliver(destination, frame, length, 1);
}

/** Unicast: the frame is nobody else's, and may be changed to suit the path. */
function toPeer(network: u32, port: u32, peer: u32, frame: usize, length: u32): u32 {
  if (!peerExists(peer)) return REASON_NO_PEER;
  const isSealed = networkIsSealed(network);
  const room = roomTo(peer, isSealed);
  if (protocol == PROTOCOL_TCP && l4 != 0 && gsoType == GSO_NONE) {
    clampMss(frame, length, room, csumStart == l4);
  }
  if (largestSegment(length) > room) {
    if (!shrink(frame, length, room)) {
      tellTooBig(port, frame, length, room);
      return REASON_TOO_BIG;
    }
    count(COUNTER_SHRUNK, 1);
  }
  return isSealed ? toPeerSealed(network, peer, frame, length, 1) : toPeerClear(network, peer, frame, length);
}

function toPeerClear(network: u32, peer: u32, frame: usize, length: u32): u32 {
  if (!cutIntoArena(network, frame, length, 0, 0)) return REASON_TX_FULL;
  const reason = post(table, peer, arenaCursor(table), cutSize, cutCount, cutBytes, 1);
  if (!reason) arenaKeep(table, cutBytes);
  return reason;
}

/** Never in clear: without a session the frame stays here. `verdict` is 1 when no other copy carries it. */
function toPeerSealed(network: u32, peer: u32, frame: usize, length: u32, verdict: u32): u32 {
  const session = load<u32>(peerAt(peer), PEER_SESSION);
  if (!session) return REASON_NO_SESSION;
  if (largestSegment(length) > roomTo(peer, true)) return REASON_TOO_BIG;
  if (!sealHasRoom() || !cutIntoArena(network, frame, length, SEAL_LEAD, SEAL_SIZE - SEAL_LEAD)) {
    return REASON_TX_FULL;
  }
  if (!takeCounters(session - 1, cutCount)) return REASON_NO_SESSION;
  const start = arenaCursor(table);
  // Headed before it is posted: what is posted can be sent.
  sealRun(session - 1, start, cutSize, cutCount, cutBytes);
  arenaKeep(table, cutBytes);
  return post(table, peer, start, cutSize, cutCount, cutBytes, verdict);
}

/** Chooses the table by flow, and writes the frame's datagrams at its cursor, not yet kept. */
function cutIntoArena(network: u32, frame: usize, length: u32, lead: u32, trail: u32): bool {
  table = (flowHash(frame, length) >> TABLE_SHIFT) as u32;
  if (!txHasRoom(table)) return false;
  if (!cut(arenaCursor(table), frame, length, networkVni(network), lead, trail)) return false;
  if (cutCount > 1) count(COUNTER_CUT, 1);
  return true;
}

/** Broadcast and multicast. What the tables answered has not come here, so it costs no token. */
function floodGroup(network: u32, port: u32, frame: usize, length: u32): u32 {
  if (!take(portAt(port) + PORT_STORM_BUCKET, config(CONFIG_BROADCAST_PPS))) return REASON_STORM_LIMIT;
  return flood(network, port, frame, length, portHas(port, PORT_REFLECT));
}

function floodUnknown(network: u32, port: u32, frame: usize, length: u32): u32 {
  count(COUNTER_UNKNOWN_UNICAST, 1);
  if (!take(portAt(port) + PORT_UNKNOWN_BUCKET, config(CONFIG_UNKNOWN_PPS))) return REASON_UNKNOWN_RATE;
  const reflect = portHas(port, PORT_REFLECT) && config(CONFIG_REFLECT_UNKNOWN) != 0;
  return flood(network, port, frame, length, reflect);
}

/** To every peer of the network and every other port that it may concern; the first copy carries the verdict. */
function flood(network: u32, port: u32, frame: usize, length: u32, reflect: bool): u32 {
  let reason = REASON_NO_DESTINATION;
  let copies: u32 = 0;
  let lost: u32 = 0;
  filterFlood(frame, length);
  if (floodPeers(network)) {
    // In clear one payload serves many messages; sealed, every peer has its own key and so its own copy.
    const isSealed = networkIsSealed(network);
    if (!isSealed && !cutIntoArena(network, frame, length, 0, 0)) return REASON_TX_FULL;
    const start = arenaCursor(table);
    for (let peer = floodNext(network, 0); peer != NO_MORE; peer = floodNext(network, peer + 1)) {
      const verdict = copies ? 0 : 1;
      const failed = isSealed
        ? toPeerSealed(network, peer, frame, length, verdict)
        : post(table, peer, start, cutSize, cutCount, cutBytes, verdict);
      if (failed) {
        reason = failed;
        lost++;
      } else {
        copies++;
      }
    }
    if (!isSealed && copies) arenaKeep(table, cutBytes);
  }
  for (let next = firstPort(network); next; next = nextPort(next - 1)) {
    if ((next - 1 == port && !reflect) || !isConcerned(next - 1)) continue;
    const failed = deliver(next - 1, frame, length, copies ? 0 : 1);
    if (failed) {
      reason = failed;
      lost++;
    } else {
      copies++;
    }
  }
  if (!copies) return reason;
  count(COUNTER_COPIES_LOST, lost);
  return REASON_NONE;
}
