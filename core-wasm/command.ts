/**
 * Commands from control: idempotent rows, taken from a single-producer, single-consumer ring between packets.
 *
 * A command that cannot be applied (index out of range, table full) changes nothing, and comes back as
 * EVENT_COMMAND_FAILED with its op and sequence.
 */
import { count } from './account';
import {
  COMMAND_HEAD,
  COMMAND_RING,
  COMMAND_SIZE,
  COMMAND_SLOTS,
  COMMAND_TAIL,
  NETWORK_MAX,
  PORT_MAX,
} from './layout';
import { bindingForget, bindingPut, bindingReady } from './binding';
import { loadMac } from './bytes';
import { COUNTER_COMMANDS, COUNTER_COMMANDS_FAILED } from './counters';
import { CONFIG_KEYS, setConfig } from './config';
import { EVENT_COMMAND_FAILED, emit } from './event';
import {
  NETWORK_FDB_ROWS,
  NETWORK_NEIGHBOUR_ROWS,
  networkAt,
  networkExists,
  networkForget,
  networkPut,
} from './network';
import { PORT_IPS, PORT_MACS, portAt, portExists, portForget, portNetwork, portPut } from './port';
import { PEER_FDB_ROWS, peerAt, peerExists, peerForget, peerPut } from './peer';
import { floodClear, floodDelete, floodPut } from './flood';
import { sessionForget, sessionPut, sessionUse, sessionsDropPeer } from './session';
import {
  FDB_LOCAL,
  FDB_STATIC,
  entryHas,
  fdbDropDestination,
  fdbDropNetwork,
  fdbFind,
  fdbInsert,
  fdbKey,
  fdbMove,
  fdbRemove,
} from './fdb';
import {
  neighbourDropNetwork,
  neighbourDropPort,
  neighbourFind,
  neighbourInsert,
  neighbourIsLocal,
  neighbourMac,
  neighbourRemove,
  neighbourSet,
} from './neighbour';

export const OP_NETWORK_PUT: u32 = 1;
export const OP_NETWORK_DEL: u32 = 2;
export const OP_PORT_PUT: u32 = 3;
export const OP_PORT_DEL: u32 = 4;
export const OP_PEER_PUT: u32 = 5;
export const OP_PEER_DEL: u32 = 6;
export const OP_FLOOD_PUT: u32 = 7;
export const OP_FLOOD_DEL: u32 = 8;
export const OP_FDB_PUT: u32 = 9;
export const OP_FDB_DEL: u32 = 10;
export const OP_NEIGHBOUR_PUT: u32 = 11;
export const OP_NEIGHBOUR_DEL: u32 = 12;
export const OP_CONFIG: u32 = 13;
export const OP_SESSION_PUT: u32 = 14;
export const OP_SESSION_USE: u32 = 15;
export const OP_SESSION_DEL: u32 = 16;
export const OP_BINDING_IP: u32 = 17;
export const OP_BINDING_PUT: u32 = 18;
export const OP_BINDING_DEL: u32 = 19;

/** Offsets in a record. */
const FLAGS: usize = 2;
const A: usize = 4;
const B: usize = 8;
const C: usize = 12;
const MAC: usize = 16;
const IP: usize = 24;
const D: usize = 40;
const SEQUENCE: usize = 44;

/** Applies up to `max` waiting commands; returns how many. */
export function runCommands(max: u32): u32 {
  let done: u32 = 0;
  let tail = atomic.load<u32>(COMMAND_TAIL);
  while (done < max && tail != atomic.load<u32>(COMMAND_HEAD)) {
    const at: usize = COMMAND_RING + (tail & (COMMAND_SLOTS - 1)) * COMMAND_SIZE;
    count(COUNTER_COMMANDS, 1);
    if (!apply(at)) {
      count(COUNTER_COMMANDS_FAILED, 1);
      emit(
        EVENT_COMMAND_FAILED,
        load<u32>(at, A),
        0,
        load<u16>(at),
        load<u32>(at, SEQUENCE),
        loadMac(at + MAC),
        at + IP,
      );
    }
    atomic.store<u32>(COMMAND_TAIL, ++tail);
    done++;
  }
  return done;
}

