import type { ByteWriter } from './byte-writer.ts';
import { isAscii, textToBytes } from './text.ts';

/**
 * Writes msgpack as Go's codec does with its defaults: the old spec, in which text and bytes are one family "raw",
 * and never str8 or bin (gossip.md 1.2). Integers in the smallest unsigned form, or, for Go `int` fields when asked,
 * in go-msgpack 2's signed form above 127.
 */
export class MsgpackWriter {
  readonly out: ByteWriter;

  constructor(out: ByteWriter) {
    this.out = out;
  }

  /** At most 15 pairs: no memberlist message has more. */
  map(pairs: number): void {
    this.out.u8(0x80 | pairs);
  }

  text(value: string): void {
    if (!isAscii(value)) {
      this.raw(textToBytes(value));
      return;
    }
    this.#rawHeader(value.length);
    this.out.ascii(value);
  }

  bytesOrNil(value: Uint8Array | null): void {
    if (value === null) this.out.u8(0xc0);
    else this.raw(value);
  }

  raw(value: Uint8Array): void {
    this.#rawHeader(value.length);
    this.out.bytes(value);
  }

  bool(value: boolean): void {
    this.out.u8(value ? 0xc3 : 0xc2);
  }

  /** 0 .. 2^32-1. */
  uint(value: number): void {
    if (value <= 0x7f) {
      this.out.u8(value);
    } else if (value <= 0xff) {
      this.out.u8(0xcc);
      this.out.u8(value);
    } else if (value <= 0xffff) {
      this.out.u8(0xcd);
      this.out.u16(value);
    } else {
      this.out.u8(0xce);
      this.out.u32(value);
    }
  }

  /** 0 .. 2^31-1, as go-msgpack 2 writes a Go `int`: 128 needs two bytes already, because the type is signed. */
  signedInt(value: number): void {
    if (value <= 0x7f) {
      this.out.u8(value);
    } else if (value <= 0x7fff) {
      this.out.u8(0xd1);
      this.out.u16(value);
    } else {
      this.out.u8(0xd2);
      this.out.u32(value);
    }
  }

  #rawHeader(length: number): void {
    if (length < 32) {
      this.out.u8(0xa0 | length);
    } else if (length <= 0xffff) {
      this.out.u8(0xda);
      this.out.u16(length);
    } else {
      this.out.u8(0xdb);
      this.out.u32(length);
    }
  }
}
