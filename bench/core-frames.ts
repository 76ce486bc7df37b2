/** The frames that the core's microbench feeds it: a virtio header of 12 bytes and Ethernet, as a TAP read gives them. */

export type Read = Uint8Array;

const VNET = 12;
const ETHERNET = 14;
const IPV4 = 20;
const TCP = 32;
const UDP = 8;

/** Destination and source as core-tables.ts has them: known at a peer, and local. */
const DESTINATION = [2, 0, 0, 0, 0, 2] as const;
const SOURCE = [2, 0, 0, 0, 0, 1] as const;

/** An IPv4 frame with the transport header zero but for what the core reads. */
function frame(
  protocol: 'tcp' | 'udp',
  payload: number,
  vnet: { gsoType: number; gsoSize: number; csum: boolean },
): Read {
  const transport = protocol === 'tcp' ? TCP : UDP;
  const read = new Uint8Array(VNET + ETHERNET + IPV4 + transport + payload);
  const view = new DataView(read.buffer);
  const ip = VNET + ETHERNET;
  const l4 = ip + IPV4;
  read[0] = vnet.csum ? 1 : 0;
  read[1] = vnet.gsoType;
  view.setUint16(4, vnet.gsoSize, true);
  view.setUint16(6, vnet.csum ? ETHERNET + IPV4 : 0, true);
  view.setUint16(8, vnet.csum ? (protocol === 'tcp' ? 16 : 6) : 0, true);
  read.set([...DESTINATION, ...SOURCE, 8, 0, 0x45, 0], VNET);
  view.setUint16(ip + 2, IPV4 + transport + payload);
  read.set([0x40, 0, 64, protocol === 'tcp' ? 6 : 17, 0, 0, 10, 42, 0, 1, 10, 42, 0, 2], ip + 6);
  view.setUint16(l4, 40000);
  view.setUint16(l4 + 2, 5201);
  if (protocol === 'tcp') {
    read[l4 + 12] = (TCP / 4) << 4;
    read[l4 + 13] = 0x10;
  } else {
    view.setUint16(l4 + 4, UDP + payload);
  }
  if (vnet.csum) view.setUint16(l4 + (protocol === 'tcp' ? 16 : 6), pseudoSum(view, ip, transport + payload));
  for (let i = l4 + transport; i < read.length; i++) read[i] = (i * 31) & 255;
  return read;
}

/** What the kernel leaves in the checksum field for an offload. */
function pseudoSum(view: DataView, ip: number, length: number): number {
  let sum = view.getUint8(ip + 9) + length;
  for (let at = ip + 12; at < ip + 20; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

export const SMALL_UDP: Read = frame('udp', 64 - ETHERNET - IPV4 - UDP, {
  gsoType: 0,
  gsoSize: 0,
  csum: false,
});

/** A frame of so many bytes of UDP payload, to be finished by the core. */
export function partialFrame(payload: number): Read {
  return frame('udp', payload, { gsoType: 0, gsoSize: 0, csum: true });
}

export function superFrame(protocol: 'tcp' | 'udp', segments: number, size: number): Read {
  return frame(protocol, segments * size, { gsoType: protocol === 'tcp' ? 1 : 5, gsoSize: size, csum: true });
}

/** Who has 10.42.0.2? */
export const BROADCAST_ARP: Read = Uint8Array.from([
  ...Array.from({ length: VNET }, () => 0),
  ...Array.from({ length: 6 }, () => 0xff),
  ...SOURCE,
  8,
  6,
  0,
  1,
  8,
  0,
  6,
  4,
  0,
  1,
  ...SOURCE,
  10,
  42,
  0,
  1,
  0,
  0,
  0,
  0,
  0,
  0,
  10,
  42,
  0,
  2,
]);
