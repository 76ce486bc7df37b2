/**
 * IP addresses between their text and the 4 or 16 bytes of the wire. Text is canonical: dotted IPv4, or IPv6 as RFC 5952
 * writes it, so that equal addresses are equal strings. An IPv4-mapped IPv6 address becomes the IPv4 it means: Go keeps
 * the two forms apart (gossip.md 2.2 step 5), we write 4 bytes and read either.
 */
const MAPPED_PREFIX = [0, 0, 0, 0, 0, 0xffff];

/** undefined when the length is neither 4 nor 16. */
export function bytesToIp(bytes: Uint8Array): string | undefined {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  if (bytes.length !== 16) return undefined;
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i] as number) << 8) | (bytes[i + 1] as number));
  if (MAPPED_PREFIX.every((group, i) => groups[i] === group)) return bytes.subarray(12).join('.');
  return formatGroups(groups);
}

/** 4 or 16 bytes; undefined when the text is no address. Zone suffixes are not taken: they mean nothing to a peer. */
export function ipToBytes(text: string): Uint8Array | undefined {
  if (!text.includes(':')) return dottedToBytes(text);
  const groups = parseGroups(text);
  if (groups === undefined) return undefined;
  const bytes = new Uint8Array(16);
  groups.forEach((group, i) => bytes.set([group >> 8, group & 0xff], i * 2));
  return bytes;
}

function dottedToBytes(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (
    parts.length !== 4 ||
    !parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) <= 255)
  ) {
    return undefined;
  }
  return Uint8Array.from(parts, Number);
}

/** RFC 5952: the longest run of two or more zero groups, the first of equals, becomes "::". */
function formatGroups(groups: readonly number[]): string {
  let bestStart = -1;
  let bestLength = 1;
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && groups[end] === 0) end += 1;
    if (end - start > bestLength) {
      bestStart = start;
      bestLength = end - start;
    }
    if (end > start) start = end;
  }
  const hex = groups.map((group) => group.toString(16));
  if (bestStart < 0) return hex.join(':');
  return `${hex.slice(0, bestStart).join(':')}::${hex.slice(bestStart + bestLength).join(':')}`;
}

function parseGroups(text: string): number[] | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = parseRun(halves[0] as string, halves.length === 1);
  const tail = parseRun(halves[1] ?? '', true);
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  return [...head, ...Array<number>(missing).fill(0), ...tail];
}

/** Colon-separated groups; where the address ends, the last may be dotted IPv4, which counts for two. */
function parseRun(text: string, endsAddress: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (endsAddress && i === parts.length - 1 && part.includes('.')) {
      const four = dottedToBytes(part);
      if (four === undefined) return undefined;
      const [a, b, c, d] = four as unknown as [number, number, number, number];
      groups.push((a << 8) | b, (c << 8) | d);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else {
      return undefined;
    }
  }
  return groups;
}
