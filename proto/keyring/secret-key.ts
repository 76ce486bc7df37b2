import { toHex } from '../state/bytes.ts';

/**
 * One symmetric key of the gossip, and the name that people and other hosts know it by.
 *
 * The bytes leave only by `reveal`, which nothing calls by itself: JSON, inspection and text give the fingerprint.
 */
const INSPECT: unique symbol = Symbol.for('nodejs.util.inspect.custom');

/** AES-128, AES-192, AES-256. */
export const KEY_LENGTHS: readonly number[] = [16, 24, 32];
/** A fingerprint is that many bytes of a hash, told in lower-case hex. */
export const FINGERPRINT_BYTES = 8;
const DOMAIN = 'overlayd gossip key fingerprint v1';

export type Sha256 = (bytes: Uint8Array) => Uint8Array;

export class SecretKey {
  /** 16 hex digits; tells nothing about the key to who does not have it. */
  readonly fingerprint: string;
  readonly #bytes: Uint8Array;

  /** Throws RangeError, without the bytes in it, for lengths other than 16, 24 and 32. */
  constructor(bytes: Uint8Array, sha256: Sha256) {
    if (!KEY_LENGTHS.includes(bytes.length)) throw new RangeError('a gossip key has 16, 24 or 32 bytes');
    this.#bytes = bytes.slice();
    // The domain keeps these hashes apart from any other use of SHA-256 on the same key.
    const domain = Uint8Array.from(DOMAIN, (character) => character.charCodeAt(0));
    const hash = sha256(Uint8Array.of(...domain, 0, ...bytes)).subarray(0, FINGERPRINT_BYTES);
    this.fingerprint = toHex(hash);
  }

  /** Size in bits, as AES counts. */
  get bits(): number {
    return this.#bytes.length * 8;
  }

  /** The key itself: for ciphers, for wrapping, and for the file that only root reads. */
  reveal(): Uint8Array {
    return this.#bytes;
  }

  toJSON(): string {
    return this.toString();
  }

  toString(): string {
    return `key ${this.fingerprint}`;
  }

  [INSPECT](): string {
    return this.toString();
  }
}
