/**
 * Peers: the other hosts' VTEPs.
 *
 *   sockaddr_in or sockaddr_in6 @0 (28 used) · u8[16] address, IPv4 mapped @32 · u32 flags @48 · u32 sockaddr length @52
 *   u32 largest payload @56 · u32 FDB rows @60 · u64 rx frames @64, rx bytes @72, tx frames @80, tx bytes @88
 *   u32 learnt rows @96 · u32 session it is sent by + 1 @100
 *
 * A datagram belongs to the peer whose address it comes from, whatever the source port: RFC 7348 senders vary the port
 * with the inner flow.
 */
import { PEER_BASE, PEER_HASH_BASE, PEER_HASH_SLOTS, PEER_MAX, PEER_SIZE } from './layout';
import { hash, hashMore, store16 } from './bytes';

/** The peer speaks no gossip: learn the source MACs of its frames. */
export const PEER_LEARN: u32 = 1;
const PEER_USED: u32 = 0x8000;

const PEER_IP: usize = 32;
const PEER_FLAGS: usize = 48;
const PEER_NAME_LENGTH: usize = 52;
const PEER_MAX_PAYLOAD: usize = 56;
export const PEER_FDB_ROWS: usize = 60;
export const PEER_RX_FRAMES: u32 = 64;
export const PEER_RX_BYTES: u32 = 72;
export const PEER_TX_FRAMES: u32 = 80;
export const PEER_TX_BYTES: u32 = 88;
export const PEER_LEARNT_ROWS: usize = 96;
export const PEER_SESSION: usize = 100;

const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const SOCKADDR_IN_SIZE: u32 = 16;
const SOCKADDR_IN6_SIZE: u32 = 28;
/** Bytes 8..11 of an IPv4-mapped address, as a little-endian load sees them. */
const MAPPED_PREFIX: u32 = 0xffff0000;
/** What an IPv4 datagram can carry behind its IP and UDP headers. */
export const LARGEST_PAYLOAD: u32 = 65507;
export const NO_PEER: u32 = 0xffffffff;

export function peerAt(peer: u32): usize {
  return PEER_BASE + peer * PEER_SIZE;
}

export function peerExists(peer: u32): bool {
  return peer < PEER_MAX && (load<u32>(peerAt(peer), PEER_FLAGS) & PEER_USED) != 0;
}

export function peerLearns(peer: u32): bool {
  return (load<u32>(peerAt(peer), PEER_FLAGS) & PEER_LEARN) != 0;
}

export function peerMaxPayload(peer: u32): u32 {
  return load<u32>(peerAt(peer), PEER_MAX_PAYLOAD);
}

export function peerNameLength(peer: u32): u32 {
  return load<u32>(peerAt(peer), PEER_NAME_LENGTH);
}

/** Adds to a frame counter and the byte counter that follows it. */
export function peerCount(peer: u32, field: u32, frames: i32, bytes: i32): void {
  const at = peerAt(peer) + field;
  store<i64>(at, load<i64>(at) + (frames as i64));
  store<i64>(at, load<i64>(at, 8) + (bytes as i64), 8);
}

export function peerRows(peer: u32, field: usize, amount: i32): void {
  const at = peerAt(peer) + field;
  store<i32>(at, load<i32>(at) + amount);
  assert(load<i32>(at) >= 0);
}

function slotAt(slot: u32): usize {
  return PEER_HASH_BASE + ((slot & (PEER_HASH_SLOTS - 1)) << 2);
}

function homeOf(high: u64, low: u64): u32 {
  return (hashMore(hash(high), low) >> 51) as u32;
}

/** The peer at an address given as two halves of its 16 bytes, or NO_PEER. */
function find(high: u64, low: u64): u32 {
  let slot = homeOf(high, low);
  let found = load<u32>(slotAt(slot));
  while (found) {
    const at = peerAt(found - 1);
    if (load<u64>(at, PEER_IP) == high && load<u64>(at, PEER_IP + 8) == low) return found - 1;
    found = load<u32>(slotAt(++slot));
  }
  return NO_PEER;
}

/** The peer that a received sockaddr names, or NO_PEER. */
export function findSender(name: usize, length: u32): u32 {
  if (length < SOCKADDR_IN_SIZE) return NO_PEER;
  const family: u32 = load<u16>(name);
  if (family == AF_INET) return find(0, (MAPPED_PREFIX as u64) | ((load<u32>(name, 4) as u64) << 32));
  if (family == AF_INET6 && length >= SOCKADDR_IN6_SIZE) return find(load<u64>(name, 8), load<u64>(name, 16));
  return NO_PEER;
}

function enter(peer: u32): void {
  const at = peerAt(peer);
  let slot = homeOf(load<u64>(at, PEER_IP), load<u64>(at, PEER_IP + 8));
  while (load<u32>(slotAt(slot))) slot++;
  store<u32>(slotAt(slot), peer + 1);
}

function rehash(): void {
  memory.fill(PEER_HASH_BASE, 0, PEER_HASH_SLOTS << 2);
  for (let peer: u32 = 0; peer < PEER_MAX; peer++) {
    if (peerExists(peer)) enter(peer);
  }
}

/** Makes or changes a peer; `ip` is the address of 16 bytes. Its counters and rows stay. False: out of range. */
export function peerPut(peer: u32, ip: usize, port: u32, maxPayload: u32, flags: u32): bool {
  if (peer >= PEER_MAX || port == 0 || port > 0xffff) return false;
  if (maxPayload > LARGEST_PAYLOAD) maxPayload = LARGEST_PAYLOAD;
  const at = peerAt(peer);
  const existed = peerExists(peer);
  const moved = load<u64>(at, PEER_IP) != load<u64>(ip) || load<u64>(at, PEER_IP + 8) != load<u64>(ip, 8);
  memory.fill(at, 0, 32);
  store16(at + 2, port);
  if (load<u64>(ip) == 0 && load<u32>(ip, 8) == MAPPED_PREFIX) {
    store<u16>(at, AF_INET as u16);
    store<u32>(at, load<u32>(ip, 12), 4);
    store<u32>(at, SOCKADDR_IN_SIZE, PEER_NAME_LENGTH);
  } else {
    store<u16>(at, AF_INET6 as u16);
    store<u64>(at, load<u64>(ip), 8);
    store<u64>(at, load<u64>(ip, 8), 16);
    store<u32>(at, SOCKADDR_IN6_SIZE, PEER_NAME_LENGTH);
  }
  store<u64>(at, load<u64>(ip), PEER_IP);
  store<u64>(at, load<u64>(ip, 8), PEER_IP + 8);
  store<u32>(at, (flags & PEER_LEARN) | PEER_USED, PEER_FLAGS);
  store<u32>(at, maxPayload, PEER_MAX_PAYLOAD);
  if (!existed) enter(peer);
  else if (moved) rehash();
  return true;
}

/** Forgets a peer whose rows are gone. */
export function peerForget(peer: u32): void {
  memory.fill(peerAt(peer), 0, PEER_SIZE);
  rehash();
}
