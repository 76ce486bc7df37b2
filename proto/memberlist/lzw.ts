import { ByteWriter } from './byte-writer.ts';
import { WireError } from './wire-error.ts';

/**
 * LZW as Go's compress/lzw with LSB order and 8-bit literals, which memberlist calls algorithm 0 (gossip.md 1.5).
 *
 * Codes start at 9 bits; 256 clears the table, 257 ends the stream, the first free code is 258. The width grows when the
 * next code reaches a power of two (no TIFF "early change"), at 12 bits the encoder clears when its counter is at 4095.
 * Byte-identical to Go both ways. Not streaming: memberlist always has the whole buffer.
 */
const CLEAR = 256;
const END = 257;
const FIRST_WIDTH = 9;
const MAX_WIDTH = 12;
const TABLE_SIZE = 1 << MAX_WIDTH;
const NONE = 0xffff;

/** Throws WireError 'lzw' for a bad stream and 'too-long' as soon as the output would pass `maxBytes`. */
export function lzwDecode(input: Uint8Array, maxBytes: number): Uint8Array {
  const prefix = new Uint16Array(TABLE_SIZE);
  const suffix = new Uint8Array(TABLE_SIZE);
  const depth = new Uint16Array(TABLE_SIZE);
  let out = new Uint8Array(Math.min(maxBytes, Math.max(64, input.length * 4)));
  let length = 0;
  let width = FIRST_WIDTH;
  let high = END;
  let last = NONE;
  let lastFirst = 0;
  let bits = 0;
  let bitCount = 0;
  let at = 0;
  for (;;) {
    while (bitCount < width) {
      if (at >= input.length) throw new WireError('lzw', 'stream ends without an end code');
      bits |= (input[at++] as number) << bitCount;
      bitCount += 8;
    }
    const code = bits & ((1 << width) - 1);
    bits >>>= width;
    bitCount -= width;
    if (code === END) return out.subarray(0, length);
    if (code === CLEAR) {
      width = FIRST_WIDTH;
      high = END;
      last = NONE;
      continue;
    }
    // The code just being defined may be used at once: it is the last string and its own first byte again.
    const isNew = code === high && last !== NONE && code > END;
    if (!isNew && code > high) throw new WireError('lzw', 'code is not in the table');
    const known = isNew ? last : code;
    const size = (known < CLEAR ? 1 : (depth[known] as number)) + (isNew ? 1 : 0);
    if (length + size > maxBytes) throw new WireError('too-long', `inflates to more than ${maxBytes} bytes`);
    if (length + size > out.length) out = grown(out, length, length + size, maxBytes);
    let write = length + size - (isNew ? 2 : 1);
    let walk = known;
    while (walk >= CLEAR) {
      out[write--] = suffix[walk] as number;
      walk = prefix[walk] as number;
    }
    out[write] = walk;
    if (isNew) out[length + size - 1] = walk;
    length += size;
    lastFirst = walk;
    if (last !== NONE && high > END && high < TABLE_SIZE) {
      prefix[high] = last;
      suffix[high] = lastFirst;
      depth[high] = (last < CLEAR ? 1 : (depth[last] as number)) + 1;
    }
    last = code;
    high += 1;
    if (high >= 1 << width) {
      if (width === MAX_WIDTH) {
        // The table is full: no more strings are learnt until a clear.
        last = NONE;
        high -= 1;
      } else {
        width += 1;
      }
    }
  }
}

function grown(out: Uint8Array, length: number, wanted: number, maxBytes: number): Uint8Array<ArrayBuffer> {
  const bigger = new Uint8Array(Math.min(maxBytes, Math.max(wanted, out.length * 2)));
  bigger.set(out.subarray(0, length));
  return bigger;
}

/** The same bytes that Go writes for one Write of `input` and a Close. */
export function lzwEncode(input: Uint8Array): Uint8Array {
  const out = new ByteWriter(input.length + 16);
  let bits = 0;
  let bitCount = 0;
  let width = FIRST_WIDTH;
  let high = END;
  /** (prefix code, next byte) → code. */
  let strings = new Map<number, number>();

  const emit = (code: number): void => {
    bits |= code << bitCount;
    bitCount += width;
    while (bitCount >= 8) {
      out.u8(bits & 0xff);
      bits >>>= 8;
      bitCount -= 8;
    }
  };
  /** Counts a new string; true when the table was full and has been cleared instead. */
  const countUp = (): boolean => {
    high += 1;
    if (high === 1 << width && width < MAX_WIDTH) {
      width += 1;
    } else if (high === TABLE_SIZE - 1) {
      emit(CLEAR);
      width = FIRST_WIDTH;
      high = END;
      strings = new Map();
      return true;
    }
    return false;
  };

  emit(CLEAR);
  let code = NONE;
  for (let i = 0; i < input.length; i++) {
    const byte = input[i] as number;
    if (code === NONE) {
      code = byte;
      continue;
    }
    const key = (code << 8) | byte;
    const longer = strings.get(key);
    if (longer !== undefined) {
      code = longer;
      continue;
    }
    emit(code);
    code = byte;
    if (!countUp()) strings.set(key, high);
  }
  if (code !== NONE) {
    emit(code);
    countUp();
  }
  emit(END);
  if (bitCount > 0) out.u8(bits & 0xff);
  return out.finish();
}
