/**
 * Networks: index → VNI and what hangs on it.
 *
 *   u32 VNI @0 · u32 flags @4 · u32 first port + 1 @8 · u32 FDB rows @12 · u32 neighbour rows @16 · u32 flood peers @20
 *
 * The row counts let a deletion skip or cut short its walk over a big table.
 */
import { NETWORK_BASE, NETWORK_MAX, NETWORK_SIZE, VNI_HASH_BASE, VNI_HASH_SLOTS } from './layout';
import { hash } from './bytes';

/** Answer ARP and neighbour solicitations from the table. */
export const NETWORK_SUPPRESS: u32 = 1;
/** Its frames go, and are taken, sealed only. */
export const NETWORK_SEALED: u32 = 2;
const NETWORK_USED: u32 = 0x8000;

export const NETWORK_FIRST_PORT: usize = 8;
export const NETWORK_FDB_ROWS: usize = 12;
export const NETWORK_NEIGHBOUR_ROWS: usize = 16;
export const NETWORK_FLOOD_PEERS: usize = 20;
const NETWORK_FLAGS: usize = 4;

/** VXLAN carries 24 bits. */
const LARGEST_VNI: u32 = 0xffffff;
export const NO_NETWORK: u32 = 0xffffffff;

export function networkAt(network: u32): usize {
  return NETWORK_BASE + network * NETWORK_SIZE;
}

export function networkExists(network: u32): bool {
  return network < NETWORK_MAX && (load<u32>(networkAt(network), NETWORK_FLAGS) & NETWORK_USED) != 0;
}

export function networkVni(network: u32): u32 {
  return load<u32>(networkAt(network));
}

export function networkSuppresses(network: u32): bool {
  return (load<u32>(networkAt(network), NETWORK_FLAGS) & NETWORK_SUPPRESS) != 0;
}

export function networkIsSealed(network: u32): bool {
  return (load<u32>(networkAt(network), NETWORK_FLAGS) & NETWORK_SEALED) != 0;
}

function vniSlot(slot: u32): usize {
  return VNI_HASH_BASE + ((slot & (VNI_HASH_SLOTS - 1)) << 2);
}

function vniHome(vni: u32): u32 {
  return (hash(vni) >> 52) as u32;
}

/** The network that has this VNI, or NO_NETWORK. */
export function findVni(vni: u32): u32 {
  let slot = vniHome(vni);
  let found = load<u32>(vniSlot(slot));
  while (found) {
    if (networkVni(found - 1) == vni) return found - 1;
    found = load<u32>(vniSlot(++slot));
  }
  return NO_NETWORK;
}

function enter(network: u32): void {
  let slot = vniHome(networkVni(network));
  while (load<u32>(vniSlot(slot))) slot++;
  store<u32>(vniSlot(slot), network + 1);
}

function rehash(): void {
  memory.fill(VNI_HASH_BASE, 0, VNI_HASH_SLOTS << 2);
  for (let network: u32 = 0; network < NETWORK_MAX; network++) {
    if (networkExists(network)) enter(network);
  }
}

/** False when the index or VNI is out of range, or another network has the VNI. */
export function networkPut(network: u32, vni: u32, flags: u32): bool {
  if (network >= NETWORK_MAX || vni > LARGEST_VNI) return false;
  const owner = findVni(vni);
  if (owner != NO_NETWORK && owner != network) return false;
  const at = networkAt(network);
  const existed = networkExists(network);
  store<u32>(at, vni);
  store<u32>(at, (flags & (NETWORK_SUPPRESS | NETWORK_SEALED)) | NETWORK_USED, NETWORK_FLAGS);
  if (!existed) enter(network);
  else if (owner != network) rehash();
  return true;
}

/** Forgets the network itself; its rows are the caller's to drop first. Its ports stay listed for a later put. */
export function networkForget(network: u32): void {
  const at = networkAt(network);
  store<u32>(at, 0);
  store<u32>(at, 0, NETWORK_FLAGS);
  rehash();
}

/** Adds to one of the row counts. */
export function networkCount(network: u32, field: usize, amount: i32): void {
  const at = networkAt(network) + field;
  store<i32>(at, load<i32>(at) + amount);
  assert(load<i32>(at) >= 0);
}
