/**
 * Value of an endpoint record (table 4, scope = VNI, key = MAC), gossip.md 7.4:
 *
 *   mobility seq varint · u8 nIP · nIP × (u8 length 4|16, bytes) · u8 flags · name (varint length, UTF-8)
 *
 * Bytes after the name belong to later versions and are ignored.
 */
import { ipToBytes } from '../../memberlist/address.ts';
import { ByteReader, ByteWriter, WireError } from '../bytes.ts';
import { readIp } from './vtep.ts';

export interface EndpointValue {
  /** RFC 7432 MAC mobility: the higher sequence is the newer place. */
  readonly mobility: number;
  /** Canonical text. */
  readonly ips: readonly string[];
  readonly flags: number;
  /** Short name for people; may be empty. */
  readonly name: string;
}

/** More addresses than that on one MAC are a scan or a router, not an endpoint. */
export const ENDPOINT_IPS_MAX = 16;
export const ENDPOINT_NAME_MAX_BYTES = 64;
export const MOBILITY_MAX = 0xffff_ffff;

/** Throws RangeError for what the format cannot hold. */
export function encodeEndpoint(value: EndpointValue): Uint8Array {
  if (value.ips.length > ENDPOINT_IPS_MAX) throw new RangeError('too many IPs on one endpoint');
  if (value.mobility > MOBILITY_MAX) throw new RangeError('mobility sequence exhausted');
  const out = new ByteWriter(32).varint(value.mobility).u8(value.ips.length);
  for (const ip of value.ips) {
    const bytes = ipToBytes(ip);
    if (bytes === undefined) throw new RangeError(`not an IP address: ${ip}`);
    out.u8(bytes.length).raw(bytes);
  }
  return out.u8(value.flags).text(value.name).finish();
}

/** Throws WireError. */
export function decodeEndpoint(bytes: Uint8Array): EndpointValue {
  const r = new ByteReader(bytes);
  const mobility = r.varint(MOBILITY_MAX);
  const count = r.u8();
  if (count > ENDPOINT_IPS_MAX) throw new WireError('too many IPs');
  const ips: string[] = [];
  for (let i = 0; i < count; i++) ips.push(readIp(r));
  return { mobility, ips, flags: r.u8(), name: r.text(ENDPOINT_NAME_MAX_BYTES) };
}

/** The mobility sequence alone; undefined when the value is bad. For ordering claims without decoding the rest. */
export function mobilityOf(bytes: Uint8Array): number | undefined {
  try {
    return decodeEndpoint(bytes).mobility;
  } catch {
    return undefined;
  }
}
