/**
 * Reference model of segmentation: fields in, fields out, every checksum computed afresh.
 *
 * Works from the bytes of a super-frame and its virtio header, as slowly as it likes. What the core writes must be
 * byte for byte the same.
 */
import { concat, onesSum, read16, read32, u32, write16, write32 } from './bytes.ts';
import { CWR, FIN, GSO, PSH, readVnet } from './frame.ts';

interface Layers {
  readonly l3: number;
  readonly l4: number;
  readonly version: 4 | 6;
  readonly protocol: number;
}

/** Offsets of a well-formed TCP or UDP frame; undefined for anything else. */
export function layersOf(frame: Uint8Array): Layers | undefined {
  let l3 = 14;
  while (read16(frame, l3 - 2) === 0x8100) l3 += 4;
  const type = read16(frame, l3 - 2);
  if (type === 0x0800) {
    return { l3, l4: l3 + ((frame[l3] ?? 0) & 15) * 4, version: 4, protocol: frame[l3 + 9] ?? 0 };
  }
  if (type === 0x86dd) {
    let protocol = frame[l3 + 6] ?? 0;
    let l4 = l3 + 40;
    // Hop-by-hop and destination options.
    while (protocol === 0 || protocol === 60) {
      protocol = frame[l4] ?? 6;
      l4 += ((frame[l4 + 1] ?? 0) + 1) * 8;
    }
    return { l3, l4, version: 6, protocol };
  }
  return undefined;
}

function pseudoOf(frame: Uint8Array, { l3, l4, version, protocol }: Layers): Uint8Array {
  const length = frame.length - l4;
  const ends = version === 4 ? frame.subarray(l3 + 12, l3 + 20) : frame.subarray(l3 + 8, l3 + 40);
  return concat(ends, u32(length), u32(protocol));
}

/** Both checksums of a TCP or UDP frame are right. */
export function isSound(frame: Uint8Array): boolean {
  const layers = layersOf(frame);
  if (!layers) return false;
  if (layers.version === 4 && onesSum(frame.subarray(layers.l3, layers.l4)) !== 0xffff) return false;
  return onesSum(pseudoOf(frame, layers), frame.subarray(layers.l4)) === 0xffff;
}

function finishSums(frame: Uint8Array, layers: Layers): void {
  const { l3, l4, version, protocol } = layers;
  if (version === 4) {
    write16(frame, l3 + 10, 0);
    write16(frame, l3 + 10, 0xffff - onesSum(frame.subarray(l3, l4)));
  }
  const at = l4 + (protocol === 6 ? 16 : 6);
  write16(frame, at, 0);
  const sum = 0xffff - onesSum(pseudoOf(frame, layers), frame.subarray(l4));
  write16(frame, at, sum === 0 && protocol === 17 ? 0xffff : sum);
}

/** The frames that a super-frame stands for. */
export function segment(vnetHeader: Uint8Array, frame: Uint8Array): Uint8Array[] {
  const offload = readVnet(vnetHeader);
  const layers = layersOf(frame);
  if (!layers || (offload.gsoType & ~GSO.ecn) === GSO.none) throw new Error('not a super-frame');
  const { l3, l4, version, protocol } = layers;
  const headers = l4 + (protocol === 6 ? ((frame[l4 + 12] ?? 0) >> 4) * 4 : 8);
  const payload = frame.subarray(headers);
  const count = Math.ceil(payload.length / offload.gsoSize);
  return Array.from({ length: count }, (_, i) => {
    const part = payload.subarray(i * offload.gsoSize, (i + 1) * offload.gsoSize);
    const piece = concat(frame.subarray(0, headers), part);
    if (version === 4) {
      write16(piece, l3 + 2, piece.length - l3);
      write16(piece, l3 + 4, (read16(frame, l3 + 4) + i) & 0xffff);
    } else {
      write16(piece, l3 + 4, piece.length - l3 - 40);
    }
    if (protocol === 6) {
      write32(piece, l4 + 4, (read32(frame, l4 + 4) + i * offload.gsoSize) % 2 ** 32);
      let flags = frame[l4 + 13] ?? 0;
      if (i > 0) flags &= ~CWR;
      if (i + 1 < count) flags &= ~(FIN | PSH);
      piece[l4 + 13] = flags;
    } else {
      write16(piece, l4 + 4, piece.length - l4);
    }
    finishSums(piece, layers);
    return piece;
  });
}
