import { ByteWriter } from './byte-writer.ts';
import { MESSAGE_TYPE } from './messages.ts';
import { sealBlock, sealedBytes } from './sealed-block.ts';
import type { Sealer } from './sealed-block.ts';

/**
 * A sealed message on a TCP stream (gossip.md 1.7, 1.10): `0a`, u32 length of the block, block. The five header bytes and
 * then the label are the associated data.
 */
export const FRAME_HEADER_BYTES = 5;

export function sealFrame(sealer: Sealer, label: Uint8Array, body: Uint8Array): Uint8Array {
  const blockBytes = sealedBytes(sealer.version, body.length);
  const out = new ByteWriter(FRAME_HEADER_BYTES + blockBytes);
  out.u8(MESSAGE_TYPE.encrypt);
  out.u32(blockBytes);
  const aad = frameAad(out.finish(), label);
  out.bytes(sealBlock(sealer, aad, body));
  return out.finish();
}

export function frameAad(header: Uint8Array, label: Uint8Array): Uint8Array {
  const aad = new Uint8Array(header.length + label.length);
  aad.set(header);
  aad.set(label, header.length);
  return aad;
}
