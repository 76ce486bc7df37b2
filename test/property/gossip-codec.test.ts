import * as fc from 'fast-check';
import t from 'tap';
import { unwrapCompressed, wrapCompressed } from '../../proto/memberlist/compress.ts';
import { lzwDecode, lzwEncode } from '../../proto/memberlist/lzw.ts';
import { decodeMessage, encodeMessage } from '../../proto/memberlist/messages.ts';
import type { Message, PushPullNode } from '../../proto/memberlist/messages.ts';
import { openPacket, sealPacket } from '../../proto/memberlist/packet.ts';
import { encodeStream } from '../../proto/memberlist/stream-message.ts';
import { StreamParser } from '../../proto/memberlist/stream-parser.ts';
import type { StreamMessage } from '../../proto/memberlist/stream-parser.ts';
import { bytesToText, textToBytes } from '../../proto/memberlist/text.ts';
import { toHex } from '../golden/memberlist-vectors.ts';

/** What is written is read again, whatever it is and however it arrives. fast-check prints the seed of a failure. */
// The machine may be busy: tap's own limit of 30 s is for a quiet one.
t.setTimeout(180_000);

const NO_LABEL = new Uint8Array(0);

const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength });
const bytesOrNil = (maxLength: number): fc.Arbitrary<Uint8Array | null> =>
  fc.option(bytes(maxLength), { nil: null });
const u32 = fc.nat({ max: 0xffff_ffff });
const u16 = fc.nat({ max: 0xffff });
/** Any bytes at all are a Go string. */
const name = bytes(60).map(bytesToText);
/** Omitted when empty, and then read as nil. */
const omittable = bytesOrNil(16).map((value) => (value?.length === 0 ? null : value));
const source = { sourceAddr: omittable, sourceNode: name, sourcePort: u16 };
const vsn = bytesOrNil(8);

const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ type: fc.constant('ping' as const), node: name, seqNo: u32, ...source }),
  fc.record({
    type: fc.constant('indirectPing' as const),
    nack: fc.boolean(),
    node: name,
    port: u16,
    seqNo: u32,
    ...source,
    target: bytesOrNil(16),
  }),
  fc.record({ type: fc.constant('ack' as const), payload: bytesOrNil(300), seqNo: u32 }),
  fc.record({ type: fc.constant('nack' as const), seqNo: u32 }),
  fc.record({
    type: fc.constantFrom('suspect' as const, 'dead' as const),
    from: name,
    incarnation: u32,
    node: name,
  }),
  fc.record({
    type: fc.constant('alive' as const),
    addr: bytesOrNil(16),
    incarnation: u32,
    meta: bytesOrNil(600),
    node: name,
    port: u16,
    vsn,
  }),
  fc.record({ type: fc.constant('user' as const), bytes: bytes(400) }),
);

const node: fc.Arbitrary<PushPullNode> = fc.record({
  addr: bytesOrNil(16),
  incarnation: u32,
  meta: bytesOrNil(600),
  name: name.filter((text) => text !== ''),
  port: u16,
  state: fc.nat({ max: 3 }),
  vsn,
});

const streamMessage: fc.Arbitrary<StreamMessage> = fc.oneof(
  // A short length looks the same in both dialects; then "unsigned" is what is read.
  fc
    .record({
      nodes: fc.array(node, { maxLength: 200 }),
      userState: bytes(700),
      join: fc.boolean(),
      signed: fc.boolean(),
    })
    .map(({ nodes, userState, join, signed }) => {
      const signedInts = signed && (nodes.length > 127 || userState.length > 127);
      return { type: 'pushPull' as const, nodes, userState, join, signedInts };
    }),
  fc.record({ type: fc.constant('user' as const), bytes: bytes(2000), signedInts: fc.constant(false) }),
  fc.record({ type: fc.constant('err' as const), error: name }),
);

void t.test('messages', (test) => {
  fc.assert(
    fc.property(message, (written) => {
      test.same(decodeMessage(encodeMessage(written)), written);
    }),
    { numRuns: 300 },
  );
  test.end();
});

void t.test('packets through every stage', (test) => {
  const parts = fc.array(message, { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(parts, fc.boolean(), fc.boolean(), bytes(20), (written, crc, compress, label) => {
      const packet = sealPacket(written.map(encodeMessage), crc, { label, compress });
      test.same(openPacket(packet, label).parts.map(decodeMessage), written);
    }),
    { numRuns: 150 },
  );
  test.end();
});

void t.test('streams cut anywhere', (test) => {
  fc.assert(
    fc.property(streamMessage, fc.array(fc.nat({ max: 5000 }), { maxLength: 30 }), (written, cuts) => {
      const stream = encodeStream(written, NO_LABEL);
      const parser = new StreamParser(NO_LABEL);
      const ends = [...cuts.filter((cut) => cut < stream.length).sort((a, b) => a - b), stream.length];
      let at = 0;
      let read: StreamMessage | undefined;
      for (const end of ends) {
        read ??= parser.push(stream.subarray(at, end));
        at = end;
      }
      test.same(read, written);
    }),
    { numRuns: 150 },
  );
  test.end();
});

void t.test('LZW and text', (test) => {
  const compressible = fc.oneof(
    bytes(3000),
    fc.array(fc.constantFrom(0, 1, 97), { maxLength: 6000 }).map((values) => Uint8Array.from(values)),
  );
  fc.assert(
    fc.property(compressible, (input) => {
      test.equal(toHex(lzwDecode(lzwEncode(input), input.length)), toHex(input));
      test.equal(toHex(unwrapCompressed(wrapCompressed(input), 10_000).inner), toHex(input));
    }),
    { numRuns: 100 },
  );
  fc.assert(fc.property(bytes(200), (input) => toHex(textToBytes(bytesToText(input))) === toHex(input)));
  fc.assert(fc.property(fc.string({ unit: 'grapheme' }), (text) => bytesToText(textToBytes(text)) === text));
  test.end();
});
