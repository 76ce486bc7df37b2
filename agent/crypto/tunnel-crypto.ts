import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import sodium, { ready as sodiumReady } from 'libsodium-wrappers';
import type { KeyPair, TunnelCrypto } from '../../proto/tunnel/crypto.ts';
import { KEY_BYTES } from '../../proto/tunnel/crypto.ts';
import { gcmOpen, gcmSeal } from './gcm.ts';

/**
 * The primitives of the tunnel handshake: X25519 by libsodium, which refuses worthless public keys (RFC 7748 §6.1), hashes
 * and AES-256-GCM by OpenSSL. Libsodium is WebAssembly: `tunnelCryptoReady` must have resolved before anything is called.
 */
export const tunnelCryptoReady: Promise<void> = sodiumReady;

const ED25519_SEED_BYTES = 32;
const ALGORITHM = 'aes-256-gcm';

export const tunnelCrypto: TunnelCrypto = {
  x25519(secretKey, publicKey) {
    try {
      return sodium.crypto_scalarmult(secretKey, publicKey);
    } catch {
      // "weak public key", or one of a wrong length: nothing else makes it throw.
      return undefined;
    }
  },
  x25519PublicKey: (secretKey) => sodium.crypto_scalarmult_base(secretKey),
  hash: (bytes) => createHash('sha256').update(bytes).digest(),
  hmac: (key, bytes) => createHmac('sha256', key).update(bytes).digest(),
  seal: (key, nonce, aad, plain) => gcmSeal(ALGORITHM, key, nonce, aad, plain),
  open: (key, nonce, aad, sealed) => gcmOpen(ALGORITHM, key, nonce, aad, sealed),
  equal: (a, b) => a.length === b.length && timingSafeEqual(a, b),
};

/** The X25519 key pair of a host's Ed25519 identity, given as its 32-byte seed. */
export function tunnelKeysOfIdentity(seed: Uint8Array): KeyPair {
  if (seed.length !== ED25519_SEED_BYTES) throw new RangeError('an Ed25519 seed has 32 bytes');
  const { privateKey } = sodium.crypto_sign_seed_keypair(seed);
  const secretKey = sodium.crypto_sign_ed25519_sk_to_curve25519(privateKey);
  privateKey.fill(0);
  return { secretKey, publicKey: sodium.crypto_scalarmult_base(secretKey) };
}

/** The X25519 public key of an Ed25519 identity; undefined when the bytes are no point of the curve, or a worthless one. */
export function tunnelKeyOfIdentity(publicKey: Uint8Array): Uint8Array | undefined {
  if (publicKey.length !== KEY_BYTES) return undefined;
  try {
    return sodium.crypto_sign_ed25519_pk_to_curve25519(publicKey);
  } catch {
    return undefined;
  }
}
