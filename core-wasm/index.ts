/**
 * The ABI: nothing but the list of exports. agent/dataplane/core-exports.ts describes each.
 *
 * Exported constants become immutable globals, from which the host learns the layout and the names.
 */
import { fdbCount as rows, fdbFind as find, fdbKey } from './fdb';
import { portExists as hasPort } from './port';

export { init } from './init';
export { tick } from './ageing';
export { runCommands } from './command';
export { fromTap } from './encap';
export { fromTunnel, queueSealed } from './decap';
export { sealJobs, sealReset } from './sealed';
export { txCount, txFailed, txPending, txReset, txTable, txVerdicts } from './transmit';
export { runPeer, singleFailed, spreadRun } from './spread';
export { outCount, outFailed, outReset } from './out';

/** Address of the FDB entry, or 0. */
export function fdbFind(network: u32, macHigh16: u32, macLow32: u32): u32 {
  return find(fdbKey(network, ((macHigh16 as u64) << 32) | (macLow32 as u64))) as u32;
}

export function fdbCount(): u32 {
  return rows();
}

export function portExists(port: u32): bool {
  return hasPort(port);
}

export {
  BINDING_BASE,
  BINDING_IPS,
  BINDING_SIZE,
  COMMAND_HEAD,
  COMMAND_RING,
  COMMAND_SIZE,
  COMMAND_SLOTS,
  COMMAND_TAIL,
  COUNTER_BASE,
  DROP_BASE,
  EVENTS_LOST,
  EVENT_HEAD,
  EVENT_RING,
  EVENT_SIZE,
  EVENT_SLOTS,
  EVENT_TAIL,
  FDB_BASE,
  FDB_ENTRY_SIZE,
  FDB_SLOTS,
  JOB_SIZE,
  LAYOUT_END,
  NEIGHBOUR_BASE,
  NEIGHBOUR_SIZE,
  NEIGHBOUR_SLOTS,
  NETWORK_MAX,
  OPEN_TABLE,
  OUT_MAX,
  OUT_RECORD_SIZE,
  OUT_TABLE,
  PEER_BASE,
  PEER_MAX,
  PEER_SIZE,
  PORT_MAX,
  PUNT_HEAD,
  PUNT_RING,
  PUNT_SIZE,
  PUNT_SLOTS,
  PUNT_TAIL,
  RX_CONTROL_BASE,
  RX_CONTROL_SIZE,
  RX_DATA_BASE,
  RX_DATA_SIZE,
  RX_NAME_BASE,
  RX_NAME_SIZE,
  RX_TABLE,
  RX_VLEN,
  SEAL_TABLE,
  SESSION_BASE,
  SESSION_MAX,
  SESSION_SIZE,
  SINGLE_TABLE,
  TAP_SLOTS,
  TAP_SLOT_BASE,
  TAP_SLOT_SIZE,
  TX_ARENA_BASE,
  TX_ARENA_SIZE,
  TX_MESSAGES,
  TX_SLACK,
  TX_SOCKETS,
} from './layout';
export { PEER_LEARN, PEER_RX_BYTES, PEER_RX_FRAMES, PEER_TX_BYTES, PEER_TX_FRAMES } from './peer';
export { NETWORK_SEALED, NETWORK_SUPPRESS } from './network';
export { OPEN_OK, OPEN_STATUS } from './sealed';
export { SESSION_HIGHEST, SESSION_SEALED } from './session';
export { PORT_OFFLOAD, PORT_REFLECT, PORT_USO } from './port';
export { FDB_LEARNED, FDB_LIMIT, FDB_LOCAL, FDB_STATIC } from './fdb';
export {
  CONFIG_AGEING_SECONDS,
  CONFIG_BROADCAST_PPS,
  CONFIG_LEARN_PPS,
  CONFIG_PROBE_PPS,
  CONFIG_PUNT_PPS,
  CONFIG_REFLECT_UNKNOWN,
  CONFIG_TOO_BIG_PPS,
  CONFIG_UNKNOWN_PPS,
} from './config';
export * from './reason';
export * from './counters';
export {
  OP_BINDING_DEL,
  OP_BINDING_IP,
  OP_BINDING_PUT,
  OP_CONFIG,
  OP_FDB_DEL,
  OP_FDB_PUT,
  OP_FLOOD_DEL,
  OP_FLOOD_PUT,
  OP_NEIGHBOUR_DEL,
  OP_NEIGHBOUR_PUT,
  OP_NETWORK_DEL,
  OP_NETWORK_PUT,
  OP_PEER_DEL,
  OP_PEER_PUT,
  OP_PORT_DEL,
  OP_PORT_PUT,
  OP_SESSION_DEL,
  OP_SESSION_PUT,
  OP_SESSION_USE,
} from './command';
export {
  EVENT_COMMAND_FAILED,
  EVENT_IP_LEARNED,
  EVENT_MAC_EXPIRED,
  EVENT_MAC_LEARNED,
  EVENT_PUNTED,
  EVENT_SESSION_HEARD,
} from './event';
