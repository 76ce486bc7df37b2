/**
 * Cheap signatures for simulations: no secret in the mathematical sense, but key, bytes and signature are bound together,
 * and nobody can sign for a key without the signer object that `fakeSigner` gives for it.
 */
import { Hash64 } from '../../../proto/state/hash.ts';
import type { Signer, Verifier } from '../../../proto/state/signing.ts';
import { KEY_BYTES, SIGNATURE_BYTES, isSameBytes } from '../../../proto/state/signing.ts';

const TEXT = new TextEncoder();

function sign(publicKey: Uint8Array, bytes: Uint8Array): Uint8Array {
  const signature = new Uint8Array(SIGNATURE_BYTES);
  const view = new DataView(signature.buffer);
  view.setBigUint64(0, new Hash64().bytes(publicKey).bytes(bytes).finish());
  view.setUint32(8, bytes.length);
  return signature;
}

/** The same name and life give the same key. */
export function fakeSigner(name: string, life = 0): Signer {
  const publicKey = new Uint8Array(KEY_BYTES).fill(0x5a);
  const seed = new Hash64().bytes(TEXT.encode(name)).number(life).finish();
  new DataView(publicKey.buffer).setBigUint64(0, seed);
  publicKey.set(TEXT.encode(name).subarray(0, 24), 8);
  return { publicKey, sign: (bytes) => sign(publicKey, bytes) };
}

export const fakeVerifier: Verifier = {
  verify: (publicKey, bytes, signature) => isSameBytes(sign(publicKey, bytes), signature),
  hash: (bytes) => {
    const hash = new Uint8Array(16);
    const view = new DataView(hash.buffer);
    view.setBigUint64(0, new Hash64().bytes(bytes).finish());
    view.setBigUint64(8, new Hash64().word(1).bytes(bytes).finish());
    return hash;
  },
};
