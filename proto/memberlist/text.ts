/**
 * Text fields. Go strings are bytes that are mostly UTF-8; names must compare as bytes (gossip.md 1.2).
 *
 * The mapping to JavaScript strings is one-to-one: well-formed UTF-8 becomes its text, and each byte that is not part
 * of any becomes a lone surrogate U+DC80..U+DCFF (the "surrogateescape" idea of PEP 383), which encodes back to that byte.
 */

/** Never fails: every byte string has exactly one text. */
export function bytesToText(bytes: Uint8Array): string {
  let text = '';
  let at = 0;
  for (; at < bytes.length && (bytes[at] as number) < 0x80; at++) {
    text += String.fromCharCode(bytes[at] as number);
  }
  while (at < bytes.length) {
    const lead = bytes[at] as number;
    const length = lead < 0x80 ? 1 : sequenceLength(bytes, at, lead);
    if (length === 0) {
      text += String.fromCharCode(0xdc00 + lead);
      at += 1;
    } else {
      text += String.fromCodePoint(codePoint(bytes, at, length));
      at += length;
    }
  }
  return text;
}

export function textToBytes(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of text) {
    const point = character.codePointAt(0) as number;
    if (point < 0x80) bytes.push(point);
    else if (point < 0x800) bytes.push(0xc0 | (point >> 6), 0x80 | (point & 0x3f));
    else if (point >= 0xdc80 && point <= 0xdcff) bytes.push(point - 0xdc00);
    else if (point < 0x1_0000) {
      bytes.push(0xe0 | (point >> 12), 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f));
    } else {
      bytes.push(0xf0 | (point >> 18), 0x80 | ((point >> 12) & 0x3f));
      bytes.push(0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f));
    }
  }
  return Uint8Array.from(bytes);
}

/** Most names: no character of it needs more than a byte. */
export function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) >= 0x80) return false;
  return true;
}

/** Length of the well-formed multi-byte sequence at `at` (Unicode table 3-7), or 0. */
function sequenceLength(bytes: Uint8Array, at: number, lead: number): number {
  const length =
    lead >= 0xc2 && lead <= 0xdf ? 2 : (lead & 0xf0) === 0xe0 ? 3 : lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
  if (length === 0 || at + length > bytes.length) return 0;
  for (let i = 1; i < length; i++) {
    if (((bytes[at + i] as number) & 0xc0) !== 0x80) return 0;
  }
  // Overlong forms, surrogates and values above U+10FFFF differ from good ones in the second byte only.
  const second = bytes[at + 1] as number;
  if (lead === 0xe0 && second < 0xa0) return 0;
  if (lead === 0xed && second > 0x9f) return 0;
  if (lead === 0xf0 && second < 0x90) return 0;
  if (lead === 0xf4 && second > 0x8f) return 0;
  return length;
}

function codePoint(bytes: Uint8Array, at: number, length: number): number {
  const lead = bytes[at] as number;
  let point = length === 1 ? lead : lead & (0xff >> (length + 1));
  for (let i = 1; i < length; i++) point = (point << 6) | ((bytes[at + i] as number) & 0x3f);
  return point;
}
