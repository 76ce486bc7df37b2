/**
 * Transmit tables: what the kernel is to send, as arrays of struct mmsghdr that sendmmsg takes as they are.
 *
 * There is one table per socket. Its arena is filled from the front with datagrams laid back to back; a message is a
 * run of them for one peer, all of one size but a shorter last, with a UDP_SEGMENT control message when there is more
 * than one (udp(7)). Beside each mmsghdr lies a record:
 *
 *   iovec @0 · cmsghdr + u16 @16..34 · u32 peer @40 · u32 datagrams @44 · u32 verdicts @48 · u32 segment size @52
 *   u32 bytes @56
 *
 * Verdicts are the frames that were counted as sent on the strength of this message.
 */
import { dropMany, count } from './account';
import { REASON_NONE, REASON_TOO_BIG, REASON_TX_FULL } from './reason';
import { COUNTER_SENT, COUNTER_TO_TUNNEL, COUNTER_TO_TUNNEL_BYTES } from './counters';
import { LARGEST_PAYLOAD, PEER_TX_FRAMES, peerAt, peerCount, peerMaxPayload, peerNameLength } from './peer';
import {
  PEER_MAX,
  STATE_ADDRESS,
  STATE_TX,
  STATE_TX_SIZE,
  TX_ARENA_BASE,
  TX_ARENA_SIZE,
  TX_MESSAGES,
  TX_RECORD_BASE,
  TX_RESERVE,
  TX_SLACK,
  TX_SOCKETS,
  TX_TABLE_BASE,
  TX_TABLE_SIZE,
} from './layout';

/** UDP_MAX_SEGMENTS of older kernels; newer ones take 128. SINGLE_TABLE has room for so many. */
const MAX_SEGMENTS: u32 = 64;

const SOL_UDP: u32 = 17;
const UDP_SEGMENT: u32 = 103;
const CMSG_LENGTH: u32 = 18;
const CMSG_SPACE: u32 = 24;

const RECORD_CONTROL: usize = 16;
export const RECORD_PEER: usize = 40;
export const RECORD_DATAGRAMS: usize = 44;
export const RECORD_VERDICTS: usize = 48;
export const RECORD_SEGMENT: usize = 52;
export const RECORD_BYTES: usize = 56;

const STATE_CURSOR: usize = 4;
const STATE_OPEN: usize = 8;

function stateOf(table: u32): usize {
  return STATE_TX + table * STATE_TX_SIZE;
}

export function txTable(table: u32): u32 {
  return TX_TABLE_BASE + table * TX_TABLE_SIZE;
}

export function recordAt(table: u32, index: u32): usize {
  return TX_RECORD_BASE + table * TX_TABLE_SIZE + (index << 6);
}

function arenaOf(table: u32): u32 {
  return TX_ARENA_BASE + table * (TX_ARENA_SIZE + TX_SLACK);
}

export function txCount(table: u32): u32 {
  return table < TX_SOCKETS ? load<u32>(stateOf(table)) : 0;
}

export function txPending(): u32 {
  let pending: u32 = 0;
  for (let table: u32 = 0; table < TX_SOCKETS; table++) {
    if (txCount(table)) pending |= 1 << table;
  }
  return pending;
}

/** Empties every table and arena. */
export function txReset(): void {
  for (let table: u32 = 0; table < TX_SOCKETS; table++) {
    const state = stateOf(table);
    store<u32>(state, 0);
    store<u32>(state, arenaOf(table), STATE_CURSOR);
    store<u32>(state, 0, STATE_OPEN);
  }
}

/** Where the table's next datagram is to be written. */
export function arenaCursor(table: u32): usize {
  return load<u32>(stateOf(table), STATE_CURSOR);
}

/** Keeps what was written from the cursor on. */
export function arenaKeep(table: u32, bytes: u32): void {
  const state = stateOf(table);
  store<u32>(state, load<u32>(state, STATE_CURSOR) + bytes, STATE_CURSOR);
  assert(load<u32>(state, STATE_CURSOR) - arenaOf(table) <= TX_ARENA_SIZE);
}

/** The table can take any one frame, flooded to every peer. */
export function txHasRoom(table: u32): bool {
  const used = load<u32>(stateOf(table), STATE_CURSOR) - arenaOf(table);
  return used + TX_RESERVE <= TX_ARENA_SIZE && txCount(table) + PEER_MAX <= TX_MESSAGES;
}

/**
 * Sends `datagrams` datagrams that lie from `start` on, each of `size` bytes but a shorter last, `bytes` in all, to
 * one peer. The first message takes `verdict` (0 or 1). Returns REASON_NONE, or why nothing goes.
 */
export function post(
  table: u32,
  peer: u32,
  start: usize,
  size: u32,
  datagrams: u32,
  bytes: u32,
  verdict: u32,
): u32 {
  // One datagram may be shorter than the segments it was cut for.
  if (datagrams == 1) size = bytes;
  if (size > peerMaxPayload(peer)) return REASON_TOO_BIG;
  if (append(table, peer, start, size, datagrams, bytes, verdict)) return REASON_NONE;
  const most = largestRun(size);
  let at = start;
  let left = datagrams;
  let bytesLeft = bytes;
  while (left > most) {
    if (!open(table, peer, at, size, most, most * size, verdict))
      return at == start ? REASON_TX_FULL : REASON_NONE;
    verdict = 0;
    at += most * size;
    left -= most;
    bytesLeft -= most * size;
  }
  const opened = open(table, peer, at, size, left, bytesLeft, verdict);
  return opened || at != start ? REASON_NONE : REASON_TX_FULL;
}

