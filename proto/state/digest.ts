/**
 * The two small digests that memberlist carries for us (gossip.md 7.5, 7.6):
 *
 *   push/pull user state   D7 01 · epoch varint · n varint · n × (scope varint, root u64 BE)
 *   ack payload            D7 01 · HLC u64 BE · root of scope 0 u64 BE
 */
import { ByteReader, ByteWriter, WireError } from './bytes.ts';
import { STATE_MAGIC, STATE_VERSION } from './messages.ts';

export interface ScopeRoot {
  readonly scope: number;
  readonly root: bigint;
}

/** Keeps the user state under 64 KiB: an entry takes at most 13 bytes. */
export const ROOTS_MAX = 4_096;

export function encodeRoots(epoch: bigint, roots: readonly ScopeRoot[]): Uint8Array {
  const out = new ByteWriter(16 + roots.length * 13).u8(STATE_MAGIC).u8(STATE_VERSION);
  out.varint64(epoch).varint(roots.length);
  for (const { scope, root } of roots) out.varint(scope).u64(root);
  return out.finish();
}

/** undefined: a later version. Throws WireError. */
export function decodeRoots(bytes: Uint8Array): ScopeRoot[] | undefined {
  const r = open(bytes);
  if (r === undefined) return undefined;
  r.varint64();
  const count = r.varint(ROOTS_MAX);
  const roots: ScopeRoot[] = [];
  for (let i = 0; i < count; i++) roots.push({ scope: r.varint(), root: r.u64() });
  return roots;
}

export const encodeAck = (hlc: bigint, root: bigint): Uint8Array =>
  new ByteWriter(18).u8(STATE_MAGIC).u8(STATE_VERSION).u64(hlc).u64(root).finish();

/** undefined: a later version. Throws WireError. */
export function decodeAck(bytes: Uint8Array): { readonly hlc: bigint; readonly root: bigint } | undefined {
  const r = open(bytes);
  return r === undefined ? undefined : { hlc: r.u64(), root: r.u64() };
}

function open(bytes: Uint8Array): ByteReader | undefined {
  const r = new ByteReader(bytes);
  if (r.u8() !== STATE_MAGIC) throw new WireError('not a state digest');
  return r.u8() === STATE_VERSION ? r : undefined;
}
