import type { Rng } from '../env.ts';

/**
 * The primitives of the tunnel handshake, given from outside (agent/crypto/tunnel-crypto.ts has the real ones).
 *
 * For overlayd: X25519 (RFC 7748), SHA-256, HMAC (RFC 2104), AES-256-GCM (NIST SP 800-38D). Nothing here keeps state, and
 * no method throws for bytes that came from the network. Keys, hashes and shared secrets have 32 bytes.
 */
export interface TunnelCrypto {
  /** Diffie-Hellman; undefined when the result is all zero, which only a worthless public key gives (RFC 7748 §6.1). */
  x25519(secretKey: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined;
  x25519PublicKey(secretKey: Uint8Array): Uint8Array;
  hash(bytes: Uint8Array): Uint8Array;
  hmac(key: Uint8Array, bytes: Uint8Array): Uint8Array;
  /** Ciphertext with its 16-byte tag behind. The nonce has 12 bytes. */
  seal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plain: Uint8Array): Uint8Array;
  /** Undefined when it does not open, whatever the reason. */
  open(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined;
  /** In a time that depends on the lengths alone. */
  equal(a: Uint8Array, b: Uint8Array): boolean;
}

export interface KeyPair {
  readonly secretKey: Uint8Array;
  readonly publicKey: Uint8Array;
}

export const KEY_BYTES = 32;
export const TAG_BYTES = 16;
export const NO_BYTES: Uint8Array = new Uint8Array(0);

/** HKDF (RFC 5869) in Noise's form (Noise §4.3): the chaining key is the salt, there is no info. */
export function hkdf(
  crypto: TunnelCrypto,
  chainingKey: Uint8Array,
  input: Uint8Array,
  count: number,
): Uint8Array[] {
  const extracted = crypto.hmac(chainingKey, input);
  const outputs: Uint8Array[] = [];
  let previous = NO_BYTES;
  for (let i = 1; i <= count; i++) {
    previous = crypto.hmac(extracted, concat(previous, Uint8Array.of(i)));
    outputs.push(previous);
  }
  extracted.fill(0);
  return outputs;
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** That many random bytes. */
export function random(rng: Rng, size: number): Uint8Array {
  return filled(rng, new Uint8Array(size));
}

function filled(rng: Rng, bytes: Uint8Array): Uint8Array {
  rng.fill(bytes);
  return bytes;
}

/** The bytes of an ASCII label: hashed to keep one use of a key from another. */
export function label(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Noise's nonce for AES-GCM (Noise §12.4): four zero bytes, then the counter, big-endian. Counters below 2^53. */
export function nonceOf(counter: number): Uint8Array {
  const nonce = new Uint8Array(12);
  const view = new DataView(nonce.buffer);
  view.setUint32(4, Math.floor(counter / 0x1_0000_0000));
  view.setUint32(8, counter >>> 0);
  return nonce;
}
