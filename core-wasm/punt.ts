/**
 * Handshake messages and path probes on their way to control: a single-producer, single-consumer ring.
 *
 *   u16 bytes @0 · u16 sockaddr length @2 · sockaddr @4 (28 used) · the message @32 · u32 bytes that the datagram had @316
 *
 * Of a path probe, which is as large as the path may take, only the head is handed on. Bounded twice, because anybody who
 * can forge a member's address can send them: by the ring, and by a rate for each of the two, so that neither starves the
 * other.
 */
import { take } from './bucket';
import { CONFIG_PROBE_PPS, CONFIG_PUNT_PPS, config } from './config';
import { EVENT_PUNTED, emit } from './event';
import {
  PUNT_HEAD,
  PUNT_RING,
  PUNT_SIZE,
  PUNT_SLOTS,
  PUNT_TAIL,
  STATE_PROBE_BUCKET,
  STATE_PUNT_BUCKET,
} from './layout';
import { REASON_NONE, REASON_PUNT_RATE, REASON_TRUNCATED } from './reason';

const MESSAGE: u32 = 32;
const NAME_ROOM: u32 = 28;
const WHOLE: u32 = PUNT_SIZE - 4;
const PROBE_HEAD: u32 = 64;

/** Hands a datagram with its sender's sockaddr to control. */
export function punt(at: usize, length: u32, name: usize, nameLength: u32): u32 {
  return hand(at, length, length, name, nameLength, STATE_PUNT_BUCKET, config(CONFIG_PUNT_PPS));
}

/** The same for a path probe. */
export function puntProbe(at: usize, length: u32, name: usize, nameLength: u32): u32 {
  const head = length < PROBE_HEAD ? length : PROBE_HEAD;
  return hand(at, head, length, name, nameLength, STATE_PROBE_BUCKET, config(CONFIG_PROBE_PPS));
}

function hand(
  at: usize,
  length: u32,
  whole: u32,
  name: usize,
  nameLength: u32,
  bucket: usize,
  rate: u32,
): u32 {
  if (length > WHOLE - MESSAGE || nameLength > NAME_ROOM) return REASON_TRUNCATED;
  const head = atomic.load<u32>(PUNT_HEAD);
  if (head - atomic.load<u32>(PUNT_TAIL) >= PUNT_SLOTS || !take(bucket, rate)) return REASON_PUNT_RATE;
  const slot: usize = PUNT_RING + (head & (PUNT_SLOTS - 1)) * PUNT_SIZE;
  store<u16>(slot, length as u16);
  store<u16>(slot, nameLength as u16, 2);
  memory.copy(slot + 4, name, nameLength);
  memory.copy(slot + MESSAGE, at, length);
  store<u32>(slot, whole, WHOLE);
  atomic.store<u32>(PUNT_HEAD, head + 1);
  // Looked at after the head was stored, as control looks at the head after it stored the tail: one of them sees the other.
  if (atomic.load<u32>(PUNT_TAIL) == head) emit(EVENT_PUNTED, 0, 0, 0, 0, 0, 0);
  return REASON_NONE;
}
