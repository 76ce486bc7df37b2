/**
 * Sessions: what this host shares with another one to seal datagrams between them. The keys are not here but in the
 * host's cipher, which knows them by handle.
 *
 *   f64 handle to open @0, to seal @8 · u32 local index @16 · u32 remote index, as on the wire @20 · u32 peer @24
 *   u32 flags @28 · u64 datagrams sealed @32 · u64 highest counter received @40
 *
 * A datagram names its session by the receiver's index. A peer has one session that it is sent by, and may have others
 * that it is still, or already, received on.
 */
import { hash } from './bytes';
import {
  SESSION_BASE,
  SESSION_HASH_BASE,
  SESSION_HASH_SLOTS,
  SESSION_MAX,
  SESSION_SIZE,
  STATE_SESSIONS,
} from './layout';
import { PEER_SESSION, peerAt, peerExists } from './peer';
import { clearWindow, enterCounter, isFresh } from './replay';

export const NO_SESSION: u32 = 0xffffffff;

const INDEX: usize = 16;
const REMOTE: usize = 20;
const PEER: usize = 24;
const FLAGS: usize = 28;
export const SESSION_SEALED: u32 = 32;
export const SESSION_HIGHEST: u32 = 40;

const USED: u32 = 1;
/** Something was received on it. */
const HEARD: u32 = 2;

/** Far below where a counter could come round, and below what GCM bears; control makes a new session long before. */
const SEALED_MAX: u64 = 1 << 36;

function sessionAt(session: u32): usize {
  return SESSION_BASE + session * SESSION_SIZE;
}

export function sessionExists(session: u32): bool {
  return session < SESSION_MAX && (load<u32>(sessionAt(session), FLAGS) & USED) != 0;
}

export function sessionCount(): u32 {
  return load<u32>(STATE_SESSIONS);
}

export function sessionPeer(session: u32): u32 {
  return load<u32>(sessionAt(session), PEER);
}

export function openHandle(session: u32): f64 {
  return load<f64>(sessionAt(session));
}

export function sealHandle(session: u32): f64 {
  return load<f64>(sessionAt(session), 8);
}

export function remoteIndex(session: u32): u32 {
  return load<u32>(sessionAt(session), REMOTE);
}

/** The next counter. */
export function sealedSoFar(session: u32): u64 {
  return load<u64>(sessionAt(session), SESSION_SEALED);
}

/** Takes `datagrams` counters; false: there are no more. */
export function takeCounters(session: u32, datagrams: u32): bool {
  const at = sessionAt(session);
  const sealed = load<u64>(at, SESSION_SEALED) + (datagrams as u64);
  if (sealed > SEALED_MAX) return false;
  store<u64>(at, sealed, SESSION_SEALED);
  return true;
}

export function mayReceive(session: u32, counter: u64): bool {
  return isFresh(session, load<u64>(sessionAt(session), SESSION_HIGHEST), counter);
}

/** Enters the counter of an opened datagram; false: it was there before. */
export function received(session: u32, counter: u64): bool {
  const at = sessionAt(session);
  const highest = load<u64>(at, SESSION_HIGHEST);
  if (!isFresh(session, highest, counter)) return false;
  store<u64>(at, enterCounter(session, highest, counter), SESSION_HIGHEST);
  return true;
}

/** True once: at the first datagram. */
export function isFirstHeard(session: u32): bool {
  const at = sessionAt(session);
  const flags = load<u32>(at, FLAGS);
  store<u32>(at, flags | HEARD, FLAGS);
  return (flags & HEARD) == 0;
}

function slotAt(slot: u32): usize {
  return SESSION_HASH_BASE + ((slot & (SESSION_HASH_SLOTS - 1)) << 2);
}

function homeOf(index: u32): u32 {
  return (hash(index) >> 50) as u32;
}

/** The session that we gave this index, or NO_SESSION. */
export function findSession(index: u32): u32 {
  let slot = homeOf(index);
  let found = load<u32>(slotAt(slot));
  while (found) {
    if (load<u32>(sessionAt(found - 1), INDEX) == index) return found - 1;
    found = load<u32>(slotAt(++slot));
  }
  return NO_SESSION;
}

function enter(session: u32): void {
  let slot = homeOf(load<u32>(sessionAt(session), INDEX));
  while (load<u32>(slotAt(slot))) slot++;
  store<u32>(slotAt(slot), session + 1);
}

/** Makes a session; it is received on from now. False: taken, out of range, or its index in use. */
export function sessionPut(session: u32, index: u32, remote: u32, peer: u32, handles: usize): bool {
  if (session >= SESSION_MAX || sessionExists(session) || !peerExists(peer)) return false;
  if (findSession(index) != NO_SESSION) return false;
  const at = sessionAt(session);
  memory.fill(at, 0, SESSION_SIZE);
  clearWindow(session);
  store<f64>(at, load<f64>(handles));
  store<f64>(at, load<f64>(handles, 8), 8);
  store<u32>(at, index, INDEX);
  store<u32>(at, bswap<u32>(remote), REMOTE);
  store<u32>(at, peer, PEER);
  store<u32>(at, USED, FLAGS);
  store<u32>(STATE_SESSIONS, sessionCount() + 1);
  enter(session);
  return true;
}

/** Its peer is sent by it from now. */
export function sessionUse(session: u32): bool {
  if (!sessionExists(session)) return false;
  store<u32>(peerAt(sessionPeer(session)), session + 1, PEER_SESSION);
  return true;
}

export function sessionForget(session: u32): void {
  if (!sessionExists(session)) return;
  const peer = peerAt(sessionPeer(session));
  if (load<u32>(peer, PEER_SESSION) == session + 1) store<u32>(peer, 0, PEER_SESSION);
  memory.fill(sessionAt(session), 0, SESSION_SIZE);
  store<u32>(STATE_SESSIONS, sessionCount() - 1);
  memory.fill(SESSION_HASH_BASE, 0, SESSION_HASH_SLOTS << 2);
  for (let other: u32 = 0; other < SESSION_MAX; other++) if (sessionExists(other)) enter(other);
}

export function sessionsDropPeer(peer: u32): void {
  if (sessionCount() == 0) return;
  for (let session: u32 = 0; session < SESSION_MAX; session++) {
    if (sessionExists(session) && sessionPeer(session) == peer) sessionForget(session);
  }
}
