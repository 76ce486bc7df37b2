import sodium from 'libsodium-wrappers';
import t from 'tap';
import {
  tunnelCrypto,
  tunnelCryptoReady,
  tunnelKeyOfIdentity,
  tunnelKeysOfIdentity,
} from '../../../agent/crypto/tunnel-crypto.ts';

const seedOf = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);

void t.test('the tunnel key of an identity: its owner and everybody else come to the same', async (test) => {
  await tunnelCryptoReady;
  for (let byte = 1; byte < 20; byte++) {
    const own = tunnelKeysOfIdentity(seedOf(byte));
    const { publicKey } = sodium.crypto_sign_seed_keypair(seedOf(byte));
    test.same(tunnelKeyOfIdentity(publicKey), own.publicKey);
    test.same(tunnelCrypto.x25519PublicKey(own.secretKey), own.publicKey);
  }
  test.throws(() => tunnelKeysOfIdentity(new Uint8Array(31)), /32 bytes/);
});

void t.test('what is no identity has no tunnel key', async (test) => {
  await tunnelCryptoReady;
  test.equal(tunnelKeyOfIdentity(new Uint8Array(31)), undefined);
  test.equal(tunnelKeyOfIdentity(new Uint8Array(33)), undefined);
  test.equal(tunnelKeyOfIdentity(new Uint8Array(32)), undefined, 'of small order');
  test.equal(tunnelKeyOfIdentity(Uint8Array.of(1, ...new Uint8Array(31))), undefined, 'the neutral point');
  test.equal(tunnelKeyOfIdentity(new Uint8Array(32).fill(0xff)), undefined, 'not on the curve');
});

void t.test('sealing: right or nothing, and nothing throws', async (test) => {
  await tunnelCryptoReady;
  const [key, nonce, aad] = [seedOf(1), new Uint8Array(12), Uint8Array.of(1, 2)];
  const sealed = tunnelCrypto.seal(key, nonce, aad, Uint8Array.of(7));
  test.equal(sealed.length, 17);
  test.same([...tunnelCrypto.open(key, nonce, aad, sealed)!], [7]);
  test.equal(tunnelCrypto.open(key, nonce, Uint8Array.of(1, 3), sealed), undefined);
  test.equal(tunnelCrypto.open(seedOf(2), nonce, aad, sealed), undefined);
  for (let size = 0; size < 17; size++)
    test.equal(tunnelCrypto.open(key, nonce, aad, sealed.subarray(0, size)), undefined);
  test.equal(tunnelCrypto.equal(seedOf(1), seedOf(1)), true);
  test.equal(tunnelCrypto.equal(seedOf(1), seedOf(2)), false);
  test.equal(tunnelCrypto.equal(seedOf(1), new Uint8Array(31)), false, 'of different lengths');
});
