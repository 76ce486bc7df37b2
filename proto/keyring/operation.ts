import { ByteReader, ByteWriter, WireError, fromHex, toHex } from '../state/bytes.ts';
import { FINGERPRINT_BYTES } from './secret-key.ts';
import type { WrappedKey } from './wrap.ts';

/**
 * What shall be with one key, as the cluster's state has it: value of a keyring record (table 7, scope 0, key = the 8 bytes
 * of the fingerprint).
 *
 *   u8 version 1 · u8 action (1 add, 2 use, 3 remove) · u8 flags (1 rotated) · stamp varint ·
 *   u8 n · n × (8 bytes fingerprint of the wrapping key · 12 bytes nonce · sealed, varint length)
 *
 * The stamp orders operations, higher is later: a Lamport clock, so that no wall clock has a say.
 */
export type KeyAction = 'add' | 'use' | 'remove';

export interface KeyOperation {
  readonly action: KeyAction;
  /** By automatic rotation: it goes by itself when it has been superseded. */
  readonly isRotated: boolean;
  readonly stamp: number;
  readonly wraps: readonly WrappedKey[];
}

const VERSION = 1;
const ACTIONS: readonly KeyAction[] = ['add', 'use', 'remove'];
const FLAG_ROTATED = 1;
const NONCE_BYTES = 12;
const SEALED_MAX_BYTES = 64;
export const WRAPS_MAX = 8;
/** Room enough for any clock that counts rotations; what is beyond is a lie that must not stop ours. */
const STAMP_MAX = 2 ** 48;

export function encodeOperation({ action, isRotated, stamp, wraps }: KeyOperation): Uint8Array {
  const out = new ByteWriter(128).u8(VERSION).u8(ACTIONS.indexOf(action) + 1);
  out
    .u8(isRotated ? FLAG_ROTATED : 0)
    .varint(stamp)
    .u8(wraps.length);
  for (const { under, nonce, sealed } of wraps) out.raw(fromHex(under)).raw(nonce).bytes(sealed);
  return out.finish();
}

/** Throws WireError. */
export function decodeOperation(value: Uint8Array): KeyOperation {
  const r = new ByteReader(value);
  if (r.u8() !== VERSION) throw new WireError('keyring record of another version');
  const action = ACTIONS[r.u8() - 1];
  if (action === undefined) throw new WireError('keyring action');
  const isRotated = (r.u8() & FLAG_ROTATED) !== 0;
  const stamp = r.varint(STAMP_MAX);
  const count = r.u8();
  if (count > WRAPS_MAX) throw new WireError('too many wrapped keys');
  const wraps: WrappedKey[] = [];
  for (let i = 0; i < count; i++) {
    const under = toHex(r.take(FINGERPRINT_BYTES));
    wraps.push({ under, nonce: r.take(NONCE_BYTES).slice(), sealed: r.bytes(SEALED_MAX_BYTES).slice() });
  }
  return { action, isRotated, stamp, wraps };
}
