import { count, drop } from './account';
import { COUNTER_FROM_TUNNEL } from './counters';
import { REASON_NOT_A_MEMBER } from './reason';
/** Takes received messages. */
export function fromTunnel(messages: u32): u32 {
  for (let i: u32 = 0; i < messages; i++) {
    count(COUNTER_FROM_TUNNEL, 1);
    drop(REASON_NOT_A_MEMBER);
  }
  return 0;
}
