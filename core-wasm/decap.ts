/**
 * Tunnel → TAP. The stages, in the order of the functions below:
 *
 *   0. queueSealed  sealed datagrams are handed to the cipher first, all of a batch at once
 *   1. receive      a message of recvmmsg; its sender is a member; UDP_GRO's run is split into datagrams
 *   2. unwrap       by the first byte: sealed (opened by now, and no replay), a handshake (to control), or clear
 *      decapsulate  the VXLAN header is whole and names a network of ours, and came as the network wants it
 *   3. guard        the inner source is a unicast address; learn it, where the peer speaks no gossip
 *   4. forward      to local ports only: what came through a tunnel never leaves through one (split horizon)
 *   5. coalesce     runs of one flow into super-frames (coalesce.ts)
 */
import { count, drop, dropMany } from './account';
import { isGroup, loadMac } from './bytes';
import { clampMss } from './clamp';
import { classify, l4, protocol } from './classify';
import { coalesce, flushGroup } from './coalesce';
import { emitSingle, isUnfinished } from './single';
import { nowSeconds } from './config';
import {
  COUNTER_COPIES_LOST,
  COUNTER_FROM_TUNNEL,
  COUNTER_FROM_TUNNEL_BYTES,
  COUNTER_PUNTED,
} from './counters';
import { ETHERNET_SIZE, ETHERNET_SOURCE, isLinkLocal, isZeroMac } from './ethernet';
import {
  FDB_LEARNED,
  FDB_LOCAL,
  FDB_STATIC,
  entryDestination,
  entryHas,
  entrySeen,
  entryTouch,
  fdbFind,
  fdbInsert,
  fdbKey,
  fdbMove,
} from './fdb';
import { EVENT_MAC_EXPIRED, EVENT_SESSION_HEARD, emit } from './event';
import { filterFlood, isConcerned } from './flood-filter';
import { NO_NETWORK, findVni, networkIsSealed } from './network';
import { outHasRoom } from './out';
import { NO_PEER, PEER_LEARNT_ROWS, PEER_RX_FRAMES, findSender, peerAt, peerCount, peerLearns } from './peer';
import { firstPort, nextPort } from './port';
import { punt, puntProbe } from './punt';
import {
  REASON_BAD_SOURCE,
  REASON_BAD_VXLAN,
  REASON_CLEAR_REFUSED,
  REASON_LINK_LOCAL,
  REASON_NONE,
  REASON_NOT_A_MEMBER,
  REASON_NO_DESTINATION,
  REASON_NO_SESSION,
  REASON_OUT_FULL,
  REASON_SEALED_REFUSED,
  REASON_SPLIT_HORIZON,
  REASON_TRUNCATED,
  REASON_UNKNOWN_VNI,
} from './reason';
import {
  arm,
  datagramSize,
  messageData,
  messageLength,
  messageName,
  messageNameLength,
  messageTruncated,
} from './receive';
import { roomTo } from './room';
import { noteRouter } from './router';
import { RX_VLEN } from './layout';
import {
  SEAL_LEAD,
  SEAL_SIZE,
  TYPE_ECHO,
  TYPE_FIRST,
  TYPE_LAST,
  TYPE_PROBE,
  TYPE_SEALED,
  judge,
  openJobs,
  openReset,
  openedSession,
  queueOpen,
} from './sealed';
import { isFirstHeard, sessionCount } from './session';
import { PROTOCOL_TCP } from './tcp';
import { VXLAN_SIZE, vxlanHasVni, vxlanVni } from './vxlan';

/** MACs that one peer without gossip may bring in. */
const LEARNT_ROWS_MAX: u32 = 65536;
/** A local address that spoke so recently is not moved away by a peer's frame: a loop would do just that. */
const LOCAL_HOLD_SECONDS: u32 = 2;

/**
 * The last look-ups, good within one message: its datagrams mostly go the same way. Nothing changes the tables between
 * them but learnRemote, which forgets the row.
 */
let lastVni: u32 = 0;
let lastNetwork: u32 = NO_NETWORK;
let lastKey: u64 = 0;
let lastEntry: usize = 0;

/** A call ended for want of room in the out table: the next one goes on at that datagram. */
let isPaused: bool = false;
let pausedMessage: u32 = 0;
let pausedDatagram: u32 = 0;

/** Sealed datagrams judged so far, of those that were queued for this batch. */
let judged: u32 = 0;

