import t from 'tap';
import { aesGcm } from '../../../agent/crypto/aes-gcm.ts';
import { openBlock, sealBlock, sealedBytes } from '../../../proto/memberlist/sealed-block.ts';
import type { Sealer, SealVersion } from '../../../proto/memberlist/sealed-block.ts';
import { openPacket, sealPacket } from '../../../proto/memberlist/packet.ts';
import { encodeStream } from '../../../proto/memberlist/stream-message.ts';
import { StreamParser } from '../../../proto/memberlist/stream-parser.ts';
import { keyOfByte } from '../keyring/keys.ts';
import { wireReason } from './wire-reason.ts';

const AAD = Uint8Array.of(1, 2, 3);
const NONE = new Uint8Array(0);
const K16 = keyOfByte(1, 16);
const K24 = keyOfByte(2, 24);
const K32 = keyOfByte(3, 32);

function sealer(key = K32, version: SealVersion = 1): Sealer {
  return { aead: aesGcm, key, version, nonce: () => new Uint8Array(12).fill(7) };
}

void t.test(
  'each key size, each version, each length: what is sealed opens, at the length foretold',
  (test) => {
    for (const key of [K16, K24, K32]) {
      for (const version of [0, 1] as const) {
        for (const length of [0, 1, 15, 16, 17, 1000]) {
          const plain = new Uint8Array(length).fill(9);
          const block = sealBlock(sealer(key, version), AAD, plain);
          test.equal(block.length, sealedBytes(version, length));
          const opened = openBlock(aesGcm, [K16, K24, K32], AAD, block);
          test.same(Uint8Array.from(opened.plain), plain);
          test.equal(opened.key, key, 'and says by which key');
        }
      }
    }
    test.end();
  },
);

void t.test('one changed bit, another AAD, another key, a cut: undecryptable', (test) => {
  const block = sealBlock(sealer(), AAD, Uint8Array.of(1, 2, 3, 4));
  const reason = (bytes: Uint8Array, aad = AAD, keys = [K32]): string | undefined =>
    wireReason(() => openBlock(aesGcm, keys, aad, bytes));
  for (let at = 1; at < block.length; at++) {
    test.equal(reason(block.with(at, block[at]! ^ 1)), 'undecryptable', `byte ${at}`);
    test.equal(reason(block.subarray(0, at)), 'undecryptable', `cut at ${at}`);
  }
  test.equal(reason(block.with(0, 2)), 'undecryptable', 'a version that is not known');
  test.equal(reason(NONE), 'undecryptable');
  test.equal(reason(block, NONE), 'undecryptable');
  test.equal(reason(block, AAD, [K16, K24]), 'undecryptable');
  test.equal(reason(block, AAD, []), 'undecryptable');
  test.end();
});

void t.test('version 0: padding is checked as PKCS#7 says', (test) => {
  // What a peer with the key might pad, sealed as it is.
  const withPad = (plain: number[]): string | undefined => {
    const block = sealBlock(sealer(K32, 1), AAD, Uint8Array.from(plain)).with(0, 0);
    return wireReason(() => openBlock(aesGcm, [K32], AAD, block));
  };
  const fill = (pad: number, count: number): number[] => [
    ...Array.from({ length: 16 - count }, () => 5),
    ...Array.from({ length: count }, () => pad),
  ];
  test.equal(withPad(fill(16, 16)), undefined);
  test.equal(withPad(fill(1, 1)), undefined);
  test.equal(withPad(fill(0, 1)), 'undecryptable', 'of no length');
  test.equal(withPad(fill(17, 16)), 'undecryptable', 'longer than a block');
  test.equal(withPad(fill(4, 3)), 'undecryptable', 'not all the same');
  test.equal(withPad([]), 'undecryptable', 'nothing at all');
  test.equal(withPad([9, 9]), 'undecryptable', 'longer than the text');
  test.end();
});

void t.test('packets: the label is associated data', (test) => {
  const label = new TextEncoder().encode('overlay-a');
  const open = (block: Uint8Array, aad: Uint8Array): Uint8Array => openBlock(aesGcm, [K32], aad, block).plain;
  const packet = sealPacket([Uint8Array.of(8, 1)], true, { label, compress: false, sealer: sealer() });
  test.same([...openPacket(packet, label, open).parts[0]!], [8, 1]);
  // Moved under another label by who has no key.
  const moved = Uint8Array.of(0xf4, 1, 0x62, ...packet.subarray(2 + label.length));
  test.equal(
    wireReason(() => openPacket(moved, Uint8Array.of(0x62), open)),
    'undecryptable',
  );
  test.end();
});

void t.test('stream frames: limits, nesting, and bytes that come one by one', (test) => {
  const open = (block: Uint8Array, aad: Uint8Array): Uint8Array => openBlock(aesGcm, [K32], aad, block).plain;
  const user = { type: 'user', bytes: new Uint8Array(100_000).fill(3), signedInts: false } as const;
  const label = Uint8Array.of(0x61);
  const stream = encodeStream(user, label, { sealer: sealer(), compress: true });
  const parser = new StreamParser(label, { open, isSealRequired: true });
  for (const byte of stream.subarray(0, -1)) test.equal(parser.push(Uint8Array.of(byte)), undefined);
  test.same(parser.push(stream.subarray(-1)), user);

  const reason = (bytes: Uint8Array): string | undefined =>
    wireReason(() => new StreamParser(NONE, { open, isSealRequired: true }).push(bytes));
  test.equal(reason(Uint8Array.of(0x0a, 0x01, 0x40, 0, 1)), 'too-long', '20 MiB and one byte');
  test.equal(reason(Uint8Array.of(0x0a, 0, 0, 0, 0)), 'undecryptable', 'an empty frame');
  test.equal(reason(encodeStream(user, NONE)), 'clear');
  test.equal(reason(encodeStream(user, NONE, { compress: true })), 'clear', 'compressed is clear too');
  test.equal(reason(encodeStream(user, NONE, { sealer: sealer(K16) })), 'undecryptable');
  test.equal(
    reason(encodeStream(user, NONE, { sealer: sealer(), sealLabel: label })),
    'undecryptable',
    'label',
  );
  test.equal(
    wireReason(() => new StreamParser(NONE).push(encodeStream(user, NONE, { sealer: sealer() }))),
    'encrypted',
    'without a key',
  );
  test.end();
});
