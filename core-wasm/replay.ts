/**
 * Replay windows: which counters of a session have been received (RFC 6479).
 *
 * A ring of 64-bit words, one bit per counter. When the highest counter grows, the words it passes are cleared, so 64
 * bits less than the ring holds are the window: 16,320. A counter is entered only after its datagram's tag was checked.
 */
import { WINDOW_BASE, WINDOW_BITS } from './layout';

const WORDS: u64 = (WINDOW_BITS >> 6) as u64;
/** Counters so far below the highest are taken for replays. */
const WINDOW: u64 = (WINDOW_BITS - 64) as u64;

function wordAt(session: u32, counter: u64): usize {
  const word = ((counter >> 6) & (WORDS - 1)) as u32;
  return WINDOW_BASE + session * (WINDOW_BITS >> 3) + (word << 3);
}

/** The counter may still be received, given the highest one so far. */
export function isFresh(session: u32, highest: u64, counter: u64): bool {
  if (counter > highest) return true;
  if (highest - counter >= WINDOW) return false;
  return (load<u64>(wordAt(session, counter)) & ((1 as u64) << (counter & 63))) == 0;
}

/** Enters a fresh counter. Returns the highest one after it. */
export function enterCounter(session: u32, highest: u64, counter: u64): u64 {
  if (counter > highest) {
    let passed = (counter >> 6) - (highest >> 6);
    if (passed > WORDS) passed = WORDS;
    for (let i: u64 = 0; i < passed; i++) store<u64>(wordAt(session, counter - (i << 6)), 0);
    highest = counter;
  }
  const at = wordAt(session, counter);
  store<u64>(at, load<u64>(at) | ((1 as u64) << (counter & 63)));
  return highest;
}

export function clearWindow(session: u32): void {
  memory.fill(WINDOW_BASE + session * (WINDOW_BITS >> 3), 0, WINDOW_BITS >> 3);
}
