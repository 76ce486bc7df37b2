/**
 * Ethernet II and 802.1Q tags.
 *
 *   destination 6 @0 · source 6 @6 · type u16 @12       a tag: type 0x8100 or 0x88a8, then 2 bytes, then the type
 *
 * Tags pass untouched; they only shift where the payload begins.
 */
import { load16, load32 } from './bytes';

export const ETHERNET_SIZE: u32 = 14;
export const ETHERNET_SOURCE: usize = 6;
export const ETHERNET_TYPE: usize = 12;
export const TAG_SIZE: u32 = 4;
/** More tags than QinQ needs are payload. */
export const MAX_TAGS: u32 = 2;

export const TYPE_IPV4: u32 = 0x0800;
export const TYPE_ARP: u32 = 0x0806;
export const TYPE_IPV6: u32 = 0x86dd;
const TYPE_VLAN: u32 = 0x8100;
const TYPE_SERVICE_VLAN: u32 = 0x88a8;

export function isTag(type: u32): bool {
  return type == TYPE_VLAN || type == TYPE_SERVICE_VLAN;
}

export function isZeroMac(mac: usize): bool {
  return load<u32>(mac) == 0 && load<u16>(mac, 4) == 0;
}

/** 01:80:c2:00:00:00 to 0f: spoken between neighbouring bridges, never forwarded by one (IEEE 802.1Q 8.6.3). */
export function isLinkLocal(mac: usize): bool {
  return load32(mac) == 0x0180c200 && (load16(mac + 4) & 0xfff0) == 0;
}

export function isBroadcast(mac: usize): bool {
  return load<u32>(mac) == 0xffffffff && load<u16>(mac, 4) == 0xffff;
}
