/** Plain, slow byte work for the reference models: the opposite of the core's, on purpose. */

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export function u16(value: number): Uint8Array {
  return Uint8Array.of((value >>> 8) & 255, value & 255);
}

export function u32(value: number): Uint8Array {
  return concat(u16(value >>> 16), u16(value & 0xffff));
}

export function read16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

export function read32(bytes: Uint8Array, at: number): number {
  return read16(bytes, at) * 65536 + read16(bytes, at + 2);
}

export function write16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = (value >>> 8) & 255;
  bytes[at + 1] = value & 255;
}

export function write32(bytes: Uint8Array, at: number, value: number): void {
  write16(bytes, at, value >>> 16);
  write16(bytes, at + 2, value & 0xffff);
}

/** RFC 1071, word by word in network order: the folded sum, not complemented. */
export function onesSum(...parts: readonly Uint8Array[]): number {
  const bytes = concat(...parts);
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += read16(bytes, at);
  while (sum > 0xffff) sum = (sum % 65536) + Math.floor(sum / 65536);
  return sum;
}

export function mac(text: string): Uint8Array {
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));
}

function groups(part: string): number[] {
  return part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
}

/** Sixteen bytes of an address: dotted IPv4 as mapped, or eight colon-separated groups in full or with one `::`. */
export function ip(text: string): Uint8Array {
  if (text.includes('.')) {
    return concat(new Uint8Array(10), Uint8Array.of(255, 255), Uint8Array.from(text.split('.'), Number));
  }
  const [front = '', back] = text.split('::');
  const head = groups(front);
  const tail = back === undefined ? [] : groups(back);
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => 0);
  return concat(...[...head, ...zeros, ...tail].map(u16));
}

/** Throws unless both lists hold the same byte strings: a test framework's deep comparison takes seconds for this. */
export function mustEqual(actual: readonly Uint8Array[], expected: readonly Uint8Array[]): void {
  if (actual.length !== expected.length) {
    throw new Error(`${actual.length} byte strings instead of ${expected.length}`);
  }
  actual.forEach((bytes, i) => {
    const wanted = expected[i] ?? new Uint8Array();
    const at = wanted.findIndex((byte, j) => byte !== bytes[j]);
    if (at >= 0) throw new Error(`[${i}][${at}] is ${bytes[at]}, not ${wanted[at]}`);
    if (bytes.length !== wanted.length)
      throw new Error(`[${i}] has ${bytes.length} bytes, not ${wanted.length}`);
  });
}

export function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}
