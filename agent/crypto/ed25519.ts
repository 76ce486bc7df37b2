import sodium, { ready as sodiumReady } from 'libsodium-wrappers';
import type { Signer, Verifier } from '../../proto/state/signing.ts';
import { HASH_BYTES, KEY_BYTES, SIGNATURE_BYTES } from '../../proto/state/signing.ts';

/**
 * Ed25519 (RFC 8032) and BLAKE2b (RFC 7693) by libsodium, which also refuses keys of small order and signatures that are
 * not canonical. It is WebAssembly: `ready` must have resolved before anything else here is called.
 */
export const SEED_BYTES = 32;

export const ready: Promise<void> = sodiumReady;

/** A signer from its 32-byte secret seed. */
export function signerOf(seed: Uint8Array): Signer {
  const { publicKey, privateKey } = sodium.crypto_sign_seed_keypair(seed);
  return { publicKey, sign: (bytes) => sodium.crypto_sign_detached(bytes, privateKey) };
}

export const newSeed = (): Uint8Array => sodium.randombytes_buf(SEED_BYTES);

export const verifier: Verifier = {
  verify: (publicKey, bytes, signature) => {
    // The wrapper throws for wrong lengths; what came from the network is only ever false.
    if (publicKey.length !== KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false;
    return sodium.crypto_sign_verify_detached(signature, bytes, publicKey);
  },
  hash: (bytes) => sodium.crypto_generichash(HASH_BYTES, bytes, null),
};
