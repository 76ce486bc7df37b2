import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  diffieHellman,
  createPrivateKey,
  createPublicKey,
} from 'node:crypto';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { tunnelCrypto, tunnelCryptoReady } from '../../../agent/crypto/tunnel-crypto.ts';
import { NO_BYTES, nonceOf } from '../../../proto/tunnel/crypto.ts';
import type { KeyPair, TunnelCrypto } from '../../../proto/tunnel/crypto.ts';
import { Handshake, IK_PSK2 } from '../../../proto/tunnel/noise.ts';
import type { HandshakeOptions, Pattern } from '../../../proto/tunnel/noise.ts';
import { fromHex, toHex } from '../../golden/memberlist-vectors.ts';

/** Every published vector, byte for byte and both ways: the pattern we speak, and others, through the same code. */
interface NoiseVector {
  readonly source: string;
  readonly protocol_name: string;
  readonly init_prologue: string;
  readonly init_static: string;
  readonly init_ephemeral: string;
  readonly init_remote_static?: string;
  readonly init_psks?: readonly string[];
  readonly resp_prologue: string;
  readonly resp_static: string;
  readonly resp_ephemeral: string;
  readonly resp_remote_static?: string;
  readonly resp_psks?: readonly string[];
  readonly handshake_hash?: string;
  readonly messages: readonly { readonly payload: string; readonly ciphertext: string }[];
}

const VECTORS = JSON.parse(readFileSync('test/golden/noise/vectors.json', 'utf8')) as NoiseVector[];

const PATTERNS: Readonly<Record<string, Omit<Pattern, 'protocolName'>>> = {
  IKpsk2: IK_PSK2,
  IK: {
    known: ['responder'],
    messages: [
      ['e', 'es', 's', 'ss'],
      ['e', 'ee', 'se'],
    ],
  },
  KK: {
    known: ['initiator', 'responder'],
    messages: [
      ['e', 'es', 'ss'],
      ['e', 'ee', 'se'],
    ],
  },
  XX: { known: [], messages: [['e'], ['e', 'ee', 's', 'es'], ['s', 'se']] },
};

void t.test('every vector', async (test) => {
  await tunnelCryptoReady;
  test.ok(VECTORS.some(({ protocol_name: name }) => name === IK_PSK2.protocolName));
  for (const vector of VECTORS) {
    const [, pattern, , cipher, hash] = vector.protocol_name.split('_');
    const crypto = cryptoOf(cipher!, hash!);
    const shared = { crypto, pattern: { ...PATTERNS[pattern!]!, protocolName: vector.protocol_name } };
    const initiator = new Handshake({ ...shared, role: 'initiator', ...sideOf(crypto, vector, 'init') });
    const responder = new Handshake({ ...shared, role: 'responder', ...sideOf(crypto, vector, 'resp') });
    const count = shared.pattern.messages.length;
    for (const [i, { payload, ciphertext }] of vector.messages.slice(0, count).entries()) {
      const [writer, reader] = i % 2 === 0 ? [initiator, responder] : [responder, initiator];
      const ephemeral = pairOf(crypto, i % 2 === 0 ? vector.init_ephemeral : vector.resp_ephemeral);
      const message = writer.write(fromHex(payload), ephemeral);
      test.equal(message && toHex(message), ciphertext, `${vector.protocol_name} message ${i}`);
      const read = reader.read(fromHex(ciphertext));
      test.equal(read && toHex(read), payload, `${vector.protocol_name} payload ${i}`);
    }
    if (vector.handshake_hash !== undefined) test.equal(toHex(initiator.hash), vector.handshake_hash);
    test.same(responder.hash, initiator.hash);
    test.equal(toHex(initiator.remoteStatic!), toHex(pairOf(crypto, vector.resp_static).publicKey));
    test.equal(toHex(responder.remoteStatic!), toHex(pairOf(crypto, vector.init_static).publicKey));

    const [ours, theirs] = [initiator.split(), responder.split()];
    test.same(theirs, { send: ours.receive, receive: ours.send });
    const sent = { initiator: 0, responder: 0 };
    for (const [i, { payload, ciphertext }] of vector.messages.entries()) {
      if (i < count) continue;
      const isInitiator = i % 2 === 0;
      const key = isInitiator ? ours.send : ours.receive;
      const nonce = nonceOf(isInitiator ? sent.initiator++ : sent.responder++);
      test.equal(toHex(crypto.seal(key, nonce, NO_BYTES, fromHex(payload))), ciphertext, `transport ${i}`);
    }
  }
});

