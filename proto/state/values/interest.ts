/**
 * Interest record (table 2, scope 0): its owner takes part in a network.
 *
 * Key = VNI as u32 big-endian. The value is empty today; later versions may add to it.
 */
import { ByteWriter } from '../bytes.ts';

export const VNI_MAX = 0xff_ffff;

export const interestKey = (vni: number): Uint8Array => new ByteWriter(4).u32(vni).finish();
export const interestKeyHex = (vni: number): string => vni.toString(16).padStart(8, '0');
export const encodeInterest = (): Uint8Array => new Uint8Array(0);

/** The VNI under an interest key; undefined when the key is none (a bad record). */
export function vniOfKeyHex(keyHex: string): number | undefined {
  if (keyHex.length !== 8) return undefined;
  const vni = Number.parseInt(keyHex, 16);
  return vni > 0 && vni <= VNI_MAX ? vni : undefined;
}
