/** Reference model of IPv4 reassembly (RFC 791 §3.2): fragments in order, one frame out, its header checksum computed afresh. */
import { concat, onesSum, read16, write16 } from './bytes.ts';

const MORE = 0x2000;
const OFFSET = 0x1fff;

/** Throws when the fragments, untagged frames, do not make one packet. */
export function reassemble(fragments: readonly Uint8Array[]): Uint8Array {
  const [first] = fragments;
  if (first === undefined) throw new Error('no fragment');
  const headers = 14 + ((first[14] ?? 0) & 15) * 4;
  const parts: Uint8Array[] = [];
  let at = 0;
  fragments.forEach((fragment, i) => {
    const word = read16(fragment, 20);
    if (onesSum(fragment.subarray(14, headers)) !== 0xffff) throw new Error(`fragment ${i}: header checksum`);
    if (read16(fragment, 16) !== fragment.length - 14) throw new Error(`fragment ${i}: total length`);
    if (read16(fragment, 18) !== read16(first, 18)) throw new Error(`fragment ${i}: identification`);
    if ((word & OFFSET) * 8 !== at) throw new Error(`fragment ${i}: offset`);
    if (((word & MORE) !== 0) !== i + 1 < fragments.length) throw new Error(`fragment ${i}: more fragments`);
    if (i > 0 && !hasOnlyCopied(fragment.subarray(34, headers))) throw new Error(`fragment ${i}: options`);
    parts.push(fragment.subarray(headers));
    at += fragment.length - headers;
  });
  const whole = concat(first.subarray(0, headers), ...parts);
  write16(whole, 20, 0);
  write16(whole, 16, whole.length - 14);
  write16(whole, 24, 0);
  write16(whole, 24, 0xffff - onesSum(whole.subarray(14, headers)));
  return whole;
}

/** Later fragments carry no option without the copied bit. */
function hasOnlyCopied(options: Uint8Array): boolean {
  for (let at = 0; at < options.length;) {
    const kind = options[at] ?? 0;
    if (kind === 0) return true;
    if (kind !== 1 && kind < 0x80) return false;
    at += kind === 1 ? 1 : (options[at + 1] ?? 1);
  }
  return true;
}
