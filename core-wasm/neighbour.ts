/**
 * The neighbour table: (network, IP) → MAC, for answering ARP (RFC 826) and neighbour solicitations (RFC 4861).
 *
 *   u8[16] ip @0, IPv4 mapped · u64 network << 48 | MAC @16 · u16 flags @24 · u16 port @26 · u32 zero @28
 *
 * Same scheme as the FDB. Commanded rows name what other hosts own; local rows are snooped from this host's own ports
 * and never override a commanded one. A local row lives as long as its MAC is local (ageing.ts).
 */
import { NEIGHBOUR_BASE, NEIGHBOUR_SIZE, NEIGHBOUR_SLOTS, STATE_NEIGHBOUR_COUNT } from './layout';
import { hash, hashMore } from './bytes';
import { NETWORK_NEIGHBOUR_ROWS, networkCount } from './network';
import { PORT_IPS, portCount } from './port';

const NEIGHBOUR_USED: u32 = 1;
export const NEIGHBOUR_LOCAL: u32 = 2;
/** It advertises itself as a router: an answer that lacks the R flag would unmake it (RFC 4861 §7.2.5). */
const NEIGHBOUR_ROUTER: u32 = 4;

const MASK: u32 = NEIGHBOUR_SLOTS - 1;
const HASH_SHIFT: u64 = 64 - 18;
const NEIGHBOUR_LIMIT: u32 = NEIGHBOUR_SLOTS / 2;

const OWNER: usize = 16;
const FLAGS: usize = 24;
const PORT: usize = 26;

/** The high half of every IPv4-mapped address, and what stands before the four bytes in the low half. */
export const MAPPED_HIGH: u64 = 0;
const MAPPED_LOW: u64 = 0xffff0000;

/** The low half of an IPv4 address at `at`, as the table keeps it. */
export function mappedLow(at: usize): u64 {
  return MAPPED_LOW | ((load<u32>(at) as u64) << 32);
}

export function neighbourAt(slot: u32): usize {
  return NEIGHBOUR_BASE + ((slot & MASK) << 5);
}

export function neighbourUsed(entry: usize): bool {
  return load<u16>(entry, FLAGS) != 0;
}

export function neighbourNetwork(entry: usize): u32 {
  return (load<u64>(entry, OWNER) >> 48) as u32;
}

export function neighbourMac(entry: usize): u64 {
  return load<u64>(entry, OWNER) & 0xffffffffffff;
}

export function neighbourIsLocal(entry: usize): bool {
  return ((load<u16>(entry, FLAGS) as u32) & NEIGHBOUR_LOCAL) != 0;
}

export function neighbourIsRouter(entry: usize): bool {
  return ((load<u16>(entry, FLAGS) as u32) & NEIGHBOUR_ROUTER) != 0;
}

export function neighbourSetRouter(entry: usize): void {
  store<u16>(entry, ((load<u16>(entry, FLAGS) as u32) | NEIGHBOUR_ROUTER) as u16, FLAGS);
}

export function neighbourPort(entry: usize): u32 {
  return load<u16>(entry, PORT);
}

export function neighbourCount(): u32 {
  return load<u32>(STATE_NEIGHBOUR_COUNT);
}

function home(network: u32, high: u64, low: u64): u32 {
  return (hashMore(hashMore(hash(network), high), low) >> HASH_SHIFT) as u32;
}

function homeOf(entry: usize): u32 {
  return home(neighbourNetwork(entry), load<u64>(entry), load<u64>(entry, 8));
}

/** The entry of an address given as two halves of its 16 bytes, or 0. */
export function neighbourFind(network: u32, high: u64, low: u64): usize {
  let slot = home(network, high, low);
  let entry = neighbourAt(slot);
  while (neighbourUsed(entry)) {
    if (load<u64>(entry, 8) == low && load<u64>(entry) == high && neighbourNetwork(entry) == network) {
      return entry;
    }
    entry = neighbourAt(++slot);
  }
  return 0;
}

/** Gives an existing entry another owner. */
export function neighbourSet(entry: usize, mac: u64, flags: u32, port: u32): void {
  if (neighbourIsLocal(entry)) portCount(neighbourPort(entry), PORT_IPS, -1);
  store<u64>(entry, ((neighbourNetwork(entry) as u64) << 48) | mac, OWNER);
  store<u16>(entry, (flags | NEIGHBOUR_USED) as u16, FLAGS);
  store<u16>(entry, port as u16, PORT);
  if (flags & NEIGHBOUR_LOCAL) portCount(port, PORT_IPS, 1);
}

/** Adds an address that is not there; false when the table is full. */
export function neighbourInsert(network: u32, high: u64, low: u64, mac: u64, flags: u32, port: u32): bool {
  if (neighbourCount() >= NEIGHBOUR_LIMIT) return false;
  let slot = home(network, high, low);
  while (neighbourUsed(neighbourAt(slot))) slot++;
  const entry = neighbourAt(slot);
  store<u64>(entry, high);
  store<u64>(entry, low, 8);
  store<u64>(entry, (network as u64) << 48, OWNER);
  neighbourSet(entry, mac, flags, port);
  store<u32>(STATE_NEIGHBOUR_COUNT, neighbourCount() + 1);
  networkCount(network, NETWORK_NEIGHBOUR_ROWS, 1);
  return true;
}

/** Removes an entry by backward shift, as fdbRemove does. */
export function neighbourRemove(entry: usize): void {
  if (neighbourIsLocal(entry)) portCount(neighbourPort(entry), PORT_IPS, -1);
  networkCount(neighbourNetwork(entry), NETWORK_NEIGHBOUR_ROWS, -1);
  store<u32>(STATE_NEIGHBOUR_COUNT, neighbourCount() - 1);
  let hole: u32 = ((entry as u32) - NEIGHBOUR_BASE) >> 5;
  let next = hole;
  while (true) {
    next = (next + 1) & MASK;
    const candidate = neighbourAt(next);
    if (!neighbourUsed(candidate)) break;
    if (((next - homeOf(candidate)) & MASK) < ((next - hole) & MASK)) continue;
    v128.store(neighbourAt(hole), v128.load(candidate));
    v128.store(neighbourAt(hole), v128.load(candidate, 16), 16);
    hole = next;
  }
  memory.fill(neighbourAt(hole), 0, NEIGHBOUR_SIZE);
}

/** Removes every row of a network. */
export function neighbourDropNetwork(network: u32, rows: u32): void {
  for (let slot: u32 = 0; rows && slot < NEIGHBOUR_SLOTS; slot++) {
    const entry = neighbourAt(slot);
    while (neighbourUsed(entry) && neighbourNetwork(entry) == network) {
      neighbourRemove(entry);
      rows--;
    }
  }
}

/** Removes what was snooped behind a port. */
export function neighbourDropPort(port: u32, rows: u32): void {
  for (let slot: u32 = 0; rows && slot < NEIGHBOUR_SLOTS; slot++) {
    const entry = neighbourAt(slot);
    while (neighbourUsed(entry) && neighbourIsLocal(entry) && neighbourPort(entry) == port) {
      neighbourRemove(entry);
      rows--;
    }
  }
}
