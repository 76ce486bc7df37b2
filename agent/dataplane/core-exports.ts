/**
 * The packet core's ABI as TypeScript sees it: what `core-wasm/index.ts` exports.
 *
 * Only numbers cross. Addresses are byte offsets into the shared linear memory. Every constant of the layout
 * (table bases, record sizes, op-codes, reasons, counters) is an exported immutable global, so that this side never
 * repeats a number: names starting with `REASON_`, `COUNTER_`, `OP_`, `EVENT_` are enumerated at load.
 *
 * One breath of a worker: `tick` → (read TAP → `fromTap`)* → seal `sealJobs` → send every table of `txPending` →
 * `txReset` → write every out record → `outReset` → recvmmsg → `queueSealed` → open → `fromTunnel` → write out records →
 * `outReset` → `runCommands`.
 */
export interface CoreExports {
  /** Lays out constants and prepared msghdrs. `base` is the process address of the linear memory (< 2^53);
   *  `seed` feeds the hash functions, so that nobody outside can aim at a bucket. Call once, before all else. */
  init(base: number, seed: number): void;
  /** Gives the core the monotonic time in milliseconds and lets it do a bounded slice of slow work (ageing). */
  tick(nowMs: number): void;
  /** Applies up to `max` records of the command ring; returns how many it took. */
  runCommands(max: number): number;

  /** Takes one read from a TAP: `length` bytes (vnet header of 12 bytes first) at address `slot`.
   *  Returns 0, or 1 when the transmit or out tables must be flushed before the next call; without that the next
   *  frames may be dropped as tx-full or out-full. Out records may point into the slot: it is free after outReset. */
  fromTap(port: number, slot: number, length: number): number;
  /** Takes messages 0..count-1 of the receive table as recvmmsg left them (msg_len, name, control), and re-arms them.
   *  Returns 0, or 1 when the out table is to be flushed and the call repeated with the same messages: they are not all
   *  done. The data stays in the receive buffers until the out table is flushed: no recvmmsg before that. */
  fromTunnel(count: number): number;

  /** Before fromTunnel, with the same messages: how many sealed datagrams wait in the open table. They are to be opened
   *  in place, and OPEN_OK written as the status of those whose tag was right. */
  queueSealed(count: number): number;
  /** Runs that wait in the seal table, to be sealed in place before anything of the transmit tables is sent. */
  sealJobs(): number;
  sealReset(): void;

  /** Bit i set: transmit table i has messages. */
  txPending(): number;
  /** Messages waiting in table `socket` (0..TX_SOCKETS-1); they lie from `txTable(socket)` on as struct mmsghdr[]. */
  txCount(socket: number): number;
  txTable(socket: number): number;
  /** Message `index` of table `socket` was not sent: moves its frames from "sent" to the drop `reason`. Saying it twice
   *  counts once. Of a flooded frame the first copy carries the verdict. */
  txFailed(socket: number, index: number, reason: number): void;
  /** Frames that are "sent" by that message and no other. */
  txVerdicts(socket: number, index: number): number;
  txReset(): void;

  /** The peer of message `index` when it is a run of datagrams, else -1. */
  runPeer(socket: number, index: number): number;
  /** Lays the datagrams of a run out as struct mmsghdr[] at SINGLE_TABLE, until the next call; returns how many. */
  spreadRun(socket: number, index: number): number;
  /** Datagram `place` of a run of which others were sent was not: say it once. When none was sent, txFailed says it. */
  singleFailed(socket: number, index: number, place: number, reason: number): void;

  /** Records waiting in the out table: OUT_TABLE + i * OUT_RECORD_SIZE = { u32 port, u32 frames, u32 bytes, u32 iov }.
   *  `iov` is the address of two struct iovec (vnet header, frame) to be written with one writev to the TAP; `bytes`
   *  is the frame alone. */
  outCount(): number;
  outFailed(index: number, reason: number): void;
  outReset(): void;

  /** Table look-ups for audits and dumps; safe from another instance over the same memory. 0 = not there. */
  fdbFind(network: number, macHigh16: number, macLow32: number): number;
  fdbCount(): number;
  /** 1 when the port has its row: what it sends is not dropped for want of it. */
  portExists(port: number): number;

  readonly [constant: Uppercase<string>]: WebAssembly.Global;
}

