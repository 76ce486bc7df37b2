/** Adding to the counter and drop blocks (counters.ts, reason.ts). */
import { COUNTER_BASE, DROP_BASE } from './layout';

/** Adds to a counter; a negative amount takes a verdict back. */
export function count(counter: u32, amount: i32): void {
  const at: usize = COUNTER_BASE + (counter << 3);
  store<i64>(at, load<i64>(at) + (amount as i64));
}

export function drop(reason: u32): void {
  dropMany(reason, 1);
}

export function dropMany(reason: u32, frames: u32): void {
  const at: usize = DROP_BASE + (reason << 3);
  store<u64>(at, load<u64>(at) + (frames as u64));
}
