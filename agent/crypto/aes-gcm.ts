import { createHash, createSecretKey, hkdfSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { SecretKey } from '../../proto/keyring/secret-key.ts';
import type { Aead } from '../../proto/memberlist/sealed-block.ts';
import { gcmOpen, gcmSeal } from './gcm.ts';
import type { GcmName } from './gcm.ts';

/** The ciphers and hashes that protocol code is given: OpenSSL, synchronous, AES-GCM by key size (NIST SP 800-38D). */
const ALGORITHM: Readonly<Record<number, GcmName>> = {
  128: 'aes-128-gcm',
  192: 'aes-192-gcm',
  256: 'aes-256-gcm',
};

interface Prepared {
  readonly algorithm: GcmName;
  readonly key: KeyObject;
}

/** A key object is dear to make and may be used for ever. */
const prepared = new WeakMap<SecretKey, Prepared>();

export const aesGcm: Aead = {
  seal(key, nonce, aad, plain) {
    const { algorithm, key: object } = prepare(key);
    return gcmSeal(algorithm, object, nonce, aad, plain);
  },
  open(key, nonce, aad, sealed) {
    const { algorithm, key: object } = prepare(key);
    return gcmOpen(algorithm, object, nonce, aad, sealed);
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
