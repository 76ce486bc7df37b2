import t from 'tap';
import type { Test } from 'tap';
import { unwrapCompressed, wrapCompressed } from '../../../proto/memberlist/compress.ts';
import { decodeMessage, encodeMessage } from '../../../proto/memberlist/messages.ts';
import { openPacket, sealPacket } from '../../../proto/memberlist/packet.ts';
import { encodeStream } from '../../../proto/memberlist/stream-message.ts';
import { StreamParser } from '../../../proto/memberlist/stream-parser.ts';
import type { StreamMessage } from '../../../proto/memberlist/stream-parser.ts';
import { fromHex, plainVectors, readGolden, toHex } from '../../golden/memberlist-vectors.ts';
import type { Vector } from '../../golden/memberlist-vectors.ts';

/** Packets and streams of real Go members: decoded as captured, encoded to the same bytes (gossip.md 10.3.1). */
const NO_LABEL = new Uint8Array(0);

/** The capture's notation: Go field names, byte fields as {hex}. */
function asCaptured(value: unknown): unknown {
  if (value instanceof Uint8Array) return { hex: toHex(value) };
  if (Array.isArray(value)) return value.map(asCaptured);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, asCaptured(item)]));
}

function withoutAscii(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutAscii);
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).filter(([key]) => key !== 'ascii');
  return Object.fromEntries(
    entries.map(([key, item]) => [
      key === 'bytes' ? key : key.charAt(0).toLowerCase() + key.slice(1),
      withoutAscii(item),
    ]),
  );
}

/** Fields that Go left out are zero here and absent there. */
function expectFields(test: Test, actual: unknown, captured: unknown, name: string): void {
  const seen = asCaptured(actual) as Record<string, unknown>;
  test.match(seen, withoutAscii(captured), name);
}

const labelOf = (vector: Vector): Uint8Array =>
  vector.label === '' ? NO_LABEL : new TextEncoder().encode(vector.label);
const nameOf = (vector: Vector): string => `${vector.file}[${vector.index}] ${vector.layers.join(' ')}`;

void t.test('every UDP packet decodes as captured and encodes to the same bytes', (test) => {
  const vectors = plainVectors().filter(({ via }) => via === 'udp');
  let messages = 0;
  for (const vector of vectors) {
    const label = labelOf(vector);
    const { parts, missingParts } = openPacket(fromHex(vector.hex), label);
    const captured = vector.decoded as unknown[];
    test.equal(missingParts, 0);
    test.equal(parts.length, captured.length, nameOf(vector));
    const encoded = parts.map((part, i) => {
      const message = decodeMessage(part);
      expectFields(test, message, captured[i], `${nameOf(vector)} part ${i}`);
      test.equal(toHex(encodeMessage(message)), toHex(part), `${nameOf(vector)} part ${i} again`);
      messages += 1;
      return encodeMessage(message);
    });
    const crc = vector.layers.includes('crc');
    const compress = vector.layers.some((layer) => layer.startsWith('lzw'));
    test.equal(toHex(sealPacket(encoded, crc, { label, compress })), vector.hex, `${nameOf(vector)} whole`);
  }
  test.ok(messages > 150, `${messages} messages`);
  test.end();
});

function parseInChunks(bytes: Uint8Array, label: Uint8Array, chunkBytes: number): StreamMessage | undefined {
  const parser = new StreamParser(label);
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    const message = parser.push(bytes.subarray(at, at + chunkBytes));
    if (message !== undefined) return message;
  }
  return undefined;
}

void t.test('every TCP stream decodes in chunks of any size and encodes to the same bytes', (test) => {
  const vectors = plainVectors().filter(({ via }) => via === 'tcp');
  for (const vector of vectors) {
    const bytes = fromHex(vector.hex);
    const label = vector.role === 'dialer' ? labelOf(vector) : NO_LABEL;
    const whole = parseInChunks(bytes, label, bytes.length);
    test.ok(whole, nameOf(vector));
    if (whole === undefined) continue;
    for (const chunkBytes of [1, 2, 7]) {
      test.same(
        parseInChunks(bytes, label, chunkBytes),
        whole,
        `${nameOf(vector)} in chunks of ${chunkBytes}`,
      );
    }
    const captured = vector.decoded as {
      header?: object;
      nodes?: unknown[];
      userState?: unknown;
      bytes?: unknown;
    };
    expectFields(test, whole, capturedStream(captured), nameOf(vector));
    const again = encodeStream(whole, label);
    if (vector.layers.some((layer) => layer.startsWith('lzw'))) {
      const at = label.length === 0 ? 0 : 2 + label.length;
      test.equal(
        toHex(again),
        toHex(unwrapCompressed(bytes.subarray(at), 1 << 20).inner),
        `${nameOf(vector)} body`,
      );
      test.equal(toHex(wrapCompressed(again)), toHex(bytes.subarray(at)), `${nameOf(vector)} wrapped`);
    } else {
      test.equal(toHex(again), vector.hex, `${nameOf(vector)} whole`);
    }
  }
  test.ok(vectors.length > 30, `${vectors.length} streams`);
  test.end();
});

/** The capture splits a stream into header and rest; the header's counts are implied by the rest. */
function capturedStream(captured: { header?: object; nodes?: unknown[] }): object {
  const { header, ...rest } = captured;
  const { Join } = (header ?? {}) as { Join?: boolean };
  return Join === undefined ? rest : { ...rest, Join };
}

void t.test('TCP ping, its answer and err of a Go acceptor', (test) => {
  interface Extra {
    readonly what: string;
    readonly sentHex: string;
    readonly replyHex: string;
  }
  const { vectors } = readGolden('extra-tcp-plain022.json') as { vectors: Extra[] };
  const ping = vectors.find(({ what }) => what === 'TCP ping') as Extra;
  test.match(parseInChunks(fromHex(ping.sentHex), NO_LABEL, 1), { type: 'ping', node: 'go1', seqNo: 77 });
  const ack = parseInChunks(fromHex(ping.replyHex), NO_LABEL, 1) as StreamMessage;
  test.same(ack, { type: 'ack', payload: null, seqNo: 77 });
  test.equal(toHex(encodeStream(ack, NO_LABEL)), ping.replyHex);
  for (const { replyHex } of vectors.filter((vector) => vector.replyHex.startsWith('0d'))) {
    const err = parseInChunks(fromHex(replyHex), NO_LABEL, 1) as StreamMessage;
    test.equal(err.type, 'err');
    test.equal(toHex(encodeStream(err, NO_LABEL)), replyHex);
  }
  test.end();
});
