/**
 * VXLAN (RFC 7348 §5).
 *
 *   flags @0, of which I = 0x08 · reserved 3 @1 · VNI 3 @4 · reserved @7
 *
 * Reserved bits are sent as zero and ignored on receipt.
 */
import { load32 } from './bytes';

export const VXLAN_SIZE: u32 = 8;
const FLAG_VNI: u32 = 0x08;

/** The whole header of a network, as one store. */
export function vxlanHeader(vni: u32): u64 {
  return (FLAG_VNI as u64) | ((bswap<u32>(vni << 8) as u64) << 32);
}

export function vxlanHasVni(header: usize): bool {
  return ((load<u8>(header) as u32) & FLAG_VNI) != 0;
}

export function vxlanVni(header: usize): u32 {
  return load32(header + 4) >> 8;
}
