/**
 * Bindings: the one MAC that a port may send from, and the few addresses. A port without one may send from any.
 *
 *   u64 MAC @0 · u64 low half of the link-local address that follows from it @8 · u32 bound @16 · u32 addresses @20
 *   u8[16][8] addresses, IPv4 mapped @24 · u8[16][8] those of the next binding @152
 *
 * A binding is replaced as a whole: its addresses are laid ready one by one, and count when it is put.
 */
import { BINDING_BASE, BINDING_IPS, BINDING_SIZE, PORT_MAX } from './layout';

const LINK_LOCAL: usize = 8;
const BOUND: usize = 16;
const ADDRESSES: usize = 20;
const FIRST: usize = 24;
const READY: usize = 152;

/** fe80::/64, as a little-endian load sees it. */
const LINK_LOCAL_HIGH: u64 = 0x80fe;
const UNIVERSAL_BIT: u64 = 1 << 57;

function bindingAt(port: u32): usize {
  return BINDING_BASE + port * BINDING_SIZE;
}

/** The port's binding, or 0. */
export function bindingOf(port: u32): usize {
  const at = bindingAt(port);
  return load<u32>(at, BOUND) ? at : 0;
}

export function bindingMac(binding: usize): u64 {
  return load<u64>(binding);
}

/** The address, given as two halves, is one that the port may speak from. */
export function bindingHas(binding: usize, high: u64, low: u64): bool {
  const count = load<u32>(binding, ADDRESSES);
  for (let i: u32 = 0; i < count; i++) {
    const at = binding + FIRST + (i << 4);
    if (load<u64>(at, 8) == low && load<u64>(at) == high) return true;
  }
  return high == LINK_LOCAL_HIGH && low == load<u64>(binding, LINK_LOCAL);
}

/** Lays an address ready for the next put. False: out of range. */
export function bindingReady(port: u32, place: u32, ip: usize): bool {
  if (port >= PORT_MAX || place >= BINDING_IPS) return false;
  const at = bindingAt(port) + READY + (place << 4);
  store<u64>(at, load<u64>(ip));
  store<u64>(at, load<u64>(ip, 8), 8);
  return true;
}

/** Binds the port to a MAC and the first `count` of the addresses laid ready. It may be put before its port. */
export function bindingPut(port: u32, mac: u64, count: u32): bool {
  if (port >= PORT_MAX || count > BINDING_IPS) return false;
  const at = bindingAt(port);
  store<u64>(at, mac);
  store<u64>(at, linkLocalOf(mac), LINK_LOCAL);
  memory.copy(at + FIRST, at + READY, count << 4);
  store<u32>(at, count, ADDRESSES);
  store<u32>(at, 1, BOUND);
  return true;
}

export function bindingForget(port: u32): void {
  memory.fill(bindingAt(port), 0, BINDING_SIZE);
}

/** The interface identifier that a MAC makes (RFC 4291 appendix A), as a little-endian load sees it. */
function linkLocalOf(mac: u64): u64 {
  const front = (mac & 0xffffff000000) << 16;
  return bswap<u64>((front | 0xfffe000000 | (mac & 0xffffff)) ^ UNIVERSAL_BIT);
}
