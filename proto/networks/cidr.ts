/** Subnets as text, compared by their bits; what is no subnet overlaps with nothing. */
import { ipToBytes } from '../memberlist/address.ts';

interface Prefix {
  readonly bytes: Uint8Array;
  readonly length: number;
}

/** undefined when it is none. Host bits are not looked at. */
export function parsePrefix(text: string): Prefix | undefined {
  const [address = '', lengthText = '', ...rest] = text.split('/');
  const bytes = ipToBytes(address);
  if (bytes === undefined || rest.length > 0 || !/^\d{1,3}$/.test(lengthText)) return undefined;
  const length = Number(lengthText);
  return length > bytes.length * 8 ? undefined : { bytes, length };
}

export function cidrsOverlap(a: string, b: string): boolean {
  const [first, second] = [parsePrefix(a), parsePrefix(b)];
  if (first === undefined || second === undefined || first.bytes.length !== second.bytes.length) return false;
  const bits = Math.min(first.length, second.length);
  const whole = bits >> 3;
  for (let i = 0; i < whole; i++) if (first.bytes[i] !== second.bytes[i]) return false;
  const mask = (0xff00 >> (bits & 7)) & 0xff;
  return ((first.bytes[whole] ?? 0) & mask) === ((second.bytes[whole] ?? 0) & mask);
}
