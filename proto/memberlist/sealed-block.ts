import type { SecretKey } from '../keyring/secret-key.ts';
import { WireError } from './wire-error.ts';

/**
 * AES-GCM as memberlist uses it (gossip.md 1.7): version u8 · nonce 12 · ciphertext · tag 16. Version 0 pads the plaintext
 * to 16 bytes first (PKCS#7, always 1 to 16 bytes), version 1 does not.
 *
 * The cipher is given from outside; whatever does not open is one WireError, 'undecryptable', whatever the cause.
 */
export interface Aead {
  /** Ciphertext and 16 bytes of tag. */
  seal(key: SecretKey, nonce: Uint8Array, aad: Uint8Array, plain: Uint8Array): Uint8Array;
  /** undefined when the tag does not fit key, nonce, aad and ciphertext. */
  open(key: SecretKey, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined;
}

export type SealVersion = 0 | 1;

/** How to seal what is about to be sent: everything but the bytes. */
export interface Sealer {
  readonly aead: Aead;
  readonly key: SecretKey;
  readonly version: SealVersion;
  /** 12 fresh random bytes each time. */
  readonly nonce: () => Uint8Array;
}

/** Opens a block under this AAD or throws WireError; it may also let through what is in clear. */
export type Opener = (block: Uint8Array, aad: Uint8Array) => Uint8Array;

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const PAD_BYTES = 16;
/** Of version 1, the one that we send. */
export const SEAL_OVERHEAD_BYTES = 1 + NONCE_BYTES + TAG_BYTES;

/** Length of the block that holds this much plaintext. */
export function sealedBytes(version: SealVersion, plainBytes: number): number {
  const padding = version === 0 ? PAD_BYTES - (plainBytes % PAD_BYTES) : 0;
  return SEAL_OVERHEAD_BYTES + plainBytes + padding;
}

export function sealBlock(sealer: Sealer, aad: Uint8Array, plain: Uint8Array): Uint8Array {
  const { aead, key, version } = sealer;
  const nonce = sealer.nonce();
  const sealed = aead.seal(key, nonce, aad, version === 0 ? padded(plain) : plain);
  const block = new Uint8Array(1 + NONCE_BYTES + sealed.length);
  block[0] = version;
  block.set(nonce, 1);
  block.set(sealed, 1 + NONCE_BYTES);
  return block;
}

/** Tries the keys in their order. Throws WireError 'undecryptable'. */
export function openBlock(
  aead: Aead,
  keys: readonly SecretKey[],
  aad: Uint8Array,
  block: Uint8Array,
): { plain: Uint8Array; key: SecretKey } {
  const version = block[0];
  if (version === undefined || version > 1 || block.length < SEAL_OVERHEAD_BYTES)
    throw new WireError('undecryptable', 'not a sealed block');
  const nonce = block.subarray(1, 1 + NONCE_BYTES);
  const sealed = block.subarray(1 + NONCE_BYTES);
  for (const key of keys) {
    const plain = aead.open(key, nonce, aad, sealed);
    if (plain !== undefined) return { plain: version === 0 ? unpadded(plain) : plain, key };
  }
  throw new WireError('undecryptable', 'no key of the ring opens it');
}

function padded(plain: Uint8Array): Uint8Array {
  const count = PAD_BYTES - (plain.length % PAD_BYTES);
  const out = new Uint8Array(plain.length + count).fill(count);
  out.set(plain);
  return out;
}

/** Go looks at the last byte alone; whoever made a bad padding had the key, and is wrong all the same. */
function unpadded(plain: Uint8Array): Uint8Array {
  const count = plain.at(-1) ?? 0;
  const end = plain.length - count;
  if (count < 1 || count > PAD_BYTES || end < 0 || !plain.subarray(end).every((byte) => byte === count))
    throw new WireError('undecryptable', 'padding is not PKCS#7');
  return plain.subarray(0, end);
}
