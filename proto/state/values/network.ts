/**
 * Value of a network definition (table 3, scope 0, key = name in UTF-8):
 *
 *   VNI varint · MTU varint · u8 flags (1 encrypted) · subnet text · gateway text · name text
 *
 * Texts have a varint length and may be empty (not given). The name is repeated so that the value stands alone.
 */
import { ByteReader, ByteWriter, WireError, encodeText } from '../bytes.ts';
import { VNI_MAX } from './interest.ts';

export interface NetworkValue {
  readonly name: string;
  readonly vni: number;
  /** CIDR, or empty. */
  readonly subnet: string;
  /** Address, or empty. */
  readonly gateway: string;
  readonly mtu: number;
  readonly encrypted: boolean;
}

const FLAG_ENCRYPTED = 1;
const NAME_MAX_BYTES = 64;
const TEXT_MAX_BYTES = 64;
const MTU_MAX = 65_535;

export const networkKey = (name: string): Uint8Array => encodeText(name);

/** Throws RangeError for what the format cannot hold. */
export function encodeNetwork(value: NetworkValue): Uint8Array {
  if (encodeText(value.name).length > NAME_MAX_BYTES) throw new RangeError('network name over 64 bytes');
  if (value.vni < 1 || value.vni > VNI_MAX) throw new RangeError('VNI out of range');
  return new ByteWriter(64)
    .varint(value.vni)
    .varint(value.mtu)
    .u8(value.encrypted ? FLAG_ENCRYPTED : 0)
    .text(value.subnet)
    .text(value.gateway)
    .text(value.name)
    .finish();
}

/** Throws WireError. */
export function decodeNetwork(bytes: Uint8Array): NetworkValue {
  const r = new ByteReader(bytes);
  const vni = r.varint(VNI_MAX);
  if (vni === 0) throw new WireError('VNI 0');
  const mtu = r.varint(MTU_MAX);
  const encrypted = (r.u8() & FLAG_ENCRYPTED) !== 0;
  const subnet = r.text(TEXT_MAX_BYTES);
  const gateway = r.text(TEXT_MAX_BYTES);
  return { name: r.text(NAME_MAX_BYTES), vni, subnet, gateway, mtu, encrypted };
}
