/**
 * A run of a transmit table as datagrams of their own, for routes on which the kernel does not cut runs: UDP_SEGMENT gives
 * EIO where an IPsec transformation follows, and before Linux 6.10 where the device computes no checksums.
 *
 * SINGLE_TABLE is one struct mmsghdr[64] for the run at hand, and behind it their iovecs; the bytes stay in the arena.
 */
import { count, drop } from './account';
import { COUNTER_SENT, COUNTER_TO_TUNNEL, COUNTER_TO_TUNNEL_BYTES } from './counters';
import { SINGLE_IOVECS, SINGLE_TABLE, STATE_ADDRESS, TX_SOCKETS } from './layout';
import { PEER_TX_FRAMES, peerCount } from './peer';
import {
  RECORD_BYTES,
  RECORD_DATAGRAMS,
  RECORD_PEER,
  RECORD_SEGMENT,
  RECORD_VERDICTS,
  recordAt,
  txCount,
  txTable,
} from './transmit';

/** The peer of message `index` when it is a run, else -1. */
export function runPeer(table: u32, index: u32): i32 {
  if (table >= TX_SOCKETS || index >= txCount(table)) return -1;
  const record = recordAt(table, index);
  return load<u32>(record, RECORD_DATAGRAMS) > 1 ? load<i32>(record, RECORD_PEER) : -1;
}

/** Lays the datagrams of a run out in SINGLE_TABLE; returns how many. */
export function spreadRun(table: u32, index: u32): u32 {
  if (runPeer(table, index) < 0) return 0;
  const record = recordAt(table, index);
  const datagrams = load<u32>(record, RECORD_DATAGRAMS);
  const start = load<u64>(record);
  const from: usize = txTable(table) + (index << 6);
  for (let i: u32 = 0; i < datagrams; i++) {
    const header: usize = SINGLE_TABLE + (i << 6);
    const iovec: usize = SINGLE_IOVECS + (i << 4);
    store<u64>(iovec, start + ((i * load<u32>(record, RECORD_SEGMENT)) as u64));
    store<u64>(iovec, sizeOf(record, i) as u64, 8);
    memory.copy(header, from, 64);
    store<u64>(header, load<u64>(STATE_ADDRESS) + (iovec as u64), 16);
    // No control message.
    store<u64>(header, 0, 32);
    store<u64>(header, 0, 40);
    store<u64>(header, 0, 56);
  }
  return datagrams;
}

/** Of a run of which others went, datagram `place` did not: takes its counts back. Of a frame that was cut some went: it stays sent. */
export function singleFailed(table: u32, index: u32, place: u32, reason: u32): void {
  if (runPeer(table, index) < 0) return;
  const record = recordAt(table, index);
  const datagrams = load<u32>(record, RECORD_DATAGRAMS);
  if (place >= datagrams) return;
  const bytes = sizeOf(record, place);
  count(COUNTER_TO_TUNNEL, -1);
  count(COUNTER_TO_TUNNEL_BYTES, -bytes);
  peerCount(load<u32>(record, RECORD_PEER), PEER_TX_FRAMES, -1, -bytes);
  if (load<u32>(record, RECORD_VERDICTS) != datagrams) return;
  count(COUNTER_SENT, -1);
  drop(reason);
}

/** All have the run's size, but the last may be shorter. */
function sizeOf(record: usize, place: u32): u32 {
  const segment = load<u32>(record, RECORD_SEGMENT);
  const left = load<u32>(record, RECORD_BYTES) - place * segment;
  return left < segment ? left : segment;
}
