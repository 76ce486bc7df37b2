/**
 * The forwarding table: (network, MAC) → local port or peer.
 *
 * Open addressing with linear probing at a load of at most a half, and backward-shift deletion (Knuth 6.4 R): no
 * tombstones, so a look-up's cost does not depend on history. The slots in use double with the rows, from 2^12 up to
 * 2^21, so that a small table stays in the nearest cache; they never become fewer. An entry is 16 bytes:
 *
 *   u64 key = network << 48 | MAC, 0 = free · u16 destination · u16 flags · u32 seconds of `tick` when last seen
 *
 * This file keeps the row counts of networks, ports and peers in step with the entries; nobody else writes entries.
 * It does not decide who may learn (learn.ts) or when to forget (ageing.ts).
 */
import { FDB_BASE, FDB_SCRATCH, FDB_SLOTS, STATE_FDB_BITS, STATE_FDB_COUNT } from './layout';
import { hash } from './bytes';
import { nowSeconds } from './config';
import { NETWORK_FDB_ROWS, networkCount } from './network';
import { PORT_MACS, portCount } from './port';
import { PEER_FDB_ROWS, PEER_LEARNT_ROWS, peerRows } from './peer';

/** Destination is a port, else a peer. */
export const FDB_LOCAL: u32 = 1;
/** Local learning cannot move it. */
export const FDB_STATIC: u32 = 2;
/** Put there by traffic, not by command. */
export const FDB_LEARNED: u32 = 4;

const FIRST_BITS: u32 = 12;
/** Half of the slots: probes stay short and every probe meets a free slot. */
export const FDB_LIMIT: u32 = FDB_SLOTS / 2;

const DESTINATION: usize = 8;
const FLAGS: usize = 10;
const SEEN: usize = 12;

export function fdbKey(network: u32, mac: u64): u64 {
  return ((network as u64) << 48) | mac;
}

/** Slots in use. */
export function fdbSlots(): u32 {
  return 1 << load<u32>(STATE_FDB_BITS);
}

export function fdbAt(slot: u32): usize {
  return FDB_BASE + ((slot & (fdbSlots() - 1)) << 4);
}

export function fdbInit(): void {
  store<u32>(STATE_FDB_BITS, FIRST_BITS);
}

export function entryNetwork(entry: usize): u32 {
  return (load<u64>(entry) >> 48) as u32;
}

export function entryMac(entry: usize): u64 {
  return load<u64>(entry) & 0xffffffffffff;
}

export function entryDestination(entry: usize): u32 {
  return load<u16>(entry, DESTINATION);
}

export function entryHas(entry: usize, flag: u32): bool {
  return ((load<u16>(entry, FLAGS) as u32) & flag) != 0;
}

export function entrySeen(entry: usize): u32 {
  return load<u32>(entry, SEEN);
}

/** Notes that the address is alive; writes once a second, not once a frame. */
export function entryTouch(entry: usize): void {
  const now = nowSeconds();
  if (load<u32>(entry, SEEN) != now) store<u32>(entry, now, SEEN);
}

function home(key: u64): u32 {
  return (hash(key) >> (64 - load<u32>(STATE_FDB_BITS))) as u32;
}

/** The entry of a key, or 0. */
export function fdbFind(key: u64): usize {
  let slot = home(key);
  let entry = fdbAt(slot);
  let there = load<u64>(entry);
  while (there != 0) {
    if (there == key) return entry;
    entry = fdbAt(++slot);
    there = load<u64>(entry);
  }
  return 0;
}

export function fdbCount(): u32 {
  return load<u32>(STATE_FDB_COUNT);
}

/** Moves the row counts that an entry's destination stands for. */
function countDestination(entry: usize, amount: i32): void {
  const destination = entryDestination(entry);
  if (entryHas(entry, FDB_LOCAL)) {
    portCount(destination, PORT_MACS, amount);
    return;
  }
  peerRows(destination, PEER_FDB_ROWS, amount);
  if (entryHas(entry, FDB_LEARNED)) peerRows(destination, PEER_LEARNT_ROWS, amount);
}