/**
 * Constants that the core must export (as WebAssembly globals), beside the four enumerated families:
 *
 * TAP_SLOTS, TAP_SLOT_BASE, TAP_SLOT_SIZE   read buffers, each for vnet header + Ethernet header + 65,536 bytes
 * TX_SOCKETS                                transmit tables = sockets, chosen by the inner flow hash
 * RX_VLEN, RX_TABLE                         prepared struct mmsghdr[RX_VLEN] for recvmmsg (64 bytes each)
 * RX_DATA_BASE, RX_DATA_SIZE                data buffer i; RX_NAME_BASE, RX_NAME_SIZE: struct sockaddr of message i
 * RX_CONTROL_BASE, RX_CONTROL_SIZE          control buffer i
 * OUT_TABLE, OUT_RECORD_SIZE; SINGLE_TABLE
 * COMMAND_RING, COMMAND_SLOTS, COMMAND_SIZE (64), COMMAND_HEAD (producer index, u32), COMMAND_TAIL (consumer index)
 * EVENT_RING, EVENT_SLOTS, EVENT_SIZE (64), EVENT_HEAD (producer), EVENT_TAIL (consumer), EVENTS_LOST (u32 address)
 * COUNTER_BASE                              u64[]; COUNTER_x is the index of counter x
 * DROP_BASE                                 u64[]; REASON_x is the index of reason x (0 is REASON_NONE, never counted)
 * PEER_BASE, PEER_SIZE, PEER_MAX            peer entries; PEER_RX_FRAMES, PEER_RX_BYTES, PEER_TX_FRAMES, PEER_TX_BYTES
 *                                           are u64 offsets inside one
 * FDB_BASE, FDB_SLOTS, FDB_ENTRY_SIZE (16)  at most FDB_LIMIT rows, in the first 2^n slots (n grows with them); entry = u64 key (network u16 << 48 | MAC as a big-endian number; 0 = free),
 *                                           u16 destination (port or peer index), u16 flags (FDB_LOCAL, FDB_STATIC,
 *                                           FDB_LEARNED), u32 last seen (seconds of `tick`)
 * NETWORK_MAX, PORT_MAX
 * LAYOUT_END                                first byte behind the last region; the memory is larger
 *
 * Command record (64 bytes, little-endian):
 *   u16 op @0 · u16 flags @2 · u32 a @4 · u32 b @8 · u32 c @12 · u8[6] mac @16 · u16 0 @22 · u8[16] ip @24 (IPv4 as
 *   ::ffff:a.b.c.d) · u32 d @40 · u32 sequence @44 · zeros
 * Head and tail are free-running u32 counters; slot = counter & (SLOTS - 1).
 *
 *   OP_NETWORK_PUT  a=network b=VNI flags: NETWORK_SUPPRESS (answer ARP/ND from the table), NETWORK_SEALED
 *   OP_NETWORK_DEL  a=network                         also drops its FDB, neighbours and flood list
 *   OP_PORT_PUT     a=port b=network c=MAC quota flags: PORT_REFLECT, PORT_OFFLOAD (GSO TCP may be written),
 *                   PORT_USO (GSO UDP may be written)
 *   OP_PORT_DEL     a=port
 *   OP_PEER_PUT     a=peer ip=underlay address b=UDP port c=largest UDP payload (65,507 at most; put again when the path
 *                   changes: what does not fit is cut smaller, or its sender told) flags: PEER_LEARN
 *                   (learn source MACs of its frames, and take its unfinished checksums: a static peer that speaks
 *                   no gossip, a kernel vxlan device for one)
 *   OP_PEER_DEL     a=peer                            also drops FDB rows that point to it
 *   OP_FLOOD_PUT / OP_FLOOD_DEL   a=network b=peer
 *   OP_FDB_PUT      a=network mac b=peer, or with flag FDB_LOCAL b=port; FDB_STATIC: local learning cannot move it
 *   OP_FDB_DEL      a=network mac; only a remote row, or with flag FDB_LOCAL only a local one
 *   OP_NEIGHBOUR_PUT / OP_NEIGHBOUR_DEL   a=network ip mac; a put replaces what was snooped here, a deletion spares it
 *                   and spares another owner's row (mac zero: any owner's)
 *   OP_SESSION_PUT  a=session b=local index c=remote index d=peer ip=two f64: handles to open and to seal
 *   OP_SESSION_USE  a=session: its peer is sent by it from now   OP_SESSION_DEL  a=session
 *   OP_BINDING_IP   a=port b=place ip: lays an address ready for OP_BINDING_PUT a=port b=addresses mac: from now the port may
 *                   send from this MAC and the first b addresses alone   OP_BINDING_DEL  a=port: from any; so does OP_PORT_DEL
 *   OP_CONFIG       a=key (CONFIG_AGEING_SECONDS, CONFIG_UNKNOWN_PPS, CONFIG_BROADCAST_PPS, CONFIG_LEARN_PPS,
 *                   CONFIG_REFLECT_UNKNOWN, CONFIG_TOO_BIG_PPS, CONFIG_PROBE_PPS…) b=value
 *
 * Event record (64 bytes): u16 type @0 · u16 flags @2 · u32 network @4 · u32 port @8 · u32 c @12 · mac @16 · ip @24 · u32 d @40
 *   EVENT_MAC_LEARNED   a local MAC appeared or moved here (c = previous peer index + 1 when it stood at a peer, else 0)
 *   EVENT_MAC_EXPIRED   a local MAC was silent for the ageing time, or has turned up at a peer with PEER_LEARN
 *   EVENT_IP_LEARNED    ip is used by the local mac (from ARP or neighbour discovery)
 *   EVENT_COMMAND_FAILED  c = op, d = sequence (table full, index out of range)
 *   EVENT_SESSION_HEARD   c = session: the first datagram came on it
 *   EVENT_PUNTED          the punt ring was empty and is no more
 *
 * PUNT_RING, PUNT_SLOTS, PUNT_SIZE, PUNT_HEAD (producer), PUNT_TAIL (consumer): handshake messages and path probes
 * (core-wasm/punt.ts).
 * BINDING_BASE, BINDING_SIZE, BINDING_IPS (addresses at most): core-wasm/binding.ts.
 * SEAL_TABLE, OPEN_TABLE, JOB_SIZE, OPEN_STATUS, OPEN_OK: what the cipher is to do (core-wasm/sealed.ts).
 */
export type CoreConstants = Readonly<Record<string, number>>;