/**
 * Before fromTunnel: queues the sealed datagrams of messages 0 to `messages` - 1 for the cipher. Returns how many; they are
 * to be opened, and their statuses written, before fromTunnel is called with the same messages.
 */
export function queueSealed(messages: u32): u32 {
  if (sessionCount() == 0) return 0;
  const present = messages < RX_VLEN ? messages : RX_VLEN;
  for (let message: u32 = 0; message < present; message++) {
    if (messageTruncated(message)) continue;
    const peer = findSender(messageName(message), messageNameLength(message));
    if (peer != NO_PEER) queueMessage(peer, message);
  }
  return openJobs();
}

function queueMessage(peer: u32, message: u32): void {
  const size = datagramSize(message);
  let at = messageData(message);
  const end = at + messageLength(message);
  while (at < end) {
    const left = (end - at) as u32;
    const bytes = left < size ? left : size;
    if (load<u8>(at) == TYPE_SEALED && !queueOpen(peer, at, bytes)) return;
    at += bytes;
  }
}

/**
 * Takes messages 0 to `messages` - 1 of the receive table, and arms them again. 1: broadcasts have filled the out table half-way;
 * write that out and call again with the same messages, or what came behind them would be lost.
 */
export function fromTunnel(messages: u32): u32 {
  const present = messages < RX_VLEN ? messages : RX_VLEN;
  let isResumed = isPaused;
  isPaused = false;
  if (!isResumed) judged = 0;
  for (let message: u32 = isResumed ? pausedMessage : 0; message < present; message++) {
    receive(message, isResumed);
    if (isPaused) {
      flushGroup();
      return 1;
    }
    isResumed = false;
    arm(message);
  }
  openReset();
  // Open across messages: their buffers follow one another, and a super-frame cut into two sends becomes one again.
  flushGroup();
  return 0;
}

function receive(message: u32, isResumed: bool): void {
  if (messageTruncated(message)) {
    count(COUNTER_FROM_TUNNEL, 1);
    drop(REASON_TRUNCATED);
    return;
  }
  const length = messageLength(message);
  const size = datagramSize(message);
  const datagrams: u32 = length == 0 ? 1 : (length + size - 1) / size;
  const peer = findSender(messageName(message), messageNameLength(message));
  if (!isResumed) {
    count(COUNTER_FROM_TUNNEL, datagrams);
    count(COUNTER_FROM_TUNNEL_BYTES, length);
    if (peer != NO_PEER) peerCount(peer, PEER_RX_FRAMES, datagrams, length);
  }
  const first: u32 = isResumed ? pausedDatagram : 0;
  if (peer == NO_PEER) {
    dropMany(REASON_NOT_A_MEMBER, datagrams - first);
    return;
  }
  lastNetwork = NO_NETWORK;
  lastKey = 0;
  let at = messageData(message) + first * size;
  let left = length - first * size;
  for (let i: u32 = first; i < datagrams; i++) {
    if (!outHasRoom()) {
      isPaused = true;
      pausedMessage = message;
      pausedDatagram = i;
      return;
    }
    const bytes = left < size ? left : size;
    const reason = unwrap(peer, message, at, bytes);
    if (reason) drop(reason);
    at += bytes;
    left -= bytes;
  }
}

/** The first byte of a VXLAN header is its flags, of which the lowest are never set. */
function unwrap(peer: u32, message: u32, at: usize, length: u32): u32 {
  const type: u32 = length == 0 ? 0 : load<u8>(at);
  if (type == TYPE_SEALED) return unseal(peer, at, length);
  if ((type >= TYPE_FIRST && type <= TYPE_LAST) || (type & ~1) == TYPE_ECHO) {
    const name = messageName(message);
    const size = messageNameLength(message);
    const reason =
      type == TYPE_PROBE || type == TYPE_LAST
        ? puntProbe(at, length, name, size)
        : punt(at, length, name, size);
    if (!reason) count(COUNTER_PUNTED, 1);
    return reason;
  }
  return decapsulate(peer, at, length, false);
}

function unseal(peer: u32, at: usize, length: u32): u32 {
  const reason = sessionCount() == 0 ? REASON_NO_SESSION : judge(judged++, at);
  if (reason) return reason;
  if (isFirstHeard(openedSession)) emit(EVENT_SESSION_HEARD, 0, 0, openedSession, 0, 0, 0);
  return decapsulate(peer, at + SEAL_LEAD, length - SEAL_SIZE, true);
}