/** Points an existing entry somewhere else. */
export function fdbMove(entry: usize, destination: u32, flags: u32): void {
  countDestination(entry, -1);
  store<u16>(entry, destination as u16, DESTINATION);
  store<u16>(entry, flags as u16, FLAGS);
  store<u32>(entry, nowSeconds(), SEEN);
  countDestination(entry, 1);
}

/** Adds a key that is not there; 0 when the table is full. */
export function fdbInsert(key: u64, destination: u32, flags: u32): usize {
  const rows = fdbCount();
  if (rows >= FDB_LIMIT) return 0;
  if (rows >= fdbSlots() / 2) grow();
  let slot = home(key);
  while (load<u64>(fdbAt(slot))) slot++;
  const entry = fdbAt(slot);
  store<u64>(entry, key);
  store<u16>(entry, destination as u16, DESTINATION);
  store<u16>(entry, flags as u16, FLAGS);
  store<u32>(entry, nowSeconds(), SEEN);
  store<u32>(STATE_FDB_COUNT, rows + 1);
  networkCount(entryNetwork(entry), NETWORK_FDB_ROWS, 1);
  countDestination(entry, 1);
  return entry;
}

/** Doubles the slots in use: rows go to the scratch region and back to their new places. */
function grow(): void {
  const bytes = fdbSlots() << 4;
  memory.copy(FDB_SCRATCH, FDB_BASE, bytes);
  memory.fill(FDB_BASE, 0, bytes);
  store<u32>(STATE_FDB_BITS, load<u32>(STATE_FDB_BITS) + 1);
  for (let from: u32 = FDB_SCRATCH; from < FDB_SCRATCH + bytes; from += 16) {
    const key = load<u64>(from);
    if (key == 0) continue;
    let slot = home(key);
    while (load<u64>(fdbAt(slot))) slot++;
    v128.store(fdbAt(slot), v128.load(from));
  }
}

/** Removes an entry. Another may move into its place, so a walk must look at the same slot again. */
export function fdbRemove(entry: usize): void {
  assert(load<u64>(entry) != 0);
  networkCount(entryNetwork(entry), NETWORK_FDB_ROWS, -1);
  countDestination(entry, -1);
  store<u32>(STATE_FDB_COUNT, fdbCount() - 1);
  const mask = fdbSlots() - 1;
  let hole: u32 = ((entry as u32) - FDB_BASE) >> 4;
  let next = hole;
  while (true) {
    next = (next + 1) & mask;
    const candidate = fdbAt(next);
    const key = load<u64>(candidate);
    if (key == 0) break;
    // It may fill the hole unless its home lies behind the hole, cyclically.
    if (((next - home(key)) & mask) < ((next - hole) & mask)) continue;
    v128.store(fdbAt(hole), v128.load(candidate));
    hole = next;
  }
  v128.store(fdbAt(hole), i64x2.splat(0));
}

/** Removes every row of a network. */
export function fdbDropNetwork(network: u32, rows: u32): void {
  for (let slot: u32 = 0; rows && slot < fdbSlots(); slot++) {
    const entry = fdbAt(slot);
    while (load<u64>(entry) && entryNetwork(entry) == network) {
      fdbRemove(entry);
      rows--;
    }
  }
}

/** Removes every row that points to a port (`kind` FDB_LOCAL) or to a peer (`kind` 0). */
export function fdbDropDestination(kind: u32, destination: u32, rows: u32): void {
  for (let slot: u32 = 0; rows && slot < fdbSlots(); slot++) {
    const entry = fdbAt(slot);
    while (
      load<u64>(entry) &&
      entryDestination(entry) == destination &&
      entryHas(entry, FDB_LOCAL) == (kind != 0)
    ) {
      fdbRemove(entry);
      rows--;
    }
  }
}