/** The one dispatch over all commands. False: refused, nothing changed. */
function apply(at: usize): bool {
  const op: u32 = load<u16>(at);
  const flags: u32 = load<u16>(at, FLAGS);
  const a = load<u32>(at, A);
  const b = load<u32>(at, B);
  const c = load<u32>(at, C);
  switch (op) {
    case OP_NETWORK_PUT:
      return networkPut(a, b, flags);
    case OP_NETWORK_DEL:
      return dropNetwork(a);
    case OP_PORT_PUT:
      if (portExists(a) && portNetwork(a) != b && b < NETWORK_MAX) dropPortRows(a);
      return portPut(a, b, c, flags);
    case OP_PORT_DEL:
      return dropPort(a);
    case OP_PEER_PUT:
      return peerPut(a, at + IP, b, c, flags);
    case OP_PEER_DEL:
      return dropPeer(a);
    case OP_FLOOD_PUT:
      if (!networkExists(a) || !peerExists(b)) return false;
      floodPut(a, b);
      return true;
    case OP_FLOOD_DEL:
      if (a >= NETWORK_MAX || b > 0xffff) return false;
      if (peerExists(b)) floodDelete(a, b);
      return true;
    case OP_FDB_PUT:
      return putRow(a, loadMac(at + MAC), b, flags);
    case OP_FDB_DEL:
      return deleteRow(a, loadMac(at + MAC), flags);
    case OP_NEIGHBOUR_PUT:
      return putNeighbour(a, at + IP, loadMac(at + MAC));
    case OP_NEIGHBOUR_DEL:
      return deleteNeighbour(a, at + IP, loadMac(at + MAC));
    case OP_CONFIG:
      if (a == 0 || a >= CONFIG_KEYS) return false;
      setConfig(a, b);
      return true;
    case OP_SESSION_PUT:
      return sessionPut(a, b, c, load<u32>(at, D), at + IP);
    case OP_SESSION_USE:
      return sessionUse(a);
    case OP_SESSION_DEL:
      sessionForget(a);
      return true;
    case OP_BINDING_IP:
      return bindingReady(a, b, at + IP);
    case OP_BINDING_PUT:
      return isUnicast(loadMac(at + MAC)) && bindingPut(a, loadMac(at + MAC), b);
    case OP_BINDING_DEL:
      if (a >= PORT_MAX) return false;
      bindingForget(a);
      return true;
    default:
      return false;
  }
}

function dropNetwork(network: u32): bool {
  if (network >= NETWORK_MAX) return false;
  if (!networkExists(network)) return true;
  const at = networkAt(network);
  fdbDropNetwork(network, load<u32>(at, NETWORK_FDB_ROWS));
  neighbourDropNetwork(network, load<u32>(at, NETWORK_NEIGHBOUR_ROWS));
  floodClear(network);
  networkForget(network);
  return true;
}

function dropPortRows(port: u32): void {
  fdbDropDestination(FDB_LOCAL, port, load<u32>(portAt(port), PORT_MACS));
  neighbourDropPort(port, load<u32>(portAt(port), PORT_IPS));
}

function dropPort(port: u32): bool {
  if (portExists(port)) {
    dropPortRows(port);
    portForget(port);
  }
  if (port < PORT_MAX) bindingForget(port);
  return true;
}

function dropPeer(peer: u32): bool {
  if (peerExists(peer)) {
    fdbDropDestination(0, peer, load<u32>(peerAt(peer), PEER_FDB_ROWS));
    for (let network: u32 = 0; network < NETWORK_MAX; network++) floodDelete(network, peer);
    sessionsDropPeer(peer);
    peerForget(peer);
  }
  return true;
}

function isUnicast(mac: u64): bool {
  return mac != 0 && (mac & 0x010000000000) == 0;
}

function putRow(network: u32, mac: u64, destination: u32, flags: u32): bool {
  if (!networkExists(network) || !isUnicast(mac)) return false;
  const local = (flags & FDB_LOCAL) != 0;
  if (local ? !portExists(destination) || portNetwork(destination) != network : !peerExists(destination))
    return false;
  const kept = flags & (FDB_LOCAL | FDB_STATIC);
  const entry = fdbFind(fdbKey(network, mac));
  if (!entry) return fdbInsert(fdbKey(network, mac), destination, kept) != 0;
  fdbMove(entry, destination, kept);
  return true;
}

/** Removes the row if it is of the kind that the caller means; a row that is not there is no failure. */
function deleteRow(network: u32, mac: u64, flags: u32): bool {
  if (network >= NETWORK_MAX) return false;
  const entry = fdbFind(fdbKey(network, mac));
  if (entry && entryHas(entry, FDB_LOCAL) == ((flags & FDB_LOCAL) != 0)) fdbRemove(entry);
  return true;
}

function putNeighbour(network: u32, ip: usize, mac: u64): bool {
  if (!networkExists(network) || !isUnicast(mac)) return false;
  const high = load<u64>(ip);
  const low = load<u64>(ip, 8);
  const entry = neighbourFind(network, high, low);
  if (!entry) return neighbourInsert(network, high, low, mac, 0, 0);
  // A row put again keeps what was seen of its owner since.
  if (neighbourIsLocal(entry) || neighbourMac(entry) != mac) neighbourSet(entry, mac, 0, 0);
  return true;
}

/** Removes a commanded row that names this MAC (or any, if zero); what was snooped here stays. */
function deleteNeighbour(network: u32, ip: usize, mac: u64): bool {
  if (network >= NETWORK_MAX) return false;
  const entry = neighbourFind(network, load<u64>(ip), load<u64>(ip, 8));
  if (entry && !neighbourIsLocal(entry) && (mac == 0 || neighbourMac(entry) == mac)) neighbourRemove(entry);
  return true;
}
