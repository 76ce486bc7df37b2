/** Copied byte by byte up to here. */
const SHORT_BYTES = 24;

/** An output buffer that grows. Big-endian, as everything in memberlist's framing. */
export class ByteWriter {
  #bytes: Uint8Array;
  #length = 0;

  constructor(capacity = 128) {
    this.#bytes = new Uint8Array(capacity);
  }

  u8(value: number): void {
    this.#room(1);
    this.#bytes[this.#length++] = value;
  }

  u16(value: number): void {
    this.u8(value >>> 8);
    this.u8(value);
  }

  u32(value: number): void {
    this.u16(value >>> 16);
    this.u16(value);
  }

  bytes(value: Uint8Array): void {
    const { length } = value;
    this.#room(length);
    // A call of `set` costs more than a few bytes.
    const bytes = this.#bytes;
    const at = this.#length;
    if (length > SHORT_BYTES) bytes.set(value, at);
    else for (let i = 0; i < length; i++) bytes[at + i] = value[i] as number;
    this.#length = at + length;
  }

  /** Text of ASCII characters only. */
  ascii(text: string): void {
    this.#room(text.length);
    const bytes = this.#bytes;
    const at = this.#length;
    for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
    this.#length = at + text.length;
  }

  /** What was written, as a view that stays good until the next write. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Doubles, so that many small writes cost linear time in all. */
  #room(count: number): void {
    const wanted = this.#length + count;
    if (wanted <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(wanted, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}
