import { sha256 } from '../../../agent/crypto/aes-gcm.ts';
import { SecretKey } from '../../../proto/keyring/secret-key.ts';

/** Keys of tests: from hex, or 32 bytes of one value. */
export function keyOf(hex: string): SecretKey {
  return new SecretKey(Uint8Array.from(Buffer.from(hex, 'hex')), sha256);
}

export function keyOfByte(byte: number, lengthBytes = 32): SecretKey {
  return new SecretKey(new Uint8Array(lengthBytes).fill(byte), sha256);
}
