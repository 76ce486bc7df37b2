/**
 * struct virtio_net_hdr_v1 (virtio 1.2 §5.1.6), 12 bytes, little-endian, in front of every frame of a TAP.
 *
 *   u8 flags @0 · u8 gso_type @1 · u16 hdr_len @2 · u16 gso_size @4 · u16 csum_start @6 · u16 csum_offset @8 · u16 0 @10
 *
 * What comes from a TAP is checked against the frame and never trusted (offload.ts); hdr_len is not read at all.
 */
export const VNET_SIZE: u32 = 12;

export const VNET_NEEDS_CSUM: u32 = 1;

export const GSO_NONE: u32 = 0;
export const GSO_TCPV4: u32 = 1;
export const GSO_TCPV6: u32 = 4;
export const GSO_UDP_L4: u32 = 5;
/** No virtio type: an IPv4 packet to be cut into fragments; never on a TAP. */
export const GSO_FRAGMENTS: u32 = 0x7f;
/** Set beside the TCP types when the first segment carries CWR. */
export const GSO_ECN: u32 = 0x80;

export function vnetFlags(vnet: usize): u32 {
  return load<u8>(vnet);
}

export function vnetGsoType(vnet: usize): u32 {
  return load<u8>(vnet, 1);
}

export function vnetGsoSize(vnet: usize): u32 {
  return load<u16>(vnet, 4);
}

export function vnetCsumStart(vnet: usize): u32 {
  return load<u16>(vnet, 6);
}

export function vnetCsumOffset(vnet: usize): u32 {
  return load<u16>(vnet, 8);
}

/** Asks the kernel to finish the checksum at `start + offset`. */
export function setPartial(vnet: usize, start: u32, offset: u32): void {
  store<u8>(vnet, VNET_NEEDS_CSUM as u8);
  store<u16>(vnet, start as u16, 6);
  store<u16>(vnet, offset as u16, 8);
}

/** Marks a super-frame: headers of `headers` bytes, then payload to be cut every `size` bytes. */
export function setGso(vnet: usize, type: u32, size: u32, headers: u32): void {
  store<u8>(vnet, type as u8, 1);
  store<u16>(vnet, headers as u16, 2);
  store<u16>(vnet, size as u16, 4);
}
