import { bytesToText } from './text.ts';
import { WireError, limitLength } from './wire-error.ts';

/**
 * Reads msgpack as Go's codec writes it, and everything a tolerant peer may write instead (gossip.md 1.2): any integer
 * width, raw, str8 and bin for text and bytes alike, bytes as arrays of small integers, nil for a zero value.
 *
 * Bounded: a container longer than the bytes left, nesting deeper than 8 and negative numbers are refused. Nothing is
 * copied: byte values are views of the input. Short input is a WireError 'truncated' that says how much is needed.
 */
const MAX_DEPTH = 8;
/** Unknown values passed over by one reader, nested ones counted; keeps a repeated attempt on a stream cheap. */
const MAX_SKIPPED = 1024;
/** Bytes of text and data among them. */
const MAX_SKIPPED_BYTES = 16_384;
/** Longest byte field taken as an array of integers; the form is for odd peers with small fields. */
const MAX_SMALL_INTS = 4096;
const NIL = 0xc0;

export class MsgpackReader {
  readonly #bytes: Uint8Array;
  #at: number;
  #skipped = 0;
  #skippedBytes = 0;
  /** An integer above 127 came in one of the signed forms (go-msgpack 2 writes lengths so). */
  sawSignedInt = false;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get position(): number {
    return this.#at;
  }

  /** Number of pairs of the map that starts here. nil is an empty map. */
  mapLength(): number {
    const lead = this.#u8();
    if (lead >= 0x80 && lead <= 0x8f) return this.#container(lead & 0x0f, 2);
    if (lead === 0xde) return this.#container(this.#u16(), 2);
    if (lead === 0xdf) return this.#container(this.#u32(), 2);
    if (lead === NIL) return 0;
    throw new WireError('type', 'map expected');
  }

  /** Raw, str or bin; nil is ''. Nothing is made of more than `maxBytes`. */
  text(what: string, maxBytes: number): string {
    const bytes = this.#rawOrNil(what, maxBytes);
    return bytes === null ? '' : bytesToText(bytes);
  }

  /** Passes over these very bytes if they are next; false leaves the position. */
  skipExactly(expected: Uint8Array): boolean {
    const end = this.#at + expected.length;
    if (end > this.#bytes.length) return false;
    for (let i = 0; i < expected.length; i++) {
      if (this.#bytes[this.#at + i] !== expected[i]) return false;
    }
    this.#at = end;
    return true;
  }

  /** null is Go's nil slice; an empty array is Go's empty one. They mean the same and look different on the wire. */
  bytesOrNil(what: string, maxBytes: number): Uint8Array | null {
    const lead = this.#peek();
    if ((lead >= 0x90 && lead <= 0x9f) || lead === 0xdc || lead === 0xdd)
      return this.#smallInts(what, maxBytes);
    return this.#rawOrNil(what, maxBytes);
  }

  /** true, false, nil, or 1 and 0. */
  bool(): boolean {
    const lead = this.#peek();
    if (lead === 0xc2 || lead === 0xc3 || lead === NIL) {
      this.#at += 1;
      return lead === 0xc3;
    }
    return this.uint(1) === 1;
  }

  /** Any integer form; refuses what is negative or above `max`. */
  uint(max: number): number {
    const value = this.#integer();
    if (value < 0 || value > max) throw new WireError('range', `integer ${value} is not in 0..${max}`);
    return value;
  }

  /** Passes over one value of any type. */
  skip(depth = 0): void {
    if (depth > MAX_DEPTH) throw new WireError('too-deep', 'msgpack nested too deep');
    this.#skipped += 1;
    if (this.#skipped > MAX_SKIPPED) throw new WireError('too-long', 'too many unknown values');
    const lead = this.#u8();
    if (lead <= 0x7f || lead >= 0xe0 || lead === NIL || lead === 0xc2 || lead === 0xc3) return;
    if (lead <= 0x8f) this.#skipItems((lead & 0x0f) * 2, depth);
    else if (lead <= 0x9f) this.#skipItems(lead & 0x0f, depth);
    else if (lead <= 0xbf) this.#pass(lead & 0x1f);
    else this.#skipLong(lead, depth);
  }

  /** The types with a length or more than one byte of value. */
  #skipLong(lead: number, depth: number): void {
    switch (lead) {
      case 0xc4:
      case 0xd9:
        this.#pass(this.#u8());
        return;
      case 0xc5:
      case 0xda:
        this.#pass(this.#u16());
        return;
      case 0xc6:
      case 0xdb:
        this.#pass(this.#u32());
        return;
      // Extension types carry a type byte besides their data.
      case 0xc7:
        this.#pass(this.#u8() + 1);
        return;
      case 0xc8:
        this.#pass(this.#u16() + 1);
        return;
      case 0xc9:
        this.#pass(this.#u32() + 1);
        return;
      case 0xdc:
        this.#skipItems(this.#u16(), depth);
        return;
      case 0xdd:
        this.#skipItems(this.#u32(), depth);
        return;
      case 0xde:
        this.#skipItems(this.#u16() * 2, depth);
        return;
      case 0xdf:
        this.#skipItems(this.#u32() * 2, depth);
        return;
      default:
        this.#take(fixedLength(lead));
    }
  }

  #skipItems(count: number, depth: number): void {
    if (this.#skipped + count > MAX_SKIPPED) throw new WireError('too-long', 'too many unknown values');
    this.#ensure(count);
    for (let i = 0; i < count; i++) this.skip(depth + 1);
  }

  #pass(count: number): void {
    this.#skippedBytes += count;
    limitLength('what is unknown', this.#skippedBytes, MAX_SKIPPED_BYTES);
    this.#take(count);
  }

  /** 64-bit values lose precision above 2^53; no field takes such. */
  #integer(): number {
    const lead = this.#u8();
    if (lead <= 0x7f) return lead;
    if (lead >= 0xe0) return lead - 0x100;
    if (lead === NIL) return 0;
    const at = this.#at;
    switch (lead) {
      case 0xcc:
        return this.#u8();
      case 0xcd:
        return this.#u16();
      case 0xce:
        return this.#u32();
      case 0xcf:
        this.#take(8);
        return Number(this.#view.getBigUint64(at));
      case 0xd0:
        this.#take(1);
        return this.#signed(this.#view.getInt8(at));
      case 0xd1:
        this.#take(2);
        return this.#signed(this.#view.getInt16(at));
      case 0xd2:
        this.#take(4);
        return this.#signed(this.#view.getInt32(at));
      case 0xd3:
        this.#take(8);
        return this.#signed(Number(this.#view.getBigInt64(at)));
      default:
        throw new WireError('type', 'integer expected');
    }
  }

  /** For the rarer number types: most messages never need one. */
  get #view(): DataView {
    const { buffer, byteOffset, byteLength } = this.#bytes;
    return new DataView(buffer, byteOffset, byteLength);
  }

  #signed(value: number): number {
    if (value > 0x7f) this.sawSignedInt = true;
    return value;
  }

