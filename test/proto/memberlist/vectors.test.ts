import t from 'tap';
import type { Test } from 'tap';
import { decodeMessage, encodeMessage } from '../../../proto/memberlist/messages.ts';
import { openPacket, sealPacket } from '../../../proto/memberlist/packet.ts';
import { encodeStream } from '../../../proto/memberlist/stream-message.ts';
import { StreamParser } from '../../../proto/memberlist/stream-parser.ts';
import type { StreamMessage, StreamParserOptions } from '../../../proto/memberlist/stream-parser.ts';
import { openBlock } from '../../../proto/memberlist/sealed-block.ts';
import type { Sealer } from '../../../proto/memberlist/sealed-block.ts';
import { aesGcm } from '../../../agent/crypto/aes-gcm.ts';
import { keyOf } from '../keyring/keys.ts';
import { fromHex, plainVectors, readGolden, sealedVectors, toHex } from '../../golden/memberlist-vectors.ts';
import type { Vector } from '../../golden/memberlist-vectors.ts';
import { wireReason } from './wire-reason.ts';

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

const isCompressed = ({ layers }: Vector): boolean => layers.some((layer) => layer.startsWith('lzw'));

/** The nonce that the capture has, so that sealing again must give its bytes; found where the block begins. */
function sealerOf({ keysHex, layers }: Vector, block: Uint8Array): Sealer | undefined {
  const layer = layers.find((name) => name.includes('gcm'));
  if (layer === undefined) return undefined;
  const version = layer.includes('(v0)') ? 0 : 1;
  const nonce = (): Uint8Array => block.slice(1, 13);
  return { aead: aesGcm, key: keyOf(keysHex[0]!), version, nonce };
}

/** Opens by the vector's own key; vectors in clear are left as they are. */
function openerOf({ keysHex }: Vector): ((block: Uint8Array, aad: Uint8Array) => Uint8Array) | undefined {
  if (keysHex.length === 0) return undefined;
  const keys = keysHex.map(keyOf);
  return (block, aad) => openBlock(aesGcm, keys, aad, block).plain;
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
  const vectors = [...plainVectors(), ...sealedVectors()].filter(({ via }) => via === 'udp');
  let messages = 0;
  for (const vector of vectors) {
    const label = labelOf(vector);
    const bytes = fromHex(vector.hex);
    const { parts, missingParts } = openPacket(bytes, label, openerOf(vector));
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
    const sealer = sealerOf(vector, bytes.subarray(label.length === 0 ? 0 : 2 + label.length));
    const again = sealPacket(encoded, crc, { label, compress: isCompressed(vector), sealer });
    test.equal(toHex(again), vector.hex, `${nameOf(vector)} whole`);
  }
  test.ok(vectors.length > 180 && messages > 300, `${vectors.length} packets, ${messages} messages`);
  test.end();
});

function parseInChunks(
  bytes: Uint8Array,
  label: Uint8Array,
  chunkBytes: number,
  options: StreamParserOptions = {},
): StreamMessage | undefined {
  const parser = new StreamParser(label, options);
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    const message = parser.push(bytes.subarray(at, at + chunkBytes));
    if (message !== undefined) return message;
  }
  return undefined;
}

void t.test('every TCP stream decodes in chunks of any size and encodes to the same bytes', (test) => {
  const vectors = [...plainVectors(), ...sealedVectors()].filter(({ via }) => via === 'tcp');
  for (const vector of vectors) {
    const bytes = fromHex(vector.hex);
    const label = vector.role === 'dialer' ? labelOf(vector) : NO_LABEL;
    const sealLabel = labelOf(vector);
    const open = openerOf(vector);
    const options = { open, sealLabel, isSealRequired: open !== undefined };
    const whole = parseInChunks(bytes, label, bytes.length, options);
    test.ok(whole, nameOf(vector));
    if (whole === undefined) continue;
    for (const chunkBytes of [1, 2, 7]) {
      const cut = parseInChunks(bytes, label, chunkBytes, options);
      test.same(cut, whole, `${nameOf(vector)} in chunks of ${chunkBytes}`);
    }
    expectFields(test, whole, capturedStream(vector.decoded as { header?: object }), nameOf(vector));
    const at = (label.length === 0 ? 0 : 2 + label.length) + 5;
    const sealer = sealerOf(vector, bytes.subarray(at));
    const again = encodeStream(whole, label, { compress: isCompressed(vector), sealer, sealLabel });
    test.equal(toHex(again), vector.hex, `${nameOf(vector)} whole`);
  }
  test.ok(vectors.length > 70, `${vectors.length} streams`);
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

void t.test('an encrypted Go acceptor: TCP ping, and its errors', (test) => {
  interface Extra {
    readonly what: string;
    readonly sentHex: string;
    readonly replyHex: string;
  }
  const golden = readGolden('extra-tcp-gcm022.json') as { keysHex: string[]; vectors: Extra[] };
  const keys = golden.keysHex.map(keyOf);
  const options: StreamParserOptions = {
    open: (block, aad) => openBlock(aesGcm, keys, aad, block).plain,
    isSealRequired: true,
  };
  const [ping, other, plain, unknown] = golden.vectors as [Extra, Extra, Extra, Extra];
  const read = (hex: string): unknown => parseInChunks(fromHex(hex), NO_LABEL, 1, options);
  test.match(read(ping.sentHex), { type: 'ping', node: 'go1', seqNo: 77 });
  test.same(read(ping.replyHex), { type: 'ack', payload: null, seqNo: 77 });
  test.match(read(other.sentHex), { type: 'ping' });
  test.equal(
    wireReason(() => read(plain.sentHex)),
    'clear',
  );
  test.match(read(plain.replyHex), { type: 'err', error: /is not encrypted/ });
  test.equal(
    wireReason(() => read(unknown.sentHex)),
    'undecryptable',
  );
  test.match(read(unknown.replyHex), { type: 'err', error: /No installed keys/ });
  test.end();
});
