/**
 * Value of a vtep record (table 1, scope 0): where an owner takes tunnelled frames.
 *
 *   u8 length 4|16 · IP · UDP port varint, not 0
 *
 * The key is the owner's own name (so that one change names one owner), cut to 64 bytes; nothing is read from it.
 */
import { bytesToIp, ipToBytes } from '../../memberlist/address.ts';
import { ByteReader, ByteWriter, WireError, encodeText } from '../bytes.ts';

export interface VtepValue {
  /** Canonical text. */
  readonly ip: string;
  readonly port: number;
}

export const vtepKey = (owner: string): Uint8Array => encodeText(owner).slice(0, 64);

export function encodeVtep(value: VtepValue): Uint8Array {
  const ip = ipToBytes(value.ip);
  if (ip === undefined) throw new RangeError(`not an IP address: ${value.ip}`);
  return new ByteWriter(20).u8(ip.length).raw(ip).varint(value.port).finish();
}

/** Throws WireError. */
export function decodeVtep(bytes: Uint8Array): VtepValue {
  const r = new ByteReader(bytes);
  const ip = readIp(r);
  const port = r.varint(0xffff);
  if (port === 0) throw new WireError('nothing can be sent to port 0');
  return { ip, port };
}

/** u8 length, 4 or 16 bytes; canonical text. Throws WireError. */
export function readIp(r: ByteReader): string {
  const ip = bytesToIp(r.take(r.u8()));
  if (ip === undefined) throw new WireError('an IP address has 4 or 16 bytes');
  return ip;
}
