/**
 * Events to control: a single-producer, single-consumer ring of 64-byte records.
 *
 * A full ring loses the event and counts it in EVENTS_LOST; control then walks the tables instead. The head is stored
 * after the record, atomically, so a reader that sees the head sees the record.
 */
import { EVENT_HEAD, EVENT_RING, EVENT_SIZE, EVENT_SLOTS, EVENT_TAIL, EVENTS_LOST } from './layout';
import { storeMac } from './bytes';

export const EVENT_MAC_LEARNED: u32 = 1;
export const EVENT_MAC_EXPIRED: u32 = 2;
export const EVENT_IP_LEARNED: u32 = 3;
export const EVENT_COMMAND_FAILED: u32 = 4;
export const EVENT_SESSION_HEARD: u32 = 5;
export const EVENT_PUNTED: u32 = 6;

/** Puts a record into the ring; `ip` is the address of 16 bytes, or 0 for none. */
export function emit(type: u32, network: u32, port: u32, c: u32, d: u32, mac: u64, ip: usize): void {
  const head = atomic.load<u32>(EVENT_HEAD);
  if (head - atomic.load<u32>(EVENT_TAIL) >= EVENT_SLOTS) {
    atomic.add<u32>(EVENTS_LOST, 1);
    return;
  }
  const at: usize = EVENT_RING + (head & (EVENT_SLOTS - 1)) * EVENT_SIZE;
  store<u32>(at, type);
  store<u32>(at + 4, network);
  store<u32>(at + 8, port);
  store<u32>(at + 12, c);
  storeMac(at + 16, mac);
  store<u16>(at + 22, 0);
  store<u64>(at + 24, ip ? load<u64>(ip) : 0);
  store<u64>(at + 32, ip ? load<u64>(ip + 8) : 0);
  store<u32>(at + 40, d);
  atomic.store<u32>(EVENT_HEAD, head + 1);
}