  #rawOrNil(what: string, maxBytes: number): Uint8Array | null {
    const length = this.#rawLength();
    if (length === undefined) return null;
    limitLength(what, length, maxBytes);
    return this.#take(length);
  }

  /** undefined: nil. */
  #rawLength(): number | undefined {
    const lead = this.#u8();
    if (lead >= 0xa0 && lead <= 0xbf) return lead & 0x1f;
    if (lead === 0xda || lead === 0xc5) return this.#u16();
    if (lead === 0xdb || lead === 0xc6) return this.#u32();
    if (lead === 0xd9 || lead === 0xc4) return this.#u8();
    if (lead === NIL) return undefined;
    throw new WireError('type', 'text or bytes expected');
  }

  #smallInts(what: string, maxBytes: number): Uint8Array {
    const lead = this.#u8();
    const announced = lead <= 0x9f ? lead & 0x0f : lead === 0xdc ? this.#u16() : this.#u32();
    limitLength(what, announced, Math.min(maxBytes, MAX_SMALL_INTS));
    const values = new Uint8Array(this.#container(announced, 1));
    for (let i = 0; i < values.length; i++) values[i] = this.uint(0xff);
    return values;
  }

  /** Checks that `count` items of at least `minBytes` each can be there at all, before anybody allocates for them. */
  #container(count: number, minBytes: number): number {
    this.#ensure(count * minBytes);
    return count;
  }

  /** A view of the next bytes, never a copy. */
  #take(count: number): Uint8Array {
    this.#ensure(count);
    const taken = this.#bytes.subarray(this.#at, this.#at + count);
    this.#at += count;
    return taken;
  }

  #ensure(count: number): void {
    const end = this.#at + count;
    if (end > this.#bytes.length) throw new WireError('truncated', 'message ends early', end);
  }

  #peek(): number {
    this.#ensure(1);
    return this.#bytes[this.#at] as number;
  }

  #u8(): number {
    this.#ensure(1);
    return this.#bytes[this.#at++] as number;
  }

  #u16(): number {
    this.#ensure(2);
    const at = this.#at;
    this.#at += 2;
    return ((this.#bytes[at] as number) << 8) | (this.#bytes[at + 1] as number);
  }

  #u32(): number {
    this.#ensure(4);
    const high = this.#u16();
    return high * 0x1_0000 + this.#u16();
  }
}

/** Bytes after the lead of the types whose length the lead alone tells. */
function fixedLength(lead: number): number {
  switch (lead) {
    case 0xcc:
    case 0xd0:
      return 1;
    case 0xcd:
    case 0xd1:
    case 0xd4:
      return 2;
    case 0xd5:
      return 3;
    case 0xca:
    case 0xce:
    case 0xd2:
      return 4;
    case 0xd6:
      return 5;
    case 0xcb:
    case 0xcf:
    case 0xd3:
      return 8;
    case 0xd7:
      return 9;
    case 0xd8:
      return 17;
    default:
      throw new WireError('type', `msgpack has no type 0x${lead.toString(16)}`);
  }
}
