import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { CipherKey } from 'node:crypto';

/** AES-GCM by OpenSSL, synchronous (NIST SP 800-38D): nonces of 12 bytes, a tag of 16 behind the ciphertext. */
export type GcmName = 'aes-128-gcm' | 'aes-192-gcm' | 'aes-256-gcm';

const TAG_BYTES = 16;

export function gcmSeal(
  name: GcmName,
  key: CipherKey,
  nonce: Uint8Array,
  aad: Uint8Array,
  plain: Uint8Array,
): Uint8Array {
  const cipher = createCipheriv(name, key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(aad);
  const text = cipher.update(plain);
  cipher.final();
  return Buffer.concat([text, cipher.getAuthTag()]);
}

/** Undefined when it does not open: OpenSSL says no more than that it does not fit. */
export function gcmOpen(
  name: GcmName,
  key: CipherKey,
  nonce: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
): Uint8Array | undefined {
  if (sealed.length < TAG_BYTES) return undefined;
  const end = sealed.length - TAG_BYTES;
  const decipher = createDecipheriv(name, key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(aad);
  decipher.setAuthTag(sealed.subarray(end));
  const plain = decipher.update(sealed.subarray(0, end));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return plain;
}
