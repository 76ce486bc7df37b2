import t from 'tap';
import { wrapCompressed } from '../../../proto/memberlist/compress.ts';
import { encodeMessage } from '../../../proto/memberlist/messages.ts';
import { encodeCompound, openPacket, sealPacket } from '../../../proto/memberlist/packet.ts';
import { toHex } from '../../golden/memberlist-vectors.ts';
import { wireReason } from './wire-reason.ts';

/** The UDP pipeline of gossip.md 1.4 to 1.9, and its bounds. */
const NO_LABEL = new Uint8Array(0);
const LABEL = new TextEncoder().encode('overlay-a');
const user = (text: string): Uint8Array =>
  encodeMessage({ type: 'user', bytes: new TextEncoder().encode(text) });
const hexes = (parts: readonly Uint8Array[]): string[] => parts.map(toHex);

void t.test('all stages there and back', (test) => {
  const messages = [user('one'), user('two'.repeat(50)), user('')];
  for (const crc of [false, true]) {
    for (const compress of [false, true]) {
      for (const label of [NO_LABEL, LABEL]) {
        const packet = sealPacket(messages, crc, { label, compress });
        const { parts, missingParts } = openPacket(packet, label);
        test.same(hexes(parts), hexes(messages));
        test.equal(missingParts, 0);
      }
    }
  }
  test.same(
    sealPacket([user('one')], false, { label: NO_LABEL, compress: true }),
    user('one'),
    'packing that does not pay',
  );
  test.throws(() => encodeCompound(Array<Uint8Array>(256).fill(user('x'))), RangeError);
  test.end();
});

void t.test('a label must be the right one, and be there or not as expected', (test) => {
  const plain = sealPacket([user('x')], true, { label: NO_LABEL, compress: false });
  const labelled = sealPacket([user('x')], true, { label: LABEL, compress: false });
  test.equal(
    wireReason(() => openPacket(plain, LABEL)),
    'label',
  );
  test.equal(
    wireReason(() => openPacket(labelled, NO_LABEL)),
    'label',
  );
  test.equal(
    wireReason(() => openPacket(labelled, new TextEncoder().encode('overlay-b'))),
    'label',
  );
  test.equal(
    wireReason(() => openPacket(labelled.subarray(0, 5), LABEL)),
    'truncated',
  );
  test.equal(
    wireReason(() => openPacket(Uint8Array.of(0xf4, 0, 8), NO_LABEL)),
    'label',
    'empty label',
  );
  test.end();
});

void t.test('a broken CRC drops the packet', (test) => {
  const packet = sealPacket([user('hello')], true, { label: NO_LABEL, compress: false }).slice();
  packet[7] = (packet[7] as number) ^ 1;
  test.equal(
    wireReason(() => openPacket(packet, NO_LABEL)),
    'crc',
  );
  test.equal(
    wireReason(() => openPacket(packet.subarray(0, 3), NO_LABEL)),
    'truncated',
  );
  test.end();
});

void t.test('a compound cut short gives its whole parts and counts the others', (test) => {
  const compound = encodeCompound([user('first'), user('second'), user('third')]);
  const { parts, missingParts } = openPacket(compound.subarray(0, compound.length - 8), NO_LABEL);
  test.same(hexes(parts), hexes([user('first')]));
  test.equal(missingParts, 2);
  test.equal(
    wireReason(() => openPacket(compound.subarray(0, 5), NO_LABEL)),
    'truncated',
  );
  test.equal(
    wireReason(() => openPacket(Uint8Array.of(7), NO_LABEL)),
    'truncated',
  );
  test.same(openPacket(Uint8Array.of(7, 1, 0, 0), NO_LABEL).parts, [], 'an empty part');
  test.equal(
    wireReason(() => openPacket(NO_LABEL, NO_LABEL)),
    'empty',
  );
  test.end();
});

void t.test('wrappers nest four deep and no deeper; bombs are bounded over the whole packet', (test) => {
  const nested = (depth: number): Uint8Array => {
    let message = user('core');
    for (let i = 0; i < depth; i++)
      message = i % 2 === 0 ? encodeCompound([message]) : wrapCompressed(message);
    return message.slice();
  };
  test.same(hexes(openPacket(nested(4), NO_LABEL).parts), hexes([user('core')]));
  test.equal(
    wireReason(() => openPacket(nested(5), NO_LABEL)),
    'too-deep',
  );
  test.equal(
    wireReason(() => openPacket(wrapCompressed(user('x'.repeat(70_000))), NO_LABEL)),
    'too-long',
  );
  const half = wrapCompressed(user('x'.repeat(40_000))).slice();
  test.equal(
    wireReason(() => openPacket(encodeCompound([half, half]), NO_LABEL)),
    'too-long',
  );
  test.end();
});
