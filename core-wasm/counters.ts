/**
 * The counter block: u64 each, written by the core alone, read by anyone at any time.
 *
 * The identity every test holds the core to:
 *   FROM_TAP + FROM_TUNNEL = SENT + DELIVERED + ANSWERED + PUNTED + Σ drops
 * A frame in is one TAP read (a super-frame counts once) or one datagram after the GRO split. Its verdict is counted
 * when it is decided and rides on exactly one message or out record, so that a failed send can take it back; further
 * copies of a flooded frame carry no verdict.
 * TO_TAP and TO_TUNNEL count what leaves: TAP writes, and datagrams. TAP bytes are Ethernet frames, tunnel bytes are
 * UDP payloads.
 */
export const COUNTER_FROM_TAP: u32 = 0;
export const COUNTER_FROM_TAP_BYTES: u32 = 1;
export const COUNTER_TO_TAP: u32 = 2;
export const COUNTER_TO_TAP_BYTES: u32 = 3;
export const COUNTER_FROM_TUNNEL: u32 = 4;
export const COUNTER_FROM_TUNNEL_BYTES: u32 = 5;
export const COUNTER_TO_TUNNEL: u32 = 6;
export const COUNTER_TO_TUNNEL_BYTES: u32 = 7;

// Verdicts.
export const COUNTER_SENT: u32 = 8;
export const COUNTER_DELIVERED: u32 = 9;
export const COUNTER_ANSWERED: u32 = 10;
/** Handed to control: handshake messages and keepalives. */
export const COUNTER_PUNTED: u32 = 11;

// What the stages did.
/** Super-frames cut, and datagrams merged into super-frames. */
export const COUNTER_CUT: u32 = 12;
export const COUNTER_COALESCED: u32 = 13;
export const COUNTER_UNKNOWN_UNICAST: u32 = 14;
/** Copies of a flooded frame that found no room or were too big for one peer while others got theirs. */
export const COUNTER_COPIES_LOST: u32 = 15;
export const COUNTER_MACS_LEARNED: u32 = 16;
export const COUNTER_MACS_MOVED: u32 = 17;
export const COUNTER_MACS_EXPIRED: u32 = 18;
export const COUNTER_IPS_LEARNED: u32 = 19;
export const COUNTER_COMMANDS: u32 = 20;
export const COUNTER_COMMANDS_FAILED: u32 = 21;
/** Datagrams queued for the cipher, and opened by it. */
export const COUNTER_SEALED: u32 = 22;
export const COUNTER_OPENED: u32 = 23;
/** Senders told by ICMP that a packet, which was dropped as too-big, was too large for its path. */
export const COUNTER_TOO_BIG_TOLD: u32 = 24;
/** Frames made smaller than their sender made them, because the path takes no more. */
export const COUNTER_SHRUNK: u32 = 25;