function decapsulate(peer: u32, at: usize, length: u32, isSealed: bool): u32 {
  if (length < VXLAN_SIZE + ETHERNET_SIZE) return REASON_TRUNCATED;
  if (!vxlanHasVni(at)) return REASON_BAD_VXLAN;
  const vni = vxlanVni(at);
  if (lastNetwork == NO_NETWORK || vni != lastVni) {
    lastVni = vni;
    lastNetwork = findVni(vni);
    if (lastNetwork == NO_NETWORK) return REASON_UNKNOWN_VNI;
  }
  if (networkIsSealed(lastNetwork) != isSealed)
    return isSealed ? REASON_SEALED_REFUSED : REASON_CLEAR_REFUSED;
  return forward(peer, lastNetwork, at + VXLAN_SIZE, length - VXLAN_SIZE);
}

function entryOf(key: u64): usize {
  if (key != lastKey) {
    lastKey = key;
    lastEntry = fdbFind(key);
  }
  return lastEntry;
}

function forward(peer: u32, network: u32, frame: usize, length: u32): u32 {
  const source = frame + ETHERNET_SOURCE;
  if (isGroup(source) || isZeroMac(source)) return REASON_BAD_SOURCE;
  if (isLinkLocal(frame)) return REASON_LINK_LOCAL;
  const learns = peerLearns(peer);
  if (learns) learnRemote(peer, network, loadMac(source));
  if (isGroup(frame)) {
    classify(frame, length);
    noteRouter(network, frame, length);
    return flood(peer, network, frame, length);
  }
  const entry = entryOf(fdbKey(network, loadMac(frame)));
  if (!entry) {
    classify(frame, length);
    clampFrom(peer, network, frame, length, learns && isUnfinished(frame, length));
    return flood(peer, network, frame, length);
  }
  if (!entryHas(entry, FDB_LOCAL)) return REASON_SPLIT_HORIZON;
  const port = entryDestination(entry);
  if (learns && isUnfinished(frame, length)) {
    flushGroup();
    clampFrom(peer, network, frame, length, true);
    return emitSingle(port, peer, frame, length, 1) ? REASON_NONE : REASON_OUT_FULL;
  }
  if (!coalesce(port, frame, length)) clampFrom(peer, network, frame, length, false);
  return REASON_NONE;
}

/** Tells the endpoint here, when the classified frame opens a connection, what the way back to the peer takes. */
function clampFrom(peer: u32, network: u32, frame: usize, length: u32, isPartial: bool): void {
  if (protocol != PROTOCOL_TCP || l4 == 0) return;
  clampMss(frame, length, roomTo(peer, networkIsSealed(network)), isPartial);
}

/** Of a classified frame: to every port of the network that it may concern. The first copy carries the verdict. */
function flood(peer: u32, network: u32, frame: usize, length: u32): u32 {
  filterFlood(frame, length);
  flushGroup(); // or compaction would run over this frame
  let copies: u32 = 0;
  let lost: u32 = 0;
  for (let next = firstPort(network); next; next = nextPort(next - 1)) {
    if (!isConcerned(next - 1)) continue;
    if (emitSingle(next - 1, peer, frame, length, copies ? 0 : 1)) copies++;
    else lost++;
  }
  if (!copies) return lost ? REASON_OUT_FULL : REASON_NO_DESTINATION;
  count(COUNTER_COPIES_LOST, lost);
  return REASON_NONE;
}

/** Learns where a peer without gossip has its MACs, as a hardware VTEP would (RFC 7348 §4.1). */
function learnRemote(peer: u32, network: u32, mac: u64): void {
  lastKey = 0;
  const key = fdbKey(network, mac);
  const entry = fdbFind(key);
  if (!entry) {
    const rows = load<u32>(peerAt(peer), PEER_LEARNT_ROWS);
    if (rows < LEARNT_ROWS_MAX) fdbInsert(key, peer, FDB_LEARNED);
    return;
  }
  if (!entryHas(entry, FDB_LEARNED) || entryHas(entry, FDB_STATIC)) return;
  if (entryHas(entry, FDB_LOCAL)) {
    if (nowSeconds() - entrySeen(entry) < LOCAL_HOLD_SECONDS) return;
    emit(EVENT_MAC_EXPIRED, network, entryDestination(entry), 0, 0, mac, 0);
    fdbMove(entry, peer, FDB_LEARNED);
  } else if (entryDestination(entry) == peer) {
    entryTouch(entry);
  } else {
    fdbMove(entry, peer, FDB_LEARNED);
  }
}
