import { concat, nonceOf } from './crypto.ts';
import type { TunnelCrypto } from './crypto.ts';
import { readU64, sealedAad, writeU64 } from './messages.ts';

/**
 * Path probes and answers (proto/pmtu/messages.ts) between hosts that have a session: the token goes sealed, under the keys
 * and the counters of keepalives.
 *
 *   6 probe, 7 answer   type 1 · flags 1 = 1 · size 2 · receiver index 4 · counter 8 · sealed [token 8] 24
 *
 * A probe is filled with zeros behind that, which no tag covers: the size that it covers must be the datagram's. Recorded
 * ones may be said again; a probe is then answered again, with less than it has, and an answer has lost its meaning.
 */
export const SEALED_PROBE_BYTES = 40;

const HEADER_BYTES = 16;
const INDEX_AT = 4;
const COUNTER_AT = 8;
const TOKEN_BYTES = 8;

export interface ProbeText {
  /** 6 or 7. */
  readonly kind: number;
  readonly size: number;
  readonly token: number;
}

export function sealProbe(
  crypto: TunnelCrypto,
  key: Uint8Array,
  remoteIndex: number,
  counter: number,
  { kind, size, token }: ProbeText,
): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES);
  header.set([kind, 1, size >>> 8, size & 0xff]);
  new DataView(header.buffer).setUint32(INDEX_AT, remoteIndex);
  writeU64(header, COUNTER_AT, counter);
  const text = new Uint8Array(TOKEN_BYTES);
  writeU64(text, 0, token);
  return concat(header, crypto.seal(key, nonceOf(counter), sealedAad(header, TOKEN_BYTES), text));
}

/** The token; undefined when it was not sealed with this key. */
export function openProbe(crypto: TunnelCrypto, key: Uint8Array, bytes: Uint8Array): number | undefined {
  if (bytes.length < SEALED_PROBE_BYTES) return undefined;
  const counter = readU64(bytes, COUNTER_AT);
  if (!Number.isSafeInteger(counter)) return undefined;
  const sealed = bytes.subarray(HEADER_BYTES, SEALED_PROBE_BYTES);
  const text = crypto.open(key, nonceOf(counter), sealedAad(bytes, TOKEN_BYTES), sealed);
  return text === undefined ? undefined : readU64(text, 0);
}