/** Ends the open message: what follows must not be appended to it. */
function closeMessage(table: u32): void {
  store<u32>(stateOf(table), 0, STATE_OPEN);
}

function largestRun(size: u32): u32 {
  const most = LARGEST_PAYLOAD / size;
  return most < MAX_SEGMENTS ? most : MAX_SEGMENTS;
}

/** Lengthens the table's last message, when the run continues it. */
function append(
  table: u32,
  peer: u32,
  start: usize,
  size: u32,
  datagrams: u32,
  bytes: u32,
  verdict: u32,
): bool {
  const record: usize = load<u32>(stateOf(table), STATE_OPEN);
  if (!record || load<u32>(record, RECORD_PEER) != peer) return false;
  const segment = load<u32>(record, RECORD_SEGMENT);
  const there = load<u32>(record, RECORD_DATAGRAMS);
  const length = load<u32>(record, RECORD_BYTES);
  if (datagrams == 1 ? bytes > segment : size != segment) return false;
  if (there + datagrams > MAX_SEGMENTS || length + bytes > LARGEST_PAYLOAD) return false;
  if (load<u64>(record) - load<u64>(STATE_ADDRESS) + (length as u64) != (start as u64)) return false;

  store<u32>(record, there + datagrams, RECORD_DATAGRAMS);
  store<u32>(record, length + bytes, RECORD_BYTES);
  store<u64>(record, (length + bytes) as u64, 8);
  store<u32>(record, load<u32>(record, RECORD_VERDICTS) + verdict, RECORD_VERDICTS);
  const header: usize = txTable(table) + ((txCount(table) - 1) << 6);
  store<u64>(header, CMSG_SPACE, 40);
  // A shorter datagram must be the last.
  if (bytes != datagrams * segment) closeMessage(table);
  tally(peer, datagrams, bytes, verdict);
  return true;
}

/** A new message; false when the table is full. */
function open(
  table: u32,
  peer: u32,
  start: usize,
  size: u32,
  datagrams: u32,
  bytes: u32,
  verdict: u32,
): bool {
  const state = stateOf(table);
  const index = load<u32>(state);
  if (index >= TX_MESSAGES) return false;
  assert(datagrams > 0 && datagrams <= MAX_SEGMENTS && bytes <= LARGEST_PAYLOAD);
  store<u32>(state, index + 1);
  const base = load<u64>(STATE_ADDRESS);
  const record = recordAt(table, index);
  const segment = datagrams > 1 ? size : bytes;

  store<u64>(record, base + (start as u64));
  store<u64>(record, bytes as u64, 8);
  store<u64>(record, CMSG_LENGTH, RECORD_CONTROL);
  store<u32>(record, SOL_UDP, RECORD_CONTROL + 8);
  store<u32>(record, UDP_SEGMENT, RECORD_CONTROL + 12);
  store<u64>(record, segment as u64, RECORD_CONTROL + 16);
  store<u32>(record, peer, RECORD_PEER);
  store<u32>(record, datagrams, RECORD_DATAGRAMS);
  store<u32>(record, verdict, RECORD_VERDICTS);
  store<u32>(record, segment, RECORD_SEGMENT);
  store<u32>(record, bytes, RECORD_BYTES);

  // struct mmsghdr
  const header: usize = txTable(table) + (index << 6);
  store<u64>(header, base + (peerAt(peer) as u64));
  store<u64>(header, peerNameLength(peer) as u64, 8);
  store<u64>(header, base + (record as u64), 16);
  store<u64>(header, 1, 24);
  store<u64>(header, base + ((record + RECORD_CONTROL) as u64), 32);
  store<u64>(header, datagrams > 1 ? CMSG_SPACE : 0, 40);
  store<u64>(header, 0, 48);
  store<u64>(header, 0, 56);

  store<u32>(state, bytes == datagrams * segment ? (record as u32) : 0, STATE_OPEN);
  tally(peer, datagrams, bytes, verdict);
  return true;
}

function tally(peer: u32, datagrams: u32, bytes: u32, verdict: u32): void {
  count(COUNTER_SENT, verdict);
  count(COUNTER_TO_TUNNEL, datagrams);
  count(COUNTER_TO_TUNNEL_BYTES, bytes);
  peerCount(peer, PEER_TX_FRAMES, datagrams, bytes);
}

/** Frames whose only verdict is in that message: of a frame to many peers it is in one of the copies. */
export function txVerdicts(table: u32, index: u32): u32 {
  if (table >= TX_SOCKETS || index >= txCount(table)) return 0;
  return load<u32>(recordAt(table, index), RECORD_VERDICTS);
}

/** The kernel refused a message: takes its counts back and gives its frames the reason. */
export function txFailed(table: u32, index: u32, reason: u32): void {
  if (table >= TX_SOCKETS || index >= txCount(table)) return;
  const record = recordAt(table, index);
  const verdicts = load<u32>(record, RECORD_VERDICTS);
  const datagrams = load<u32>(record, RECORD_DATAGRAMS);
  const bytes = load<u32>(record, RECORD_BYTES);
  count(COUNTER_SENT, -verdicts);
  dropMany(reason, verdicts);
  count(COUNTER_TO_TUNNEL, -datagrams);
  count(COUNTER_TO_TUNNEL_BYTES, -bytes);
  peerCount(load<u32>(record, RECORD_PEER), PEER_TX_FRAMES, -datagrams, -bytes);
  // Said twice, it must not be taken back twice.
  store<u32>(record, 0, RECORD_VERDICTS);
  store<u32>(record, 0, RECORD_DATAGRAMS);
  store<u32>(record, 0, RECORD_BYTES);
}
