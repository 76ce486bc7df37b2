/** Tunables that control may change while frames flow (OP_CONFIG), and the clock they are read against. */
import { STATE_CONFIG, STATE_NOW_MS, STATE_NOW_SECONDS } from './layout';

/** A learnt MAC silent for so long is forgotten. */
export const CONFIG_AGEING_SECONDS: u32 = 1;
/** Frames to unknown unicast addresses that one port may flood in a second. */
export const CONFIG_UNKNOWN_PPS: u32 = 2;
/** New or moved MACs and IPs that one port may bring in a second. */
export const CONFIG_LEARN_PPS: u32 = 3;
/** Non-zero: a reflecting port also gets its own unknown unicast back. */
export const CONFIG_REFLECT_UNKNOWN: u32 = 4;
/** Handshake messages that are handed to control in a second. */
export const CONFIG_PUNT_PPS: u32 = 5;
/** Broadcast and multicast frames that one port may flood in a second. */
export const CONFIG_BROADCAST_PPS: u32 = 6;
/** Senders behind one port that are told in a second that a packet was too large for its path. */
export const CONFIG_TOO_BIG_PPS: u32 = 7;
/** Path probes and answers to ours that are handed to control in a second. */
export const CONFIG_PROBE_PPS: u32 = 8;
export const CONFIG_KEYS: u32 = 9;

export function config(key: u32): u32 {
  return load<u32>((STATE_CONFIG + (key << 2)) as usize);
}

export function setConfig(key: u32, value: u32): void {
  store<u32>((STATE_CONFIG + (key << 2)) as usize, value);
}

export function setDefaults(): void {
  setConfig(CONFIG_AGEING_SECONDS, 300);
  setConfig(CONFIG_UNKNOWN_PPS, 1000);
  setConfig(CONFIG_LEARN_PPS, 1000);
  setConfig(CONFIG_REFLECT_UNKNOWN, 1);
  setConfig(CONFIG_PUNT_PPS, 4000);
  setConfig(CONFIG_TOO_BIG_PPS, 1000);
  setConfig(CONFIG_PROBE_PPS, 4000);
  // A container floods some 25 frames in its first seconds: this lets 400 start at once behind one port.
  setConfig(CONFIG_BROADCAST_PPS, 10_000);
}

/** Milliseconds of the last tick, modulo 2^32: compare by difference only. */
export function nowMs(): u32 {
  return load<u32>(STATE_NOW_MS);
}

export function nowSeconds(): u32 {
  return load<u32>(STATE_NOW_SECONDS);
}

export function setNow(ms: f64): void {
  const whole = ms > 0 ? (ms as u64) : 0;
  store<u32>(STATE_NOW_MS, whole as u32);
  store<u32>(STATE_NOW_SECONDS, (whole / 1000) as u32);
}
