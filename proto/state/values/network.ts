/**
 * Value of a network definition (table 3, scope 0; key = name in UTF-8 of a network in a host's configuration, else the
 * id of a made one):
 *
 *   VNI varint · MTU varint · u8 flags (1 encrypted, 2 internal, 4 VNI chosen, 8 subnet chosen, 16 MTU chosen, 32 made)
 *   · subnet text · gateway text · name text
 *   and when made: id 16 bytes · creator text · HLC u64 · revision varint · subnet6 text · gateway6 text ·
 *   u8 n · n × (label text, value text)
 *
 * Texts have a varint length and may be empty (not given). The name is repeated so that the value stands alone. Versions
 * before made networks read it up to the name, and so see a made one as any other; bytes after belong to later versions.
 */
import { ByteReader, ByteWriter, WireError, encodeText, fromHex, toHex } from '../bytes.ts';
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
  /** Absent: it is in its owner's configuration, and lives with it. */
  readonly made?: NetworkOrigin;
}

/** What a network has that was made at run time, for the whole cluster. */
export interface NetworkOrigin {
  /** 32 hex digits. */
  readonly id: string;
  readonly creator: string;
  /** When it was made; earlier ones come first. */
  readonly hlc: bigint;
  /** Grows when VNI or subnet are chosen anew. */
  readonly revision: number;
  readonly subnet6: string;
  readonly gateway6: string;
  readonly internal: boolean;
  readonly labels: Readonly<Record<string, string>>;
  /** What nobody asked for, and so may be chosen anew while nobody uses it. */
  readonly chosen: { readonly vni: boolean; readonly subnet: boolean; readonly mtu: boolean };
}

/** A definition that stands alone, whoever passes it on. */
export type MadeNetwork = NetworkValue & { readonly made: NetworkOrigin };

const FLAG = { encrypted: 1, internal: 2, choseVni: 4, choseSubnet: 8, choseMtu: 16, made: 32 } as const;
const NAME_MAX_BYTES = 64;
const TEXT_MAX_BYTES = 64;
const CREATOR_MAX_BYTES = 255;
const MTU_MAX = 65_535;
const REVISION_MAX = 0xffff_ffff;
export const NETWORK_ID_BYTES = 16;
export const LABELS_MAX = 16;
/** All keys and values of one network, bytes: with everything else the value still fits a record. */
export const LABEL_BYTES_MAX = 400;

export const networkKey = (name: string): Uint8Array => encodeText(name);
export const networkIdKey = (id: string): Uint8Array => fromHex(id);

/** Throws RangeError for what the format cannot hold. */
export function encodeNetwork(value: NetworkValue): Uint8Array {
  if (encodeText(value.name).length > NAME_MAX_BYTES) throw new RangeError('network name over 64 bytes');
  if (value.vni < 1 || value.vni > VNI_MAX) throw new RangeError('VNI out of range');
  const out = new ByteWriter(64)
    .varint(value.vni)
    .varint(value.mtu)
    .u8(flagsOf(value))
    .text(value.subnet)
    .text(value.gateway)
    .text(value.name);
  if (value.made !== undefined) writeOrigin(out, value.made);
  return out.finish();
}

function flagsOf({ encrypted, made }: NetworkValue): number {
  let flags = encrypted ? FLAG.encrypted : 0;
  if (made === undefined) return flags;
  flags |= FLAG.made;
  if (made.internal) flags |= FLAG.internal;
  if (made.chosen.vni) flags |= FLAG.choseVni;
  if (made.chosen.subnet) flags |= FLAG.choseSubnet;
  if (made.chosen.mtu) flags |= FLAG.choseMtu;
  return flags;
}

function writeOrigin(out: ByteWriter, made: NetworkOrigin): void {
  const labels = Object.entries(made.labels).sort(([a], [b]) => (a < b ? -1 : 1));
  if (labels.length > LABELS_MAX || labelBytes(made.labels) > LABEL_BYTES_MAX)
    throw new RangeError(`labels over ${LABELS_MAX} or ${LABEL_BYTES_MAX} bytes`);
  const id = fromHex(made.id);
  if (id.length !== NETWORK_ID_BYTES) throw new RangeError('a network id has 16 bytes');
  out.raw(id).text(made.creator).u64(made.hlc).varint(made.revision).text(made.subnet6).text(made.gateway6);
  out.u8(labels.length);
  for (const [key, text] of labels) out.text(key).text(text);
}

/** Of all keys and values together. */
export function labelBytes(labels: Readonly<Record<string, string>>): number {
  return Object.entries(labels).reduce((sum, pair) => sum + encodeText(pair.join('')).length, 0);
}

/** Throws WireError. */
export function decodeNetwork(bytes: Uint8Array): NetworkValue {
  const r = new ByteReader(bytes);
  const vni = r.varint(VNI_MAX);
  if (vni === 0) throw new WireError('VNI 0');
  const mtu = r.varint(MTU_MAX);
  const flags = r.u8();
  const subnet = r.text(TEXT_MAX_BYTES);
  const gateway = r.text(TEXT_MAX_BYTES);
  const name = r.text(NAME_MAX_BYTES);
  const value = { name, vni, subnet, gateway, mtu, encrypted: (flags & FLAG.encrypted) !== 0 };
  return (flags & FLAG.made) === 0 ? value : { ...value, made: readOrigin(r, flags) };
}

function readOrigin(r: ByteReader, flags: number): NetworkOrigin {
  const id = toHex(r.take(NETWORK_ID_BYTES));
  const creator = r.text(CREATOR_MAX_BYTES);
  const hlc = r.u64();
  const revision = r.varint(REVISION_MAX);
  const subnet6 = r.text(TEXT_MAX_BYTES);
  const gateway6 = r.text(TEXT_MAX_BYTES);
  const count = r.u8();
  if (count > LABELS_MAX) throw new WireError('too many labels');
  const labels: [string, string][] = [];
  for (let i = 0; i < count; i++) labels.push([r.text(LABEL_BYTES_MAX), r.text(LABEL_BYTES_MAX)]);
  return {
    id,
    creator,
    hlc,
    revision,
    subnet6,
    gateway6,
    internal: (flags & FLAG.internal) !== 0,
    // Not by assignment: a label may be called __proto__.
    labels: Object.fromEntries(labels),
    chosen: {
      vni: (flags & FLAG.choseVni) !== 0,
      subnet: (flags & FLAG.choseSubnet) !== 0,
      mtu: (flags & FLAG.choseMtu) !== 0,
    },
  };
}

/** Narrows to definitions that stand alone. */
export function isMade(value: NetworkValue): value is MadeNetwork {
  return value.made !== undefined;
}
