import { count, drop } from './account';
import { COUNTER_FROM_TAP } from './counters';
import { REASON_NO_PORT } from './reason';
/** Takes one read from a TAP. */
export function fromTap(port: u32, slot: usize, length: u32): u32 {
  count(COUNTER_FROM_TAP, 1);
  drop(REASON_NO_PORT);
  return 0;
}
