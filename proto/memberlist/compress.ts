import { ByteWriter } from './byte-writer.ts';
import { lzwDecode, lzwEncode } from './lzw.ts';
import { COMPRESS, MESSAGE_TYPE } from './messages.ts';
import { MsgpackReader } from './msgpack-reader.ts';
import { MsgpackWriter } from './msgpack-writer.ts';
import { readStruct, writeStruct } from './struct.ts';
import { WireError } from './wire-error.ts';

/** The compress wrapper: another whole message, LZW-packed (gossip.md 1.5). */
const LZW = 0;
const NO_BYTES = new Uint8Array(0);

/** `bytes` starts with the type byte. Gives the message inside, at most `maxBytes` long, and where the wrapper ends. */
export function unwrapCompressed(bytes: Uint8Array, maxBytes: number): { inner: Uint8Array; end: number } {
  const reader = new MsgpackReader(bytes, 1);
  const { algo, buf } = readStruct(reader, COMPRESS);
  if (algo !== LZW) throw new WireError('type', `compression ${algo} is not known`);
  return { inner: lzwDecode(buf ?? NO_BYTES, maxBytes), end: reader.position };
}

export function wrapCompressed(message: Uint8Array): Uint8Array {
  const out = new ByteWriter(message.length + 32);
  out.u8(MESSAGE_TYPE.compress);
  writeStruct(new MsgpackWriter(out), COMPRESS, { algo: LZW, buf: lzwEncode(message) });
  return out.finish();
}
