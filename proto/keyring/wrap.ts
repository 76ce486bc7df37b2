import { fromHex } from '../state/bytes.ts';
import type { Rng } from '../env.ts';
import type { Aead } from '../memberlist/sealed-block.ts';
import type { Keyring } from './keyring.ts';
import { SecretKey } from './secret-key.ts';
import type { Sha256 } from './secret-key.ts';

/**
 * A key on its way to other hosts: sealed under another key that they have. The sealing key is derived (HKDF-SHA256) from
 * that one, so that no key serves two purposes; both fingerprints are associated data.
 */
export interface KeyringCrypto {
  readonly aead: Aead;
  readonly sha256: Sha256;
  /** HKDF-SHA256 (RFC 5869), no salt. */
  readonly hkdf: (secret: Uint8Array, info: string, lengthBytes: number) => Uint8Array;
}

export interface WrappedKey {
  /** Fingerprint of the key that opens it. */
  readonly under: string;
  readonly nonce: Uint8Array;
  /** Ciphertext and tag. */
  readonly sealed: Uint8Array;
}

const INFO = 'overlayd gossip key wrap v1';
const WRAPPING_BYTES = 32;

export function wrapKey(crypto: KeyringCrypto, rng: Rng, key: SecretKey, under: SecretKey): WrappedKey {
  const nonce = new Uint8Array(Uint32Array.of(rng.u32(), rng.u32(), rng.u32()).buffer);
  const aad = aadOf(key.fingerprint, under.fingerprint);
  const sealed = crypto.aead.seal(wrappingKey(crypto, under), nonce, aad, key.reveal());
  return { under: under.fingerprint, nonce, sealed };
}

/** undefined when no key of the ring opens any of them to the key of that fingerprint. */
export function unwrapKey(
  crypto: KeyringCrypto,
  keyring: Keyring,
  fingerprint: string,
  wraps: readonly WrappedKey[],
): SecretKey | undefined {
  for (const { under, nonce, sealed } of wraps) {
    const holder = keyring.find(under);
    if (holder === undefined) continue;
    const bytes = crypto.aead.open(wrappingKey(crypto, holder), nonce, aadOf(fingerprint, under), sealed);
    if (bytes === undefined || ![16, 24, 32].includes(bytes.length)) continue;
    const key = new SecretKey(bytes, crypto.sha256);
    if (key.fingerprint === fingerprint) return key;
  }
  return undefined;
}

function wrappingKey(crypto: KeyringCrypto, key: SecretKey): SecretKey {
  return new SecretKey(crypto.hkdf(key.reveal(), INFO, WRAPPING_BYTES), crypto.sha256);
}

function aadOf(fingerprint: string, under: string): Uint8Array {
  return fromHex(fingerprint + under);
}
