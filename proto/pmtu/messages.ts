/**
 * Path probes and their answers, as they go between hosts without a session; on VXLAN's UDP port like all that hosts say to
 * each other there. Numbers are big-endian; no VXLAN header begins with 6 or 7 (RFC 7348 §5: the flags are 0x08).
 *
 *   6 probe            type 1 · flags 1 · size 2 · token 8 · 0 ×4, then zeros to `size` bytes
 *   7 answer (16)      type 1 · flags 1 · size 2 · token 8 · 0 ×4
 *
 * size: bytes of UDP payload that the probe has, so that one cut short on its way is none. token: random; who was not on
 * the path of the probe cannot make its answer. flags: 1 says that it is sealed, and more: proto/tunnel/probes.ts.
 */
import { readU64, writeU64 } from '../tunnel/messages.ts';

export const PROBE = 6;
export const ANSWER = 7;
export const FLAG_SEALED = 1;
/** The smallest probe that is answered: an answer is never larger, sealed or not. */
export const PROBE_LEAST_BYTES = 64;
const HEAD_BYTES = 16;
const SIZE_AT = 2;
const TOKEN_AT = 4;

export type ProbeKind = typeof PROBE | typeof ANSWER;

export interface ProbeHead {
  readonly kind: ProbeKind;
  readonly isSealed: boolean;
  /** Of the probe, also in its answer. */
  readonly size: number;
}

/** A probe or an answer, sealed or not, well-formed or not. */
export const isProbe = ([kind]: Uint8Array): boolean => kind === PROBE || kind === ANSWER;

/** Undefined for what is neither, or a probe that is not as long as it says. `length`: of the whole datagram. */
export function readHead(bytes: Uint8Array, length: number): ProbeHead | undefined {
  const [kind, flags = 0] = bytes;
  if ((kind !== PROBE && kind !== ANSWER) || flags > FLAG_SEALED || bytes.length < HEAD_BYTES)
    return undefined;
  const size = ((bytes[SIZE_AT] as number) << 8) | (bytes[SIZE_AT + 1] as number);
  if (size < PROBE_LEAST_BYTES || (kind === PROBE && size !== length)) return undefined;
  return { kind, isSealed: flags === FLAG_SEALED, size };
}

export const tokenOf = (bytes: Uint8Array): number => readU64(bytes, TOKEN_AT);

export function clearProbe(size: number, token: number): Uint8Array {
  return message(PROBE, size, size, token);
}

export function clearAnswer(size: number, token: number): Uint8Array {
  return message(ANSWER, HEAD_BYTES, size, token);
}

function message(kind: ProbeKind, length: number, size: number, token: number): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes[0] = kind;
  bytes[SIZE_AT] = size >>> 8;
  bytes[SIZE_AT + 1] = size & 0xff;
  writeU64(bytes, TOKEN_AT, token);
  return bytes;
}
