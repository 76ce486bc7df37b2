/**
 * The map of the linear memory: every region from the one before it.
 *
 * Mutable state lives only here, never in static data: a second instance over the same memory (an auditor in another
 * thread) re-applies data segments when it is created, and must not disturb the first. The stub runtime puts nothing
 * below 4096 that anyone writes.
 *
 *   0        4 KiB     8 KiB    16 KiB
 *   ├────────┼─────────┼────────┼──────────┬───────────┬──────────┬───────┬───────┬────────┬──────────┐
 *   │ unused │ state   │ counts │ commands │ events    │ networks │ ports │ peers │ hashes │ flood    │
 *   ├────────┴─────────┴────────┴──┬───────┴───────────┴──┬───────┴───────┴───────┴─┬──────┴──────────┤
 *   │ FDB, 2^21 × 16 = 32 MiB      │ neighbours, 8 MiB    │ TAP slots, 64 × 66,048   │ rx buffers      │
 *   ├──────────────────────────────┴──┬───────────────────┴─────────────┬──────────┬─┴─────────────────┤
 *   │ tx messages, 8 × 8,192 × 128    │ tx arenas, 8 × (2 MiB + slack)  │ out      │ FDB scratch      │
 *   ├─────────────────────────────────┼─────────────────────────────────┼──────────┴┬──────────────────┘
 *   │ sessions, indexes, 16 MiB of    │ jobs of the cipher              │ punts,    │
 *   │ replay windows                  │                                 │ bindings, │
 *   │                                 │                                 │ one run   │
 *   └─────────────────────────────────┴─────────────────────────────────┴───────────┘
 *
 * The host reads these numbers as exported globals and repeats none of them.
 */

// ── State: scalars ──────────────────────────────────────────────────────────────────────────────────────────────────
const STATE_BASE: u32 = 4096;
/** u64: process address of offset 0, added to every pointer the kernel will see. */
export const STATE_ADDRESS: u32 = STATE_BASE;
/** Two u64 secrets of the hash functions; the second is odd. */
export const STATE_SEED_A: u32 = STATE_BASE + 8;
export const STATE_SEED_B: u32 = STATE_BASE + 16;
/** u32 milliseconds (wraps; only differences are used) and u32 seconds of the last `tick`. */
export const STATE_NOW_MS: u32 = STATE_BASE + 24;
export const STATE_NOW_SECONDS: u32 = STATE_BASE + 28;
export const STATE_FDB_COUNT: u32 = STATE_BASE + 32;
export const STATE_NEIGHBOUR_COUNT: u32 = STATE_BASE + 36;
/** Where the ageing walks stand. */
export const STATE_FDB_CURSOR: u32 = STATE_BASE + 40;
export const STATE_NEIGHBOUR_CURSOR: u32 = STATE_BASE + 44;
export const STATE_OUT_COUNT: u32 = STATE_BASE + 48;
export const EVENTS_LOST: u32 = STATE_BASE + 52;
/** log2 of the FDB slots in use: the table grows with its rows. */
export const STATE_FDB_BITS: u32 = STATE_BASE + 56;
/** u32[CONFIG_KEYS], indexed by CONFIG_x. */
export const STATE_CONFIG: u32 = STATE_BASE + 128;
/** Heads and tails on cache lines of their own: producer and consumer sit on different threads. */
export const COMMAND_HEAD: u32 = STATE_BASE + 256;
export const COMMAND_TAIL: u32 = STATE_BASE + 320;
export const EVENT_HEAD: u32 = STATE_BASE + 384;
export const EVENT_TAIL: u32 = STATE_BASE + 448;
/** Per transmit table: u32 message count @0, u32 arena cursor @4, u32 open message @8 (0: none). */
export const STATE_TX: u32 = STATE_BASE + 512;
export const STATE_TX_SIZE: u32 = 64;
/** Headers of the frame that is being appended to a super-frame: 256 bytes. */
export const STATE_HEADERS: u32 = STATE_TX + 1024;
export const STATE_SEAL_COUNT: u32 = STATE_HEADERS + 256;
export const STATE_OPEN_COUNT: u32 = STATE_SEAL_COUNT + 4;
/** Sessions in the table: without any, nothing looks for sealed datagrams. */
export const STATE_SESSIONS: u32 = STATE_SEAL_COUNT + 8;
/** Token buckets of punts: handshake messages, path probes. */
export const STATE_PUNT_BUCKET: u32 = STATE_SEAL_COUNT + 16;
export const STATE_PROBE_BUCKET: u32 = STATE_SEAL_COUNT + 24;
export const PUNT_HEAD: u32 = STATE_SEAL_COUNT + 64;
export const PUNT_TAIL: u32 = STATE_SEAL_COUNT + 128;
const STATE_END: u32 = STATE_BASE + 4096;

