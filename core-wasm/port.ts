/**
 * Ports: one TAP each, member of one network.
 *
 *   u32 flags @0 · u32 network @4 · u32 next port of the network + 1 @8 · u32 MAC quota @12 · u32 MACs @16 · u32 IPs @20
 *   bucket: learning @24 · bucket: unknown unicast @32 · bucket: broadcast and multicast @40
 *   bucket: packets too big @48
 */
import { NETWORK_MAX, PORT_BASE, PORT_MAX, PORT_SIZE } from './layout';
import { NETWORK_FIRST_PORT, networkAt } from './network';
import {
  CONFIG_BROADCAST_PPS,
  CONFIG_LEARN_PPS,
  CONFIG_TOO_BIG_PPS,
  CONFIG_UNKNOWN_PPS,
  config,
} from './config';
import { fill } from './bucket';

/** Frames whose destination is behind the same port go back out of it (macvlan in vepa or private mode). */
export const PORT_REFLECT: u32 = 1;
/** TCP super-frames may be written. */
export const PORT_OFFLOAD: u32 = 2;
/** UDP super-frames may be written. */
export const PORT_USO: u32 = 4;
const PORT_USED: u32 = 0x8000;

export const PORT_QUOTA: usize = 12;
export const PORT_MACS: usize = 16;
export const PORT_IPS: usize = 20;
export const PORT_LEARN_BUCKET: usize = 24;
export const PORT_UNKNOWN_BUCKET: usize = 32;
export const PORT_STORM_BUCKET: usize = 40;
export const PORT_TOO_BIG_BUCKET: usize = 48;
const PORT_NETWORK: usize = 4;
const PORT_NEXT: usize = 8;

export function portAt(port: u32): usize {
  return PORT_BASE + port * PORT_SIZE;
}

export function portExists(port: u32): bool {
  return port < PORT_MAX && (load<u32>(portAt(port)) & PORT_USED) != 0;
}

export function portHas(port: u32, flag: u32): bool {
  return (load<u32>(portAt(port)) & flag) != 0;
}

export function portNetwork(port: u32): u32 {
  return load<u32>(portAt(port), PORT_NETWORK);
}

/** First and next port of a network, as index + 1; 0 ends the list. */
export function firstPort(network: u32): u32 {
  return load<u32>(networkAt(network), NETWORK_FIRST_PORT);
}

export function nextPort(port: u32): u32 {
  return load<u32>(portAt(port), PORT_NEXT);
}

/** Adds to the port's MACs or IPs. */
export function portCount(port: u32, field: usize, amount: i32): void {
  const at = portAt(port) + field;
  store<i32>(at, load<i32>(at) + amount);
  assert(load<i32>(at) >= 0);
}

/** Makes or changes a port. The caller has dropped its rows if the network changes. False: out of range. */
export function portPut(port: u32, network: u32, quota: u32, flags: u32): bool {
  if (port >= PORT_MAX || network >= NETWORK_MAX) return false;
  const at = portAt(port);
  if (portExists(port)) {
    if (portNetwork(port) != network) unlink(port);
  } else {
    fill(at + PORT_LEARN_BUCKET, config(CONFIG_LEARN_PPS));
    fill(at + PORT_UNKNOWN_BUCKET, config(CONFIG_UNKNOWN_PPS));
    fill(at + PORT_STORM_BUCKET, config(CONFIG_BROADCAST_PPS));
    fill(at + PORT_TOO_BIG_BUCKET, config(CONFIG_TOO_BIG_PPS));
  }
  if (!portExists(port) || portNetwork(port) != network) link(port, network);
  store<u32>(at, (flags & (PORT_REFLECT | PORT_OFFLOAD | PORT_USO)) | PORT_USED);
  store<u32>(at, quota, PORT_QUOTA);
  return true;
}

/** Forgets a port whose rows are gone. */
export function portForget(port: u32): void {
  unlink(port);
  memory.fill(portAt(port), 0, PORT_SIZE);
}

function link(port: u32, network: u32): void {
  const list = networkAt(network) + NETWORK_FIRST_PORT;
  store<u32>(portAt(port), network, PORT_NETWORK);
  store<u32>(portAt(port), load<u32>(list), PORT_NEXT);
  store<u32>(list, port + 1);
}

function unlink(port: u32): void {
  let at = networkAt(portNetwork(port)) + NETWORK_FIRST_PORT;
  while (load<u32>(at) != port + 1) at = portAt(load<u32>(at) - 1) + PORT_NEXT;
  store<u32>(at, nextPort(port));
}
