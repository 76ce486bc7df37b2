import t from 'tap';
import { ALIVE, PING, decodeMessage, encodeMessage } from '../../../proto/memberlist/messages.ts';
import { MsgpackReader } from '../../../proto/memberlist/msgpack-reader.ts';
import { readStruct, schema } from '../../../proto/memberlist/struct.ts';
import { bytesToText, textToBytes } from '../../../proto/memberlist/text.ts';
import { fromHex, toHex } from '../../golden/memberlist-vectors.ts';
import { wireReason } from './wire-reason.ts';

/** The dialect of gossip.md 1.2: what must be taken from other writers, and what must be refused. */
const ascii = (text: string): string => Buffer.from(text).toString('hex');
const decode = (hex: string): unknown => decodeMessage(fromHex(hex));

void t.test('fields of every schema are in wire order', (test) => {
  for (const { fields } of [PING, ALIVE]) {
    const names = fields.map(({ wireName }) => wireName);
    test.same(names, [...names].sort());
  }
  test.end();
});

void t.test('any order, unknown fields, str8, bin8 and map16 are understood', (test) => {
  const expected = { type: 'suspect', from: 'a', node: 'b', incarnation: 5 };
  const key = (name: string): string => (0xa0 + name.length).toString(16) + ascii(name);
  const usual = `0383${key('From')}a161${key('Incarnation')}05${key('Node')}a162`;
  test.same(decode(usual), expected);
  const reversed = `0383${key('Node')}a162${key('Incarnation')}05${key('From')}a161`;
  test.same(decode(reversed), expected);
  const str8 = `03de0003d904${ascii('From')}d90161d90b${ascii('Incarnation')}cf0000000000000005c404${ascii('Node')}c40162`;
  test.same(decode(str8), expected);
  const unknown = `0384${key('Extra')}8201920102c7010500a16b${usual.slice(4)}`;
  test.same(decode(unknown), expected);
  test.end();
});

void t.test(
  'missing and nil fields are zero; bytes may be arrays of integers; 0 and 1 are booleans',
  (test) => {
    test.same(decode('0380'), { type: 'suspect', from: '', node: '', incarnation: 0 });
    test.same(decode('03c0'), { type: 'suspect', from: '', node: '', incarnation: 0 });
    const arrayOf = `0281a7${ascii('Payload')}93010203`;
    test.same(decode(arrayOf), { type: 'ack', payload: Uint8Array.of(1, 2, 3), seqNo: 0 });
    test.match(decode(`0181a4${ascii('Nack')}01`), { nack: true });
    test.match(decode(`0181a4${ascii('Nack')}c2`), { nack: false });
    test.end();
  },
);

void t.test('nil and empty bytes stay what they were', (test) => {
  for (const hex of [
    `0282a7${ascii('Payload')}c0a5${ascii('SeqNo')}07`,
    `0282a7${ascii('Payload')}a0a5${ascii('SeqNo')}07`,
  ]) {
    test.equal(toHex(encodeMessage(decodeMessage(fromHex(hex)))), hex);
  }
  test.end();
});

void t.test('integers of any width; signed above 127 is noticed', (test) => {
  const shape = schema({ len: 'int' });
  const len = `81a3${ascii('Len')}`;
  const read = (hex: string): [number, boolean] => {
    const reader = new MsgpackReader(fromHex(len + hex));
    return [readStruct(reader, shape).len, reader.sawSignedInt];
  };
  test.same(read('7f'), [127, false]);
  test.same(read('cc80'), [128, false]);
  test.same(read('cd012c'), [300, false]);
  test.same(read('d1012c'), [300, true]);
  test.same(read('d200010000'), [65_536, true]);
  test.same(read('d30000000000000101'), [257, true]);
  test.same(read('d005'), [5, false]);
  test.end();
});

void t.test('refuses what no honest peer sends', (test) => {
  const key = `0381ab${ascii('Incarnation')}`;
  test.equal(
    wireReason(() => decode(`${key}ff`)),
    'range',
    'negative',
  );
  test.equal(
    wireReason(() => decode(`${key}d1ff00`)),
    'range',
    'negative, two bytes',
  );
  test.equal(
    wireReason(() => decode(`${key}cf0000000100000000`)),
    'range',
    'above u32',
  );
  test.equal(
    wireReason(() => decode(`${key}a161`)),
    'type',
    'text for a number',
  );
  test.equal(
    wireReason(() => decode(`${key}cb4014000000000000`)),
    'type',
    'float',
  );
  test.equal(
    wireReason(() => decode('03dfffffffff')),
    'truncated',
    'map longer than the message',
  );
  test.equal(
    wireReason(() => decode(`0381a158ddffffffff`)),
    'too-long',
    'an unknown array of four billion',
  );
  test.equal(
    wireReason(() => decode(`0381a158${'91'.repeat(20)}00`)),
    'too-deep',
  );
  test.equal(
    wireReason(() => decode(`0381a158dc0500${'00'.repeat(0x500)}`)),
    'too-long',
    'endless unknown items',
  );
  test.equal(
    wireReason(() => decode(`0381a158c1`)),
    'type',
    'the type that does not exist',
  );
  test.equal(
    wireReason(() => decode('')),
    'empty',
  );
  test.equal(
    wireReason(() => decode('63')),
    'unknown-type',
  );
  const longName = `0381a4${ascii('Node')}da0400${'61'.repeat(0x400)}`;
  test.equal(
    wireReason(() => decode(longName)),
    'too-long',
    'name',
  );
  for (const [what, hex] of [
    ['name', `0381a4${ascii('Node')}db02000000`],
    ['key', '0381db02000000'],
    ['unknown value', '0381a158c602000000'],
    ['error', `0d81a5${ascii('Error')}db02000000`],
  ] as const) {
    test.equal(
      wireReason(() => decode(hex)),
      'too-long',
      `${what}: by what it announces, before anything is made of it`,
    );
  }
  const passed = `a158da3000${'61'.repeat(0x3000)}`;
  test.equal(
    wireReason(() => decode(`0382${passed}${passed}`)),
    'too-long',
    'unknown values in all',
  );
  const bigMeta = `0481a4${ascii('Meta')}da0801${'00'.repeat(0x801)}`;
  test.equal(
    wireReason(() => decode(bigMeta)),
    'too-long',
    'meta',
  );
  test.end();
});

void t.test('text: UTF-8 is text, everything else comes back as the bytes it was', (test) => {
  test.equal(bytesToText(new TextEncoder().encode('höst-π-🙂')), 'höst-π-🙂');
  for (const hex of ['ff', 'c0af', 'e2ff28', 'eda080', 'f4908080', '61c3', 'f09f98', 'edb280']) {
    test.equal(toHex(textToBytes(bytesToText(fromHex(hex)))), hex);
  }
  test.not(bytesToText(fromHex('61ff')), bytesToText(fromHex('61fe')), 'names that differ stay different');
  test.end();
});