// ── Counters ────────────────────────────────────────────────────────────────────────────────────────────────────────
export const COUNTER_BASE: u32 = STATE_END;
const COUNTERS_MAX: u32 = 256;
export const DROP_BASE: u32 = COUNTER_BASE + COUNTERS_MAX * 8;
const DROPS_MAX: u32 = 256;

// ── Rings ───────────────────────────────────────────────────────────────────────────────────────────────────────────
export const COMMAND_RING: u32 = DROP_BASE + DROPS_MAX * 8 + 4096;
export const COMMAND_SLOTS: u32 = 4096;
export const COMMAND_SIZE: u32 = 64;
export const EVENT_RING: u32 = COMMAND_RING + COMMAND_SLOTS * COMMAND_SIZE;
export const EVENT_SLOTS: u32 = 8192;
export const EVENT_SIZE: u32 = 64;

// ── Small tables ────────────────────────────────────────────────────────────────────────────────────────────────────
export const NETWORK_BASE: u32 = EVENT_RING + EVENT_SLOTS * EVENT_SIZE;
export const NETWORK_MAX: u32 = 1024;
export const NETWORK_SIZE: u32 = 32;
export const PORT_BASE: u32 = NETWORK_BASE + NETWORK_MAX * NETWORK_SIZE;
export const PORT_MAX: u32 = 4096;
export const PORT_SIZE: u32 = 64;
export const PEER_BASE: u32 = PORT_BASE + PORT_MAX * PORT_SIZE;
export const PEER_MAX: u32 = 4096;
export const PEER_SIZE: u32 = 128;
/** VNI → network and underlay address → peer: u32[] of index + 1, 0 = free, at most a quarter and a half full. */
export const VNI_HASH_BASE: u32 = PEER_BASE + PEER_MAX * PEER_SIZE;
export const VNI_HASH_SLOTS: u32 = 4096;
export const PEER_HASH_BASE: u32 = VNI_HASH_BASE + VNI_HASH_SLOTS * 4;
export const PEER_HASH_SLOTS: u32 = 8192;
/** One bit per peer and network: who gets the network's broadcasts. */
export const FLOOD_BASE: u32 = PEER_HASH_BASE + PEER_HASH_SLOTS * 4;
export const FLOOD_SIZE: u32 = PEER_MAX / 8;

// ── Big tables ──────────────────────────────────────────────────────────────────────────────────────────────────────
export const FDB_BASE: u32 = FLOOD_BASE + NETWORK_MAX * FLOOD_SIZE;
export const FDB_SLOTS: u32 = 1 << 21;
export const FDB_ENTRY_SIZE: u32 = 16;
export const NEIGHBOUR_BASE: u32 = FDB_BASE + FDB_SLOTS * FDB_ENTRY_SIZE;
export const NEIGHBOUR_SLOTS: u32 = 1 << 18;
export const NEIGHBOUR_SIZE: u32 = 32;

// ── Buffers the kernel fills ────────────────────────────────────────────────────────────────────────────────────────
export const TAP_SLOTS: u32 = 64;
/** vnet header 12 + Ethernet 14 + 802.1Q 4 + 65,535 = 65,565, and room to see that a frame was longer. */
export const TAP_SLOT_SIZE: u32 = 66048;
export const TAP_SLOT_BASE: u32 = NEIGHBOUR_BASE + NEIGHBOUR_SLOTS * NEIGHBOUR_SIZE;
export const RX_VLEN: u32 = 8;
export const RX_TABLE: u32 = TAP_SLOT_BASE + TAP_SLOTS * TAP_SLOT_SIZE;
export const RX_NAME_SIZE: u32 = 32;
export const RX_NAME_BASE: u32 = RX_TABLE + RX_VLEN * 64;
export const RX_CONTROL_SIZE: u32 = 64;
export const RX_CONTROL_BASE: u32 = RX_NAME_BASE + RX_VLEN * RX_NAME_SIZE;
export const RX_IOV_BASE: u32 = RX_CONTROL_BASE + RX_VLEN * RX_CONTROL_SIZE;
export const RX_DATA_SIZE: u32 = 65536;
export const RX_DATA_BASE: u32 = RX_IOV_BASE + RX_VLEN * 16;
const RX_END: u32 = RX_DATA_BASE + RX_VLEN * RX_DATA_SIZE;

