/**
 * Why a frame was dropped: one number per reason, the index of its u64 in the drop block.
 *
 * The host enumerates the REASON_ exports and derives the names (`unknown-vni`), so adding a line here is all it takes
 * for a reason to appear in status and metrics.
 */
/** The frame went on; never counted. */
export const REASON_NONE: u32 = 0;

// Malformed, either side.
/** Shorter than the headers it must have, or cut off by the kernel. */
export const REASON_TRUNCATED: u32 = 1;
/** Longer than any Ethernet frame a TAP may hand over. */
export const REASON_OVERSIZE: u32 = 2;
/** The virtio header does not fit the frame behind it. */
export const REASON_BAD_OFFLOAD: u32 = 3;
/** Multicast or all-zero source address. */
export const REASON_BAD_SOURCE: u32 = 4;
/** 01:80:c2:00:00:0x, which IEEE 802.1Q 8.6.3 forbids a bridge to forward. */
export const REASON_LINK_LOCAL: u32 = 5;

// Refused on the TAP side.
export const REASON_NO_PORT: u32 = 6;
/** ARP sender hardware address differs from the Ethernet source. */
export const REASON_ARP_MISMATCH: u32 = 7;
/** The source address is pinned elsewhere by a static row. */
export const REASON_SOURCE_PINNED: u32 = 8;
export const REASON_MAC_QUOTA: u32 = 9;
export const REASON_LEARN_RATE: u32 = 10;
export const REASON_FDB_FULL: u32 = 11;
/** The destination is behind the port it came from, and the port does not reflect. */
export const REASON_SAME_PORT: u32 = 12;
export const REASON_UNKNOWN_RATE: u32 = 13;
/** A flood that found neither a peer nor another port. */
export const REASON_NO_DESTINATION: u32 = 14;
export const REASON_NO_PEER: u32 = 15;
/** The encapsulated datagram exceeds what reaches the peer unfragmented. */
export const REASON_TOO_BIG: u32 = 16;
export const REASON_TX_FULL: u32 = 17;
export const REASON_OUT_FULL: u32 = 18;

// Refused on the tunnel side.
export const REASON_NOT_A_MEMBER: u32 = 19;
export const REASON_BAD_VXLAN: u32 = 20;
export const REASON_UNKNOWN_VNI: u32 = 21;
/** The destination is at another peer: from tunnel to tunnel never. */
export const REASON_SPLIT_HORIZON: u32 = 22;

// Reported back by the I/O loop through txFailed and outFailed.
export const REASON_SEND_FAILED: u32 = 23;
export const REASON_SEND_BUSY: u32 = 24;
export const REASON_WRITE_FAILED: u32 = 25;
export const REASON_WRITE_BUSY: u32 = 26;

// Sealing.
/** To a host with which no session stands (yet), or sealed for one that we do not have. */
export const REASON_NO_SESSION: u32 = 27;
/** The tag is wrong: changed on the way, or not sealed by whom it claims. */
export const REASON_BAD_SEAL: u32 = 28;
/** Received before, or too old to tell. */
export const REASON_REPLAY: u32 = 29;
/** A clear frame of a network that is sealed. */
export const REASON_CLEAR_REFUSED: u32 = 30;
/** A sealed frame of a network that is clear here: two hosts define it differently. */
export const REASON_SEALED_REFUSED: u32 = 31;
/** More handshake messages than control may be given. */
export const REASON_PUNT_RATE: u32 = 32;

/** More broadcast and multicast frames from one port than may be flooded. */
export const REASON_STORM_LIMIT: u32 = 33;

// A bound port sent what is not its own (guard-bound.ts).
export const REASON_GUARD_MAC: u32 = 34;
/** A source address, or a claim on one by ARP or neighbour discovery. */
export const REASON_GUARD_IP: u32 = 35;
/** What only routers say: advertisements, redirects, and what may hide them. */
export const REASON_GUARD_RA: u32 = 36;
/** What only DHCP servers say. */
export const REASON_GUARD_DHCP: u32 = 37;

/** In hand when the core trapped: counted by the host, when it buries the worker. */
export const REASON_TRAPPED: u32 = 38;

/** Number of reasons; one above the last. */
export const REASONS: u32 = 39;
