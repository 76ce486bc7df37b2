/**
 * Sealed datagrams, and the tables of what the host's cipher is to do with them, in place.
 *
 *   type 4 @0 · zeros @1 · receiver index, big-endian @4 · counter, big-endian @8 · sealed VXLAN header and frame @16 · tag 16
 *
 * AES-256-GCM; nonce = four zero bytes and the counter; additional data = bytes 0 to 7, "ov1", u16 big-endian length of
 * the plaintext. No VXLAN header begins with a 4: the two share a port.
 *
 * The cipher is OpenSSL's in its TLS form: it writes and steps the counter itself, and wants additional data whose
 * length field still counts the counter (8) and, to open, the tag (16). Jobs, 64 bytes each:
 *
 *   to seal  f64 handle @0 · u32 first counter's address @8 · u32 stride @12 · u32 datagrams @16 · u32 bytes from the counter
 *            to the tag's end @20, of the last one @24 · additional data @32, of the last one @48
 *   to open  f64 handle @0, 0: refused · u32 counter's address @8 · u32 bytes @12 · u32 status @16 · u32 session @20
 *            additional data @24 · u64 counter @40
 */
import { count } from './account';
import { load32, store16 } from './bytes';
import { COUNTER_OPENED, COUNTER_SEALED } from './counters';
import {
  JOB_SIZE,
  OPEN_JOBS,
  OPEN_TABLE,
  PEER_MAX,
  SEAL_JOBS,
  SEAL_TABLE,
  STATE_OPEN_COUNT,
  STATE_SEAL_COUNT,
} from './layout';
import { REASON_BAD_SEAL, REASON_NONE, REASON_NO_SESSION, REASON_REPLAY, REASON_TRUNCATED } from './reason';
import {
  NO_SESSION,
  findSession,
  mayReceive,
  openHandle,
  received,
  remoteIndex,
  sealHandle,
  sealedSoFar,
  sessionPeer,
} from './session';

export const TYPE_SEALED: u32 = 4;
/** The types around it are control's: initiation, response, cookie reply; keepalive; path probe and its answer. */
export const TYPE_FIRST: u32 = 1;
export const TYPE_PROBE: u32 = 6;
export const TYPE_LAST: u32 = 7;
/** Control's as well: echo request and answer (17), a first byte without VXLAN's flag. */
export const TYPE_ECHO: u32 = 16;
/** Before the plaintext, behind it, and together. */
export const SEAL_LEAD: u32 = 16;
const TAG: u32 = 16;
export const SEAL_SIZE: u32 = SEAL_LEAD + TAG;

const COUNTER_AT: u32 = 8;
const COUNTER_SIZE: u32 = 8;
/** "ov1", as a little-endian load sees it. */
const LABEL: u32 = 0x31766f;

const STATUS_PENDING: u32 = 0;
/** What the host writes for a datagram whose tag was right. */
export const OPEN_OK: u32 = 1;
export const OPEN_STATUS: u32 = 16;

export function sealJobs(): u32 {
  return load<u32>(STATE_SEAL_COUNT);
}

export function sealReset(): void {
  store<u32>(STATE_SEAL_COUNT, 0);
}

/** The table can take any one frame, flooded to every peer. */
export function sealHasRoom(): bool {
  return sealJobs() + PEER_MAX <= SEAL_JOBS;
}

function writeAad(at: usize, header: u64, length: u32): void {
  store<u64>(at, header);
  store<u32>(at, LABEL, 8);
  store16(at + 11, length);
}

/** Heads a run of datagrams, for which counters were just taken, laid out as cut.ts does with SEAL_LEAD before and a tag behind each, and queues it. */
export function sealRun(session: u32, start: usize, size: u32, datagrams: u32, bytes: u32): void {
  const index = sealJobs();
  assert(index < SEAL_JOBS);
  store<u32>(STATE_SEAL_COUNT, index + 1);
  const header = (TYPE_SEALED as u64) | ((remoteIndex(session) as u64) << 32);
  // The counters that were taken last. OpenSSL writes the same ones again.
  const first = sealedSoFar(session) - (datagrams as u64);
  let at = start;
  for (let i: u32 = 0; i < datagrams; i++) {
    store<u64>(at, header);
    store<u64>(at, bswap<u64>(first + (i as u64)), COUNTER_AT);
    at += size;
  }
  const last = bytes - (datagrams - 1) * size;
  const job: usize = SEAL_TABLE + index * JOB_SIZE;
  store<f64>(job, sealHandle(session));
  store<u32>(job, (start as u32) + COUNTER_AT, 8);
  store<u32>(job, size, 12);
  store<u32>(job, datagrams, 16);
  store<u32>(job, size - COUNTER_AT, 20);
  store<u32>(job, last - COUNTER_AT, 24);
  writeAad(job + 32, header, size - SEAL_SIZE + COUNTER_SIZE);
  writeAad(job + 48, header, last - SEAL_SIZE + COUNTER_SIZE);
  count(COUNTER_SEALED, datagrams);
}

export function openJobs(): u32 {
  return load<u32>(STATE_OPEN_COUNT);
}

export function openReset(): void {
  store<u32>(STATE_OPEN_COUNT, 0);
}

/** Queues a sealed datagram of a peer for opening, or notes why not. False: the table is full. */
export function queueOpen(peer: u32, at: usize, length: u32): bool {
  const index = openJobs();
  if (index >= OPEN_JOBS) return false;
  store<u32>(STATE_OPEN_COUNT, index + 1);
  const job: usize = OPEN_TABLE + index * JOB_SIZE;
  const bytes: u32 = length - COUNTER_AT;
  store<f64>(job, 0);
  store<u32>(job, (at as u32) + COUNTER_AT, 8);
  store<u32>(job, bytes, 12);
  const session = length < SEAL_SIZE ? NO_SESSION : findSession(load32(at + 4));
  store<u32>(job, session, 20);
  if (length < SEAL_SIZE) {
    store<u32>(job, REASON_TRUNCATED << 8, OPEN_STATUS);
    return true;
  }
  const counter = bswap<u64>(load<u64>(at, COUNTER_AT));
  store<u64>(job, counter, 40);
  let refusal: u32 = REASON_NONE;
  if (session == NO_SESSION || sessionPeer(session) != peer) refusal = REASON_NO_SESSION;
  else if (!mayReceive(session, counter)) refusal = REASON_REPLAY;
  store<u32>(job, refusal ? refusal << 8 : STATUS_PENDING, OPEN_STATUS);
  if (refusal) return true;
  store<f64>(job, openHandle(session));
  writeAad(job + 24, load<u64>(at), bytes);
  return true;
}

/** The session of the datagram at `at`, the `index`-th queued, which has been opened. */
export let openedSession: u32 = NO_SESSION;

/** Judges the `index`-th queued datagram, which lies at `at`; REASON_NONE: it is open, and new. */
export function judge(index: u32, at: usize): u32 {
  const job: usize = OPEN_TABLE + index * JOB_SIZE;
  if (index >= openJobs() || load<u32>(job, 8) != (at as u32) + COUNTER_AT) return REASON_BAD_SEAL;
  const status = load<u32>(job, OPEN_STATUS);
  if (status >= 256) return status >> 8;
  if (status != OPEN_OK) return REASON_BAD_SEAL;
  openedSession = load<u32>(job, 20);
  if (!received(openedSession, load<u64>(job, 40))) return REASON_REPLAY;
  count(COUNTER_OPENED, 1);
  return REASON_NONE;
}