// ── What the kernel is to send ──────────────────────────────────────────────────────────────────────────────────────
export const TX_SOCKETS: u32 = 8;
/** Twice PEER_MAX: a table that has not asked for a flush can always take one flood to all peers. */
export const TX_MESSAGES: u32 = 8192;
/** struct mmsghdr[TX_MESSAGES] per table, and beside it the records of transmit.ts. */
export const TX_TABLE_BASE: u32 = (RX_END + 4095) & ~4095;
export const TX_TABLE_SIZE: u32 = TX_MESSAGES * 64;
export const TX_RECORD_BASE: u32 = TX_TABLE_BASE + TX_SOCKETS * TX_TABLE_SIZE;
/**
 * What one frame may need at most: 65,535 bytes of payload and 2,048 headers of up to 190 bytes, or fewer longer ones. No
 * frame that needs more gets as far as an arena (offload.ts).
 */
export const TX_RESERVE: u32 = 512 * 1024;
export const TX_ARENA_SIZE: u32 = 2 * 1024 * 1024;
/** Copies in units of 16 bytes may run past the end by less than this. */
export const TX_SLACK: u32 = 256;
export const TX_ARENA_BASE: u32 = TX_RECORD_BASE + TX_SOCKETS * TX_TABLE_SIZE;
const TX_END: u32 = TX_ARENA_BASE + TX_SOCKETS * (TX_ARENA_SIZE + TX_SLACK);

/** Records of out.ts; twice PORT_MAX for the same reason as TX_MESSAGES. */
export const OUT_TABLE: u32 = (TX_END + 4095) & ~4095;
export const OUT_RECORD_SIZE: u32 = 64;
export const OUT_MAX: u32 = 8192;

/** Where the FDB's rows stand while it doubles. */
export const FDB_SCRATCH: u32 = OUT_TABLE + OUT_MAX * OUT_RECORD_SIZE;

// ── Sealing ─────────────────────────────────────────────────────────────────────────────────────────────────────────
export const SESSION_BASE: u32 = FDB_SCRATCH + (FDB_SLOTS / 2) * FDB_ENTRY_SIZE;
/** Two for each peer: the one in use, and the one before or after it. */
export const SESSION_MAX: u32 = 2 * PEER_MAX;
export const SESSION_SIZE: u32 = 64;
/** Receiver index → session: u32[] of slot + 1, 0 = free, at most half full. */
export const SESSION_HASH_BASE: u32 = SESSION_BASE + SESSION_MAX * SESSION_SIZE;
export const SESSION_HASH_SLOTS: u32 = 16384;
/** Per session a ring of bits, one per counter: power of two, 64 of them are being replaced (RFC 6479). */
export const WINDOW_BASE: u32 = SESSION_HASH_BASE + SESSION_HASH_SLOTS * 4;
export const WINDOW_BITS: u32 = 16384;
/** What the host's cipher is to do: runs to seal, datagrams to open. */
export const JOB_SIZE: u32 = 64;
export const SEAL_TABLE: u32 = WINDOW_BASE + SESSION_MAX * (WINDOW_BITS / 8);
export const SEAL_JOBS: u32 = 16384;
export const OPEN_TABLE: u32 = SEAL_TABLE + SEAL_JOBS * JOB_SIZE;
/** RX_VLEN messages of at most 128 datagrams. */
export const OPEN_JOBS: u32 = RX_VLEN * 128;
/** Handshake messages on their way to control. */
export const PUNT_RING: u32 = OPEN_TABLE + OPEN_JOBS * JOB_SIZE;
export const PUNT_SLOTS: u32 = 256;
export const PUNT_SIZE: u32 = 320;

/** What each port may send from: the records of binding.ts. */
export const BINDING_BASE: u32 = PUNT_RING + PUNT_SLOTS * PUNT_SIZE;
export const BINDING_IPS: u32 = 8;
export const BINDING_SIZE: u32 = 280;

/** One run as datagrams of their own (spread.ts): struct mmsghdr[64], and their iovecs. */
export const SINGLE_TABLE: u32 = BINDING_BASE + PORT_MAX * BINDING_SIZE;
export const SINGLE_IOVECS: u32 = SINGLE_TABLE + 64 * 64;

/** First byte after the last region; the host checks that the memory holds it. */
export const LAYOUT_END: u32 = SINGLE_IOVECS + 64 * 16;