void t.test('a touched message ends the handshake, whichever bit it was', async (test) => {
  await tunnelCryptoReady;
  const vector = VECTORS.find(({ protocol_name: name }) => name === IK_PSK2.protocolName)!;
  const message = fromHex(vector.messages[0]!.ciphertext);
  const shared = { crypto: tunnelCrypto, pattern: IK_PSK2 };
  for (let bit = 0; bit < message.length * 8; bit += 5) {
    const touched = message.slice();
    touched[bit >> 3] = touched[bit >> 3]! ^ (1 << (bit & 7));
    const responder = new Handshake({
      ...shared,
      role: 'responder',
      ...sideOf(tunnelCrypto, vector, 'resp'),
    });
    // X25519 ignores the top bit of a public key, the hash does not.
    if (responder.read(touched) !== undefined) test.fail(`bit ${bit}`);
    if (responder.read(message) !== undefined) test.fail('it goes on after a failure');
    if (responder.write(NO_BYTES, pairOf(tunnelCrypto, vector.resp_ephemeral)) !== undefined)
      test.fail('it writes after a failure');
  }
  for (let size = 0; size < 96; size++) {
    const responder = new Handshake({
      ...shared,
      role: 'responder',
      ...sideOf(tunnelCrypto, vector, 'resp'),
    });
    if (responder.read(message.subarray(0, size)) !== undefined) test.fail(`${size} bytes`);
  }
  test.pass('none');
});

void t.test(
  'hooks: a static key that is refused, one whose secret is known, one that is worthless',
  async (test) => {
    await tunnelCryptoReady;
    const vector = VECTORS.find(({ protocol_name: name }) => name === IK_PSK2.protocolName)!;
    const message = fromHex(vector.messages[0]!.ciphertext);
    const side = sideOf(tunnelCrypto, vector, 'resp');
    const shared = { crypto: tunnelCrypto, pattern: IK_PSK2, role: 'responder', ...side } as const;
    const asked: string[] = [];
    const refusing = new Handshake({
      ...shared,
      admit: (key) => {
        asked.push(toHex(key));
        return false;
      },
    });
    test.equal(refusing.read(message), undefined);
    test.same(asked, [toHex(pairOf(tunnelCrypto, vector.init_static).publicKey)]);

    const secret = tunnelCrypto.x25519(
      side.staticKeys.secretKey,
      pairOf(tunnelCrypto, vector.init_static).publicKey,
    )!;
    const knowing = new Handshake({ ...shared, admit: () => secret });
    test.equal(toHex(knowing.read(message)!), vector.messages[0]!.payload);
    knowing.destroy();
    test.not(Buffer.compare(secret, new Uint8Array(32)), 0, 'the secret stays the caller’s');

    const zero = new Uint8Array(32);
    const toNobody = new Handshake({
      ...shared,
      role: 'initiator',
      remoteStatic: zero,
      staticKeys: side.staticKeys,
    });
    test.equal(toNobody.write(NO_BYTES, pairOf(tunnelCrypto, vector.init_ephemeral)), undefined);
    test.throws(
      () =>
        new Handshake({
          crypto: tunnelCrypto,
          pattern: IK_PSK2,
          role: 'initiator',
          prologue: NO_BYTES,
          staticKeys: side.staticKeys,
        }),
      /static key of the responder/,
    );
  },
);

