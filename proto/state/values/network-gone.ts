/**
 * A network that was removed (table 10, scope 0, key = its id, 16 bytes):
 *
 *   removed at, ms since 1970, varint · name text · removed by (a node) text
 *
 * Whoever still knows the network forgets it; it is said for as long as a host may have been away.
 */
import { ByteReader, ByteWriter } from '../bytes.ts';

export interface GoneNetwork {
  readonly atMs: number;
  readonly name: string;
  readonly by: string;
}

const NAME_MAX_BYTES = 64;
const NODE_MAX_BYTES = 255;

export function encodeGone({ atMs, name, by }: GoneNetwork): Uint8Array {
  return new ByteWriter(64).varint(atMs).text(name).text(by).finish();
}

/** Throws WireError. */
export function decodeGone(bytes: Uint8Array): GoneNetwork {
  const r = new ByteReader(bytes);
  return { atMs: r.varint(), name: r.text(NAME_MAX_BYTES), by: r.text(NODE_MAX_BYTES) };
}
