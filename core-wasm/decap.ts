/**
 * Tunnel → TAP. The stages, in the order of the functions below:
 *
 *   1. receive      a message of recvmmsg; its sender is a member; UDP_GRO's run is split into datagrams
 *   2. decapsulate  the VXLAN header is whole and names a network of ours
 *   3. guard        the inner source is a unicast address; learn it, where the peer speaks no gossip
 *   4. forward      to local ports only: what came through a tunnel never leaves through one (split horizon)
 *   5. coalesce     runs of one flow into super-frames (coalesce.ts)
 */
import { count, drop, dropMany } from './account';
import { isGroup, loadMac } from './bytes';
import { classify } from './classify';
import { coalesce, flushGroup } from './coalesce';
import { emitSingle, isUnfinished } from './single';
import { nowSeconds } from './config';
import { COUNTER_COPIES_LOST, COUNTER_FROM_TUNNEL, COUNTER_FROM_TUNNEL_BYTES } from './counters';
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
import { EVENT_MAC_EXPIRED, emit } from './event';
import { NO_NETWORK, findVni } from './network';
import { outHasRoom } from './out';
import { NO_PEER, PEER_LEARNT_ROWS, PEER_RX_FRAMES, findSender, peerAt, peerCount, peerLearns } from './peer';
import { firstPort, nextPort } from './port';
import {
  REASON_BAD_SOURCE,
  REASON_BAD_VXLAN,
  REASON_LINK_LOCAL,
  REASON_NONE,
  REASON_NOT_A_MEMBER,
  REASON_NO_DESTINATION,
  REASON_OUT_FULL,
  REASON_SPLIT_HORIZON,
  REASON_TRUNCATED,
  REASON_UNKNOWN_VNI,
} from './reason';
import {
  arm,
  messageData,
  messageLength,
  messageName,
  messageNameLength,
  messageSegment,
  messageTruncated,
} from './receive';
import { noteRouter } from './router';
import { RX_VLEN } from './layout';
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

/** Takes messages 0 to `messages` - 1 of the receive table, and arms them again. */
export function fromTunnel(messages: u32): u32 {
  const present = messages < RX_VLEN ? messages : RX_VLEN;
  for (let message: u32 = 0; message < present; message++) {
    receive(message);
    arm(message);
  }
  // Open across messages: their buffers follow one another, and a super-frame cut into two sends becomes one again.
  flushGroup();
  return outHasRoom() ? 0 : 1;
}

function receive(message: u32): void {
  if (messageTruncated(message)) {
    count(COUNTER_FROM_TUNNEL, 1);
    drop(REASON_TRUNCATED);
    return;
  }
  const length = messageLength(message);
  const segment = messageSegment(message);
  const size: u32 = segment == 0 || segment > length ? length : segment;
  const datagrams: u32 = length == 0 ? 1 : (length + size - 1) / size;
  count(COUNTER_FROM_TUNNEL, datagrams);
  count(COUNTER_FROM_TUNNEL_BYTES, length);
  const peer = findSender(messageName(message), messageNameLength(message));
  if (peer == NO_PEER) {
    dropMany(REASON_NOT_A_MEMBER, datagrams);
    return;
  }
  peerCount(peer, PEER_RX_FRAMES, datagrams, length);
  lastNetwork = NO_NETWORK;
  lastKey = 0;
  let at = messageData(message);
  let left = length;
  for (let i: u32 = 0; i < datagrams; i++) {
    const bytes = left < size ? left : size;
    const reason = decapsulate(peer, at, bytes);
    if (reason) drop(reason);
    at += bytes;
    left -= bytes;
  }
}

function decapsulate(peer: u32, at: usize, length: u32): u32 {
  if (length < VXLAN_SIZE + ETHERNET_SIZE) return REASON_TRUNCATED;
  if (!vxlanHasVni(at)) return REASON_BAD_VXLAN;
  const vni = vxlanVni(at);
  if (lastNetwork == NO_NETWORK || vni != lastVni) {
    lastVni = vni;
    lastNetwork = findVni(vni);
    if (lastNetwork == NO_NETWORK) return REASON_UNKNOWN_VNI;
  }
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
  if (!entry) return flood(peer, network, frame, length);
  if (!entryHas(entry, FDB_LOCAL)) return REASON_SPLIT_HORIZON;
  const port = entryDestination(entry);
  if (learns && isUnfinished(frame, length)) {
    flushGroup();
    return emitSingle(port, peer, frame, length, 1) ? REASON_NONE : REASON_OUT_FULL;
  }
  coalesce(port, frame, length);
  return REASON_NONE;
}

/** To every port of the network. The first copy carries the verdict. */
function flood(peer: u32, network: u32, frame: usize, length: u32): u32 {
  flushGroup(); // or compaction would run over this frame
  let copies: u32 = 0;
  let lost: u32 = 0;
  for (let next = firstPort(network); next; next = nextPort(next - 1)) {
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
