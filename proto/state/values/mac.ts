/** MAC addresses: a number of 48 bits in tables, six bytes as a record key, lower-case hex as a change key. */
import { WireError } from '../bytes.ts';

export function macKey(mac: number): Uint8Array {
  const key = new Uint8Array(6);
  for (let i = 5, rest = mac; i >= 0; i--, rest = Math.floor(rest / 256)) key[i] = rest % 256;
  return key;
}

export const macKeyHex = (mac: number): string => mac.toString(16).padStart(12, '0');

/** The MAC under an endpoint key; undefined when the key is no MAC (a bad record). */
export function macOfKeyHex(keyHex: string): number | undefined {
  return keyHex.length === 12 ? Number.parseInt(keyHex, 16) : undefined;
}

/** Number of "aa:bb:cc:dd:ee:ff". */
export function parseMac(text: string): number {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)) throw new WireError(`not a MAC address: ${text}`);
  return Number.parseInt(text.replaceAll(':', ''), 16);
}

export const macText = (mac: number): string => macKeyHex(mac).replace(/(..)(?!$)/g, '$1:');
