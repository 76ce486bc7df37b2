import t from 'tap';
import { wrapCompressed } from '../../../proto/memberlist/compress.ts';
import type { PushPullNode } from '../../../proto/memberlist/messages.ts';
import { encodeStream } from '../../../proto/memberlist/stream-message.ts';
import { StreamParser } from '../../../proto/memberlist/stream-parser.ts';
import type { PushPull, StreamMessage } from '../../../proto/memberlist/stream-parser.ts';
import { fromHex } from '../../golden/memberlist-vectors.ts';
import { wireReason } from './wire-reason.ts';

/** Streams of gossip.md 1.10: resumable, bounded, linear. */
// The machine may be busy: tap's own limit of 30 s is for a quiet one.
t.setTimeout(180_000);

const NO_LABEL = new Uint8Array(0);
const LABEL = new TextEncoder().encode('overlay-a');
const ascii = (text: string): string => Buffer.from(text).toString('hex');

function parse(bytes: Uint8Array, chunkBytes: number, label = NO_LABEL): StreamMessage | undefined {
  const parser = new StreamParser(label);
  let message: StreamMessage | undefined;
  for (let at = 0; at < bytes.length && message === undefined; at += chunkBytes) {
    message = parser.push(bytes.subarray(at, at + chunkBytes));
  }
  return message;
}

function pushPullOf(count: number, userState: Uint8Array): PushPull {
  const nodes = Array.from({ length: count }, (_, i): PushPullNode => {
    const addr = Uint8Array.of(10, 0, i >> 8, i & 0xff);
    const vsn = Uint8Array.of(1, 5, 2, 0, 0, 0);
    return { name: `node-${i}`, addr, port: 7946, incarnation: i, meta: null, state: i % 4, vsn };
  });
  return { type: 'pushPull', join: true, nodes, userState, signedInts: false };
}

void t.test('every kind of message, in every kind of chunk, with and without a label', (test) => {
  const messages: StreamMessage[] = [
    pushPullOf(5, Uint8Array.of(1, 2, 3)),
    pushPullOf(0, NO_LABEL),
    { type: 'user', bytes: new Uint8Array(1000).fill(7), signedInts: true },
    { type: 'ping', node: 'x', seqNo: 70_000, sourceAddr: null, sourceNode: '', sourcePort: 0 },
    { type: 'ack', seqNo: 1, payload: NO_LABEL },
    { type: 'err', error: 'no' },
  ];
  for (const message of messages) {
    for (const label of [NO_LABEL, LABEL]) {
      const bytes = encodeStream(message, label);
      for (const chunkBytes of [1, 3, 64, bytes.length]) test.same(parse(bytes, chunkBytes, label), message);
    }
    test.same(parse(wrapCompressed(encodeStream(message, NO_LABEL)), 1), message, 'compressed');
  }
  test.end();
});

void t.test('a long push/pull in single bytes takes linear work', (test) => {
  const message = pushPullOf(600, new Uint8Array(200_000));
  const bytes = encodeStream(message, NO_LABEL);
  const startMs = performance.now();
  test.same((parse(bytes, 1) as PushPull).nodes.length, 600);
  // Quadratic work would be 10^10 steps here.
  test.ok(performance.now() - startMs < 20_000);
  test.end();
});

void t.test('lengths beyond the limits are refused before anything is kept for them', (test) => {
  const refuse = (hex: string): string | undefined =>
    wireReason(() => new StreamParser(NO_LABEL).push(fromHex(hex)));
  test.equal(refuse(`0881aa${ascii('UserMsgLen')}ce7fffffff`), 'too-long', 'user message');
  test.equal(refuse(`0682a5${ascii('Nodes')}ce00ffffffac${ascii('UserStateLen')}00`), 'too-long', 'nodes');
  test.equal(
    refuse(`0682a5${ascii('Nodes')}00ac${ascii('UserStateLen')}ce7fffffff`),
    'too-long',
    'user state',
  );
  test.equal(refuse(`0681a5${ascii('Nodes')}ff`), 'range', 'negative count');
  test.equal(refuse('06dfffffffff'), 'too-long', 'header');
  test.equal(refuse(`0982a4${ascii('Algo')}00a3${ascii('Buf')}dbffffffff`), 'too-long', 'compressed body');
  test.equal(refuse(`0981a4${ascii('Algo')}01`), 'type', 'unknown compression');
  test.equal(refuse(`0681a5${ascii('Nodes')}0180`), 'range', 'node without a name');
  test.equal(refuse('0a00000010'), 'encrypted');
  test.equal(refuse('630102'), 'unknown-type');
  test.equal(refuse('0380'), 'unknown-type', 'a packet’s message');
  test.equal(
    refuse(Buffer.from(wrapCompressed(wrapCompressed(fromHex('0080')))).toString('hex')),
    'too-deep',
  );
  const small = new StreamParser(NO_LABEL, { maxBytes: 100 });
  test.equal(
    wireReason(() => small.push(new Uint8Array(101))),
    'too-long',
    'a stream as a whole',
  );
  test.end();
});

void t.test('what is inflated is bounded as what comes plainly', (test) => {
  const text = (bytes: number): Uint8Array => {
    const field = new Uint8Array(5 + bytes).fill(0x61);
    field[0] = 0xdb;
    new DataView(field.buffer).setUint32(1, bytes);
    return field;
  };
  for (const [what, head] of [
    ['name', `0081a4${ascii('Node')}`],
    ['error', `0d81a5${ascii('Error')}`],
    ['key', '0081'],
  ] as const) {
    const bomb = wrapCompressed(Buffer.concat([fromHex(head), text(4 << 20)]));
    test.ok(bomb.length < 100_000);
    test.equal(
      wireReason(() => new StreamParser(NO_LABEL).push(bomb)),
      'too-long',
      what,
    );
  }
  test.end();
});

void t.test('only the body of a compressed message may be long', (test) => {
  for (const [what, hex] of [
    ['an unknown key', '0982db01000000'],
    ['an unknown value', '0982a158c601000000'],
    ['an unknown list', '0982a158dd01000000'],
  ] as const) {
    test.equal(
      wireReason(() => new StreamParser(NO_LABEL).push(fromHex(hex))),
      'too-long',
      what,
    );
  }
  const waits = new StreamParser(NO_LABEL);
  test.equal(waits.push(fromHex(`0982a4${ascii('Algo')}00a3${ascii('Buf')}c601000000`)), undefined);
  test.end();
});

void t.test('a single message is no longer than a struct, in one piece and in many', (test) => {
  const ack = encodeStream({ type: 'ack', seqNo: 1, payload: new Uint8Array(100_000) }, NO_LABEL);
  for (const chunkBytes of [1_000, ack.length])
    test.equal(
      wireReason(() => parse(ack, chunkBytes)),
      'too-long',
    );
  test.end();
});

void t.test('unknown fields without end do not buy endless attempts', (test) => {
  const parser = new StreamParser(NO_LABEL);
  const reason = wireReason(() => {
    parser.push(fromHex('09de00ff'));
    for (let i = 0; i < 100_000; i++) parser.push(fromHex('a0dc000400000000'));
  });
  test.equal(reason, 'too-long');
  test.end();
});
