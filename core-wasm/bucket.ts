/**
 * Token bucket: u32 thousandths of a token @0, u32 millisecond of the last refill @4.
 *
 * Holds at most one second's worth, so a burst is at most the rate. A rate of 0 lets nothing through.
 */
import { nowMs } from './config';

const LARGEST_RATE: u32 = 1_000_000;

/** Takes one token, if there is one. `rate` is per second. */
export function take(bucket: usize, rate: u32): bool {
  if (rate > LARGEST_RATE) rate = LARGEST_RATE;
  const now = nowMs();
  let elapsed = now - load<u32>(bucket, 4);
  if (elapsed > 1000) elapsed = 1000;
  // One thousandth of a token per millisecond for each token per second.
  let tokens = (load<u32>(bucket) as u64) + (elapsed as u64) * (rate as u64);
  const most = (rate as u64) * 1000;
  if (tokens > most) tokens = most;
  const granted = tokens >= 1000;
  if (granted) tokens -= 1000;
  store<u32>(bucket, tokens as u32);
  store<u32>(bucket, now, 4);
  return granted;
}

/** A full bucket, for a port that has just appeared. */
export function fill(bucket: usize, rate: u32): void {
  const bounded: u32 = rate > LARGEST_RATE ? LARGEST_RATE : rate;
  store<u32>(bucket, bounded * 1000);
  store<u32>(bucket, nowMs(), 4);
}