void t.test('libsodium agrees with OpenSSL on X25519', async (test) => {
  await tunnelCryptoReady;
  for (let i = 1; i < 20; i++) {
    const [a, b] = [i, i + 100].map((byte) =>
      pairOf(tunnelCrypto, byte.toString(16).padStart(2, '0').repeat(32)),
    );
    const expected = diffieHellman({ privateKey: privateKey(a!), publicKey: publicKey(b!) });
    test.same(Buffer.from(tunnelCrypto.x25519(a!.secretKey, b!.publicKey)!), expected);
  }
  test.equal(tunnelCrypto.x25519(new Uint8Array(32).fill(7), new Uint8Array(32)), undefined);
  test.equal(tunnelCrypto.x25519(new Uint8Array(32).fill(7), new Uint8Array(31)), undefined);
});

function sideOf(
  crypto: TunnelCrypto,
  vector: NoiseVector,
  side: 'init' | 'resp',
): Pick<HandshakeOptions, 'prologue' | 'staticKeys' | 'remoteStatic' | 'psk'> {
  const remote = vector[`${side}_remote_static`];
  const psk = vector[`${side}_psks`]?.[0];
  return {
    prologue: fromHex(vector[`${side}_prologue`]),
    staticKeys: pairOf(crypto, vector[`${side}_static`]),
    ...(remote === undefined ? {} : { remoteStatic: fromHex(remote) }),
    ...(psk === undefined ? {} : { psk: fromHex(psk) }),
  };
}

function pairOf(crypto: TunnelCrypto, secretHex: string): KeyPair {
  const secretKey = fromHex(secretHex);
  return { secretKey, publicKey: crypto.x25519PublicKey(secretKey) };
}

/** The same handshake over ChaCha20-Poly1305 and BLAKE2s, which only these vectors use. */
function cryptoOf(cipher: string, hash: string): TunnelCrypto {
  const digest = hash === 'BLAKE2s' ? 'blake2s256' : 'sha256';
  const hashes: TunnelCrypto = {
    ...tunnelCrypto,
    hash: (bytes) => createHash(digest).update(bytes).digest(),
    hmac: (key, bytes) => createHmac(digest, key).update(bytes).digest(),
  };
  if (cipher === 'AESGCM') return hashes;
  const name = 'chacha20-poly1305';
  // There the counter is little-endian (Noise §12.3).
  const littleEndian = (nonce: Uint8Array): Uint8Array =>
    Uint8Array.of(...nonce.subarray(0, 4), ...nonce.slice(4).toReversed());
  return {
    ...hashes,
    seal(key, nonce, aad, plain) {
      const sealing = createCipheriv(name, key, littleEndian(nonce), { authTagLength: 16 });
      sealing.setAAD(aad, { plaintextLength: plain.length });
      const text = sealing.update(plain);
      sealing.final();
      return Buffer.concat([text, sealing.getAuthTag()]);
    },
    open(key, nonce, aad, sealed) {
      const opening = createDecipheriv(name, key, littleEndian(nonce), { authTagLength: 16 });
      opening.setAAD(aad, { plaintextLength: sealed.length - 16 });
      opening.setAuthTag(sealed.subarray(sealed.length - 16));
      const plain = opening.update(sealed.subarray(0, sealed.length - 16));
      opening.final();
      return plain;
    },
  };
}

const PKCS8 = '302e020100300506032b656e04220420';
const SPKI = '302a300506032b656e032100';
const privateKey = ({ secretKey }: KeyPair): ReturnType<typeof createPrivateKey> =>
  createPrivateKey({ key: Buffer.from(PKCS8 + toHex(secretKey), 'hex'), format: 'der', type: 'pkcs8' });
const publicKey = ({ publicKey: key }: KeyPair): ReturnType<typeof createPublicKey> =>
  createPublicKey({ key: Buffer.from(SPKI + toHex(key), 'hex'), format: 'der', type: 'spki' });
