import type { Address } from '../env.ts';
import { bytesToIp, ipToBytes } from '../memberlist/address.ts';
import { fromHex, toHex } from '../state/bytes.ts';

/**
 * What an overlayd node says of itself in memberlist's Meta (gossip.md 2.13): "OV", version 1, the range of state
 * protocols it speaks, its epoch (u64), then (type u8, length u8, value) items. Unknown items are passed over.
 */
export interface OverlaydMeta {
  readonly stateProtocolMin: number;
  readonly stateProtocolMax: number;
  readonly epoch: bigint;
  /** Where VXLAN packets for this host go. */
  readonly vtep?: Address;
  readonly zone?: string;
  readonly capabilities?: number;
  /** Fingerprints of the gossip keys that it holds, the primary first; absent: it gossips in clear. */
  readonly keys?: readonly string[];
}

/** Bits of `capabilities`: what a peer may be sent. */
export const CAPABILITY = {
  /** Answers echo requests on its data port (proto/tunnel/echo.ts). */
  echo: 1,
} as const;

const MAGIC_O = 0x4f;
const MAGIC_V = 0x56;
const META_VERSION = 1;
const HEADER_BYTES = 13;
const ITEM = { vtepIp: 1, vtepPort: 2, zone: 3, capabilities: 4, keys: 5 } as const;
const DEFAULT_VTEP_PORT = 4789;

/** Throws RangeError for an address that is none, a zone over 255 bytes or not ASCII. */
export function encodeMeta(meta: OverlaydMeta): Uint8Array {
  const bytes = [MAGIC_O, MAGIC_V, META_VERSION, meta.stateProtocolMin, meta.stateProtocolMax];
  for (let shift = 56n; shift >= 0n; shift -= 8n) bytes.push(Number((meta.epoch >> shift) & 0xffn));
  const item = (type: number, value: readonly number[]): void => {
    if (value.length > 255) throw new RangeError('a meta item has 255 bytes at most');
    bytes.push(type, value.length, ...value);
  };
  if (meta.vtep !== undefined) {
    const ip = ipToBytes(meta.vtep.ip);
    if (ip === undefined) throw new RangeError(`"${meta.vtep.ip}" is no IP address`);
    item(ITEM.vtepIp, [...ip]);
    item(ITEM.vtepPort, [meta.vtep.port >> 8, meta.vtep.port & 0xff]);
  }
  if (meta.zone !== undefined) {
    item(
      ITEM.zone,
      Array.from(meta.zone, (character) => asciiCode(character)),
    );
  }
  if (meta.capabilities !== undefined) {
    const bits = meta.capabilities;
    item(ITEM.capabilities, [bits >>> 24, (bits >>> 16) & 0xff, (bits >>> 8) & 0xff, bits & 0xff]);
  }
  if (meta.keys !== undefined) item(ITEM.keys, meta.keys.flatMap(fingerprintBytes));
  return Uint8Array.from(bytes);
}

/** undefined when the node is no overlayd, or says something that cannot be read. */
export function decodeMeta(meta: Uint8Array): OverlaydMeta | undefined {
  if (!isOverlaydMeta(meta)) return undefined;
  const view = new DataView(meta.buffer, meta.byteOffset, meta.byteLength);
  const items = readItems(meta);
  if (items === undefined) return undefined;
  const ip = bytesToIp(items.get(ITEM.vtepIp) ?? new Uint8Array(0));
  const port = items.get(ITEM.vtepPort);
  const zone = items.get(ITEM.zone);
  const bits = items.get(ITEM.capabilities);
  const keys = items.get(ITEM.keys);
  return {
    stateProtocolMin: view.getUint8(3),
    stateProtocolMax: view.getUint8(4),
    epoch: view.getBigUint64(5),
    ...(ip !== undefined && { vtep: { ip, port: port?.length === 2 ? bigEndian(port) : DEFAULT_VTEP_PORT } }),
    ...(zone !== undefined && { zone: String.fromCharCode(...zone) }),
    ...(bits?.length === 4 && { capabilities: bigEndian(bits) }),
    ...(keys !== undefined && { keys: fingerprintsOf(keys) }),
  };
}

/** The version of Meta when it is overlayd's and not the one that is read here. */
export function foreignMetaVersion(meta: Uint8Array): number | undefined {
  const isOurs = meta.length > 2 && meta[0] === MAGIC_O && meta[1] === MAGIC_V;
  return isOurs && meta[2] !== META_VERSION ? meta[2] : undefined;
}

/** Cheap test for "this member has our state layer". */
export function isOverlaydMeta(meta: Uint8Array): boolean {
  return (
    meta.length >= HEADER_BYTES && meta[0] === MAGIC_O && meta[1] === MAGIC_V && meta[2] === META_VERSION
  );
}

/** What a member announces to hold: none in clear, undefined when it is no overlayd and announces nothing. */
export function announcedKeys(meta: Uint8Array): readonly string[] | undefined {
  const decoded = decodeMeta(meta);
  return decoded && (decoded.keys ?? []);
}

function readItems(meta: Uint8Array): Map<number, Uint8Array> | undefined {
  const items = new Map<number, Uint8Array>();
  for (let at = HEADER_BYTES; at < meta.length;) {
    const type = meta[at] as number;
    const length = meta[at + 1];
    if (length === undefined || at + 2 + length > meta.length) return undefined;
    items.set(type, meta.subarray(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return items;
}

function bigEndian(bytes: Uint8Array): number {
  return bytes.reduce((value, byte) => value * 256 + byte, 0);
}

function fingerprintBytes(fingerprint: string): number[] {
  if (!/^[0-9a-f]{16}$/.test(fingerprint)) throw new RangeError('a key fingerprint is 16 hex digits');
  return [...fromHex(fingerprint)];
}

/** What is left over at the end is no fingerprint. */
function fingerprintsOf(bytes: Uint8Array): string[] {
  return toHex(bytes).match(/.{16}/g) ?? [];
}

function asciiCode(character: string): number {
  const code = character.charCodeAt(0);
  if (code > 0x7e || code < 0x20) throw new RangeError('a zone name is printable ASCII');
  return code;
}
