import { createCipheriv, createDecipheriv, createHash, createSecretKey, hkdfSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { SecretKey } from '../../proto/keyring/secret-key.ts';
import type { Aead } from '../../proto/memberlist/sealed-block.ts';

/** The ciphers and hashes that protocol code is given: OpenSSL, synchronous, AES-GCM by key size (NIST SP 800-38D). */
const TAG_BYTES = 16;
const ALGORITHM: Readonly<Record<number, 'aes-128-gcm' | 'aes-192-gcm' | 'aes-256-gcm'>> = {
  128: 'aes-128-gcm',
  192: 'aes-192-gcm',
  256: 'aes-256-gcm',
};

interface Prepared {
  readonly algorithm: 'aes-128-gcm' | 'aes-192-gcm' | 'aes-256-gcm';
  readonly key: KeyObject;
}

/** A key object is dear to make and may be used for ever. */
const prepared = new WeakMap<SecretKey, Prepared>();

export const aesGcm: Aead = {
  seal(key, nonce, aad, plain) {
    const { algorithm, key: object } = prepare(key);
    const cipher = createCipheriv(algorithm, object, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(aad);
    const head = cipher.update(plain);
    cipher.final();
    return Buffer.concat([head, cipher.getAuthTag()]);
  },
  open(key, nonce, aad, sealed) {
    if (sealed.length < TAG_BYTES) return undefined;
    const { algorithm, key: object } = prepare(key);
    const end = sealed.length - TAG_BYTES;
    const decipher = createDecipheriv(algorithm, object, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(aad);
    decipher.setAuthTag(sealed.subarray(end));
    const plain = decipher.update(sealed.subarray(0, end));
    try {
      decipher.final();
    } catch {
      // OpenSSL says no more than that it does not fit.
      return undefined;
    }
    return plain;
  },
};

export function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest();
}

/** HKDF-SHA256 (RFC 5869) without salt. */
export function hkdf(secret: Uint8Array, info: string, lengthBytes: number): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, new Uint8Array(0), info, lengthBytes));
}

function prepare(key: SecretKey): Prepared {
  let found = prepared.get(key);
  if (found === undefined) {
    found = { algorithm: ALGORITHM[key.bits]!, key: createSecretKey(key.reveal()) };
    prepared.set(key, found);
  }
  return found;
}
