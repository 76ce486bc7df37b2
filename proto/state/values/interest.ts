/**
 * Interest record (table 2, scope 0, key = VNI as u32 big-endian): its owner takes part in a network.
 *
 *   nothing, or: u8 flags (1 used, 2 attached by hand) · network id 16 bytes · endpoints varint · u8 n · n × text
 *
 * The id parts two networks that came to one VNI in a split; without it (earlier versions) the owner takes part in
 * whatever has the VNI. The texts name the first few endpoints for people. Bytes after them belong to later versions.
 */
import { ByteReader, ByteWriter, WireError, fromHex, toHex } from '../bytes.ts';

export const VNI_MAX = 0xff_ffff;

export interface InterestValue {
  /** 32 hex digits; undefined: not said. */
  readonly id: string | undefined;
  /** A TAP was put on it by hand, so that there may be containers which are silent. */
  readonly isAttached: boolean;
  readonly endpoints: number;
  /** Of the first few. */
  readonly names: readonly string[];
}

const FLAG_USED = 1;
const FLAG_ATTACHED = 2;
const ID_BYTES = 16;
export const INTEREST_NAMES_MAX = 4;
const NAME_MAX_BYTES = 160;
const NOT_SAID: InterestValue = { id: undefined, isAttached: false, endpoints: 0, names: [] };

export const interestKey = (vni: number): Uint8Array => new ByteWriter(4).u32(vni).finish();
export const interestKeyHex = (vni: number): string => vni.toString(16).padStart(8, '0');

export function encodeInterest({ id, isAttached, endpoints, names }: InterestValue = NOT_SAID): Uint8Array {
  if (id === undefined) return new Uint8Array(0);
  const flags = (endpoints > 0 ? FLAG_USED : 0) | (isAttached ? FLAG_ATTACHED : 0);
  const shown = names.slice(0, INTEREST_NAMES_MAX);
  const out = new ByteWriter(64).u8(flags).raw(fromHex(id)).varint(endpoints).u8(shown.length);
  for (const name of shown) out.text(name);
  return out.finish();
}

/** Throws WireError. */
export function decodeInterest(bytes: Uint8Array): InterestValue {
  if (bytes.length === 0) return NOT_SAID;
  const r = new ByteReader(bytes);
  const flags = r.u8();
  const id = toHex(r.take(ID_BYTES));
  const endpoints = r.varint();
  const count = r.u8();
  if (count > INTEREST_NAMES_MAX) throw new WireError('too many names of endpoints');
  const names = Array.from({ length: count }, () => r.text(NAME_MAX_BYTES));
  return { id, isAttached: (flags & FLAG_ATTACHED) !== 0, endpoints, names };
}

/** The VNI under an interest key; undefined when the key is none (a bad record). */
export function vniOfKeyHex(keyHex: string): number | undefined {
  if (keyHex.length !== 8) return undefined;
  const vni = Number.parseInt(keyHex, 16);
  return vni > 0 && vni <= VNI_MAX ? vni : undefined;
}
