import { ByteWriter } from './byte-writer.ts';
import { unwrapCompressed, wrapCompressed } from './compress.ts';
import { crc32 } from './crc32.ts';
import { MESSAGE_TYPE } from './messages.ts';
import { sealBlock } from './sealed-block.ts';
import type { Opener, Sealer } from './sealed-block.ts';
import { WireError } from './wire-error.ts';

/**
 * The UDP pipeline (gossip.md 1.9). Sending: messages → compound if several → compress if smaller → CRC if due →
 * seal if a key is given → label. Receiving runs the same stages backwards. The label is also the seal's associated data.
 *
 * Bounded: wrappers nest at most 4 deep, and all that one packet inflates to is 64 KiB at most.
 */
export interface PacketSettings {
  /** Cluster label; empty for none. A packet with another one is refused. */
  readonly label: Uint8Array;
  readonly compress: boolean;
  /** None: in clear. */
  readonly sealer?: Sealer | undefined;
}

export interface OpenedPacket {
  /** Whole messages, type byte first, no wrapper among them; views of the input where nothing was packed. */
  readonly parts: readonly Uint8Array[];
  /** Parts that a truncated compound had announced and not delivered. */
  readonly missingParts: number;
}

const MAX_NESTING = 4;
const MAX_INFLATED_BYTES = 65_536;
const MAX_COMPOUND_PARTS = 255;
/** Type and count of a compound; each part costs its length field besides. */
export const COMPOUND_HEADER_BYTES = 2;
export const COMPOUND_PART_BYTES = 2;
export const CRC_HEADER_BYTES = 5;

/**
 * Throws WireError for what cannot be read; a compound cut short gives its whole parts. A sealed packet has no mark: with
 * `open` it is asked about each.
 */
export function openPacket(packet: Uint8Array, label: Uint8Array, open?: Opener): OpenedPacket {
  const parts: Uint8Array[] = [];
  const state = { parts, missingParts: 0, inflateBytesLeft: MAX_INFLATED_BYTES };
  const body = stripLabel(packet, label);
  openCrc(open === undefined ? body : open(body, label), state);
  return { parts, missingParts: state.missingParts };
}

interface Opening {
  readonly parts: Uint8Array[];
  missingParts: number;
  inflateBytesLeft: number;
}

/** Label first on the wire: `f4`, length, label. Present and absent are as different as two labels. */
export function stripLabel(bytes: Uint8Array, label: Uint8Array): Uint8Array {
  if (bytes[0] !== MESSAGE_TYPE.label) {
    if (label.length > 0) throw new WireError('label', 'cluster label is missing');
    return bytes;
  }
  const length = bytes[1];
  if (length === undefined || bytes.length < 2 + length) {
    throw new WireError('truncated', 'label ends early', 2 + (length ?? 0));
  }
  const same = length === label.length && label.every((byte, i) => byte === bytes[2 + i]);
  if (!same || length === 0) throw new WireError('label', 'cluster label is another one');
  return bytes.subarray(2 + length);
}

function openCrc(bytes: Uint8Array, state: Opening): void {
  if (bytes[0] !== MESSAGE_TYPE.crc) {
    openMessage(bytes, state, 0);
    return;
  }
  if (bytes.length < CRC_HEADER_BYTES) throw new WireError('truncated', 'CRC ends early', CRC_HEADER_BYTES);
  const expected = readU32(bytes, 1);
  const body = bytes.subarray(CRC_HEADER_BYTES);
  if (crc32(body) !== expected) throw new WireError('crc', 'CRC does not match');
  openMessage(body, state, 0);
}

function readU32(bytes: Uint8Array, at: number): number {
  const high = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
  const low = ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number);
  return high * 65_536 + low;
}

function openMessage(bytes: Uint8Array, state: Opening, depth: number): void {
  const type = bytes[0];
  if (type === undefined) throw new WireError('empty', 'packet without a message');
  if (type === MESSAGE_TYPE.compound || type === MESSAGE_TYPE.compress) {
    if (depth >= MAX_NESTING) throw new WireError('too-deep', 'wrappers nested too deep');
    if (type === MESSAGE_TYPE.compound) {
      openCompound(bytes, state, depth);
    } else {
      const { inner } = unwrapCompressed(bytes, state.inflateBytesLeft);
      state.inflateBytesLeft -= inner.length;
      openMessage(inner, state, depth + 1);
    }
    return;
  }
  state.parts.push(bytes);
}

function openCompound(bytes: Uint8Array, state: Opening, depth: number): void {
  const count = bytes[1];
  if (count === undefined) throw new WireError('truncated', 'compound ends early', 2);
  let at = COMPOUND_HEADER_BYTES + count * COMPOUND_PART_BYTES;
  if (bytes.length < at) throw new WireError('truncated', 'compound ends within its lengths', at);
  for (let i = 0; i < count; i++) {
    const field = COMPOUND_HEADER_BYTES + i * COMPOUND_PART_BYTES;
    const end = at + (((bytes[field] as number) << 8) | (bytes[field + 1] as number));
    if (end > bytes.length) {
      state.missingParts += count - i;
      return;
    }
    // A part of no length says nothing and is passed over, so that it cannot take its neighbours down.
    if (end > at) openMessage(bytes.subarray(at, end), state, depth + 1);
    at = end;
  }
}

/** One compound of at most 255 messages, each shorter than 64 KiB. */
export function encodeCompound(messages: readonly Uint8Array[]): Uint8Array {
  if (messages.length > MAX_COMPOUND_PARTS) throw new RangeError('a compound has 255 parts at most');
  let length = COMPOUND_HEADER_BYTES;
  for (const message of messages) length += COMPOUND_PART_BYTES + message.length;
  const out = new ByteWriter(length);
  out.u8(MESSAGE_TYPE.compound);
  out.u8(messages.length);
  for (const message of messages) out.u16(message.length);
  for (const message of messages) out.bytes(message);
  return out.finish();
}

/** Everything of the pipeline after the messages are chosen. `crc` when the receiver is known to speak it. */
export function sealPacket(
  messages: readonly Uint8Array[],
  crc: boolean,
  settings: PacketSettings,
): Uint8Array {
  const [only] = messages;
  let body = messages.length === 1 && only !== undefined ? only : encodeCompound(messages);
  if (settings.compress) {
    const packed = wrapCompressed(body);
    if (packed.length < body.length) body = packed;
  }
  if (crc) body = withCrc(body);
  const { label, sealer } = settings;
  if (sealer !== undefined) body = sealBlock(sealer, label, body);
  if (label.length === 0) return body;
  const out = new ByteWriter(body.length + 2 + label.length);
  writeLabel(out, label);
  out.bytes(body);
  return out.finish();
}

function withCrc(body: Uint8Array): Uint8Array {
  const out = new ByteWriter(CRC_HEADER_BYTES + body.length);
  out.u8(MESSAGE_TYPE.crc);
  out.u32(crc32(body));
  out.bytes(body);
  return out.finish();
}

export function writeLabel(out: ByteWriter, label: Uint8Array): void {
  if (label.length === 0) return;
  out.u8(MESSAGE_TYPE.label);
  out.u8(label.length);
  out.bytes(label);
}
