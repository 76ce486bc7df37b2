/**
 * The out table: frames to be written to TAPs, one writev each.
 *
 *   u32 port @0 · u32 frames @4 · u32 bytes @8 · u32 iov @12 · iovec[2] @16 · vnet header (12 bytes) @48
 *   u16 verdicts @60 · u16 counter of the verdict @62
 *
 * The vnet header has its own iovec, so that no neighbour in a receive buffer is overwritten to make room for it.
 * Records point into TAP slots, receive buffers or arenas: those stay as they are until outReset.
 */
import { count, dropMany } from './account';
import { OUT_MAX, OUT_RECORD_SIZE, OUT_TABLE, PORT_MAX, STATE_ADDRESS, STATE_OUT_COUNT } from './layout';
import { COUNTER_TO_TAP, COUNTER_TO_TAP_BYTES } from './counters';
import { VNET_SIZE } from './vnet';

const RECORD_BYTES: usize = 8;
const RECORD_IOV: usize = 16;
const RECORD_VNET: usize = 48;
const RECORD_VERDICTS: usize = 60;
const RECORD_VERDICT_COUNTER: usize = 62;

export function outCount(): u32 {
  return load<u32>(STATE_OUT_COUNT);
}

export function outReset(): void {
  store<u32>(STATE_OUT_COUNT, 0);
}

/** The table can take any one frame for every port, and the group that is open before it. */
export function outHasRoom(): bool {
  return outCount() + PORT_MAX < OUT_MAX;
}

/**
 * Adds a record for `length` bytes of Ethernet at `frame`, that stands for `frames` frames in, of which `verdicts` are
 * now counted in `counter`. Returns the address of its vnet header, all zero, for the caller to fill; 0: table full.
 */
export function outPut(
  port: u32,
  frame: usize,
  length: u32,
  frames: u32,
  verdicts: u32,
  counter: u32,
): usize {
  const index = outCount();
  if (index >= OUT_MAX) return 0;
  store<u32>(STATE_OUT_COUNT, index + 1);
  const record: usize = OUT_TABLE + index * OUT_RECORD_SIZE;
  const base = load<u64>(STATE_ADDRESS);
  const vnet = record + RECORD_VNET;
  store<u32>(record, port);
  store<u32>(record, frames, 4);
  store<u32>(record, length, RECORD_BYTES);
  store<u32>(record, (record + RECORD_IOV) as u32, 12);
  store<u64>(record, base + (vnet as u64), RECORD_IOV);
  store<u64>(record, VNET_SIZE, RECORD_IOV + 8);
  store<u64>(record, base + (frame as u64), RECORD_IOV + 16);
  store<u64>(record, length as u64, RECORD_IOV + 24);
  store<u64>(vnet, 0);
  store<u32>(vnet, 0, 8);
  store<u16>(record, verdicts as u16, RECORD_VERDICTS);
  store<u16>(record, counter as u16, RECORD_VERDICT_COUNTER);
  count(counter, verdicts);
  count(COUNTER_TO_TAP, 1);
  count(COUNTER_TO_TAP_BYTES, length);
  return vnet;
}

/** The TAP refused a record: takes its counts back and gives its frames the reason. */
export function outFailed(index: u32, reason: u32): void {
  if (index >= outCount()) return;
  const record: usize = OUT_TABLE + index * OUT_RECORD_SIZE;
  const verdicts: u32 = load<u16>(record, RECORD_VERDICTS);
  // Said twice, it must not be taken back twice.
  if (load<u32>(record, 4) == 0) return;
  count(load<u16>(record, RECORD_VERDICT_COUNTER), -verdicts);
  dropMany(reason, verdicts);
  count(COUNTER_TO_TAP, -1);
  count(COUNTER_TO_TAP_BYTES, -load<u32>(record, RECORD_BYTES));
  store<u32>(record, 0, 4);
  store<u16>(record, 0, RECORD_VERDICTS);
}
