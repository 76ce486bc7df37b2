/**
 * Bounds-checked reading and writing of the state layer's bytes (gossip.md 7.4).
 *
 * Integers are unsigned LEB128 varints unless said; bytes and strings carry a varint length before them.
 * A reader throws WireError and nothing else, whatever it is fed, and never allocates more than it was given.
 */

/** The input is not what the format says. */
export class WireError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'WireError';
  }
}

const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const U64_MAX = 0xffff_ffff_ffff_ffffn;

export const encodeText = (text: string): Uint8Array => utf8.encode(text);

/** Throws WireError when the bytes are not UTF-8: two names must never decode to one. */
export function decodeText(bytes: Uint8Array): string {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    throw new WireError('text is not UTF-8');
  }
}

export class ByteReader {
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    const value = this.#bytes[this.#at];
    if (value === undefined) throw new WireError('truncated');
    this.#at++;
    return value;
  }

  /** A view, not a copy: whoever keeps it copies it. */
  take(length: number): Uint8Array {
    if (length > this.left) throw new WireError('truncated');
    const view = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return view;
  }

  u32(): number {
    const b = this.take(4);
    return new DataView(b.buffer, b.byteOffset, 4).getUint32(0);
  }

  u64(): bigint {
    const b = this.take(8);
    return new DataView(b.buffer, b.byteOffset, 8).getBigUint64(0);
  }

  /** A varint up to `max` (2^53 - 1 when absent). */
  varint(max: number = Number.MAX_SAFE_INTEGER): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > max) throw new WireError('number out of range');
        return value;
      }
      scale *= 128;
    }
    throw new WireError('number too long');
  }

  varint64(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.u8();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (value > U64_MAX) throw new WireError('number out of range');
        return value;
      }
    }
    throw new WireError('number too long');
  }

  /** Zig-zag signed varint of 64 bits. */
  signed64(): bigint {
    const raw = this.varint64();
    return (raw >> 1n) ^ -(raw & 1n);
  }

  bytes(maxLength: number): Uint8Array {
    return this.take(this.varint(maxLength));
  }

  text(maxLength: number): string {
    return decodeText(this.bytes(maxLength));
  }
}

export class ByteWriter {
  #bytes: Uint8Array;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  #room(more: number): void {
    const need = this.#length + more;
    if (need <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(need, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }

  u8(value: number): this {
    this.#room(1);
    this.#bytes[this.#length++] = value;
    return this;
  }

  u32(value: number): this {
    return this.u8(value >>> 24)
      .u8((value >>> 16) & 255)
      .u8((value >>> 8) & 255)
      .u8(value & 255);
  }

  u64(value: bigint): this {
    this.#room(8);
    new DataView(this.#bytes.buffer).setBigUint64(this.#length, value);
    this.#length += 8;
    return this;
  }

  raw(bytes: Uint8Array): this {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  varint(value: number): this {
    let rest = value;
    while (rest >= 128) {
      this.u8((rest % 128) | 0x80);
      rest = Math.floor(rest / 128);
    }
    return this.u8(rest);
  }

  varint64(value: bigint): this {
    let rest = value;
    while (rest >= 128n) {
      this.u8(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    return this.u8(Number(rest));
  }

  signed64(value: bigint): this {
    return this.varint64(value >= 0n ? value << 1n : (-value << 1n) - 1n);
  }

  bytes(bytes: Uint8Array): this {
    return this.varint(bytes.length).raw(bytes);
  }

  text(text: string): this {
    return this.bytes(encodeText(text));
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}

/** Length of a varint, bytes. */
export function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) length++;
  return length;
}

const HEX = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));

/** Lower-case hex. */
export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += HEX[byte]!;
  return text;
}

/** Bytes of a lower- or upper-case hex text of even length; WireError for anything else. */
export function fromHex(hex: string): Uint8Array {
  if (hex.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(hex)) throw new WireError('not hex');
  const bytes = new Uint8Array(hex.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(hex.slice(i * 2, i * 2 + 2), 16);
  return bytes;
}
