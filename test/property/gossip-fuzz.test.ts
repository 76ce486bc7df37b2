import { readFileSync, readdirSync } from 'node:fs';
import t from 'tap';
import { decodeMessage, encodeMessage } from '../../proto/memberlist/messages.ts';
import { openPacket } from '../../proto/memberlist/packet.ts';
import { encodeStream } from '../../proto/memberlist/stream-message.ts';
import { StreamParser } from '../../proto/memberlist/stream-parser.ts';
import { WireError } from '../../proto/memberlist/wire-error.ts';
import { SeededRng, below } from '../../proto/rng.ts';
import { decodeMeta } from '../../proto/swim/meta.ts';
import { fromHex, plainVectors, toHex } from '../golden/memberlist-vectors.ts';
import { Bench } from '../proto/swim/bench.ts';

/**
 * Every gossip decoder against random bytes and broken captures: a value or a WireError, nothing else thrown, and what
 * was read can be written. OVERLAYD_FUZZ_RUNS sets the number of inputs, OVERLAYD_SEED the seed.
 *
 * An input that ever failed is kept in test/corpus/memberlist/NAME.udp.hex or NAME.tcp.hex and tried at each run.
 */
// The machine may be busy: tap's own limit of 30 s is for a quiet one.
t.setTimeout(180_000);

const RUNS = Number(process.env['OVERLAYD_FUZZ_RUNS'] ?? 20_000);
const SEED = Number(process.env['OVERLAYD_SEED'] ?? 7);
const CORPUS_DIR = 'test/corpus/memberlist';
const NO_LABEL = new Uint8Array(0);

/** What came of one input: 'read', or the reason of the WireError. Anything else passes through. */
function outcome(decode: () => unknown): string {
  try {
    decode();
    return 'read';
  } catch (error) {
    if (error instanceof WireError) return error.reason;
    throw error;
  }
}

function readPacket(packet: Uint8Array): string {
  return outcome(() => {
    for (const part of openPacket(packet, NO_LABEL).parts) {
      const message = decodeMessage(part);
      decodeMessage(encodeMessage(message));
    }
  });
}

function readStream(stream: Uint8Array, chunkBytes: number): string {
  return outcome(() => {
    const parser = new StreamParser(NO_LABEL);
    for (let at = 0; at < stream.length; at += chunkBytes) {
      const message = parser.push(stream.subarray(at, at + chunkBytes));
      if (message !== undefined) {
        encodeStream(message, NO_LABEL);
        return;
      }
    }
  });
}

function broken(rng: SeededRng, original: Uint8Array): Uint8Array {
  let bytes = original.slice(0, below(rng, 8) === 0 ? below(rng, original.length + 1) : original.length);
  for (let i = below(rng, 6); i > 0 && bytes.length > 0; i--) {
    const at = below(rng, bytes.length);
    bytes[at] = below(rng, 2) === 0 ? (bytes[at] as number) ^ (1 << below(rng, 8)) : below(rng, 256);
  }
  if (below(rng, 16) === 0) bytes = Uint8Array.of(...bytes, ...bytes.subarray(0, 50));
  return bytes;
}

/** Without their CRC, or nearly every broken packet would end there. */
function packets(): Uint8Array[] {
  const captured = plainVectors().filter(({ via, label }) => via === 'udp' && label === '');
  return captured.map(({ hex }) => fromHex(hex.startsWith('0c') ? hex.slice(10) : hex));
}

function streams(): Uint8Array[] {
  return plainVectors()
    .filter(({ via, label }) => via === 'tcp' && label === '')
    .map(({ hex }) => fromHex(hex));
}

function randomBytes(rng: SeededRng): Uint8Array {
  const bytes = Uint8Array.from({ length: 1 + below(rng, 200) }, () => below(rng, 256));
  bytes[0] = below(rng, 15);
  return bytes;
}

/** Runs one input; a failure names it, so that it can be kept. */
function feed(kind: 'udp' | 'tcp', bytes: Uint8Array, run: () => string, tally: Map<string, number>): void {
  try {
    const result = run();
    tally.set(result, (tally.get(result) ?? 0) + 1);
  } catch (error) {
    throw new Error(`seed ${SEED}: keep this as ${CORPUS_DIR}/NAME.${kind}.hex: ${toHex(bytes)}`, {
      cause: error,
    });
  }
}

void t.test('the saved corpus', (test) => {
  const files = readdirSync(CORPUS_DIR).filter((file) => file.endsWith('.hex'));
  for (const file of files) {
    const bytes = fromHex(readFileSync(`${CORPUS_DIR}/${file}`, 'utf8').trim());
    const result = file.endsWith('.udp.hex') ? readPacket(bytes) : readStream(bytes, 1);
    test.type(result, 'string', `${file}: ${result}`);
  }
  test.ok(files.length > 0);
  test.end();
});

void t.test('packets', (test) => {
  const rng = new SeededRng(SEED).fork('packets');
  const originals = packets();
  const tally = new Map<string, number>();
  for (let i = 0; i < RUNS; i++) {
    const original = originals[below(rng, originals.length)] as Uint8Array;
    const bytes = i % 4 === 0 ? randomBytes(rng) : broken(rng, original);
    feed('udp', bytes, () => readPacket(bytes), tally);
  }
  test.comment(JSON.stringify(Object.fromEntries(tally)));
  test.ok((tally.get('read') ?? 0) > RUNS / 10, 'some get through');
  test.ok(tally.size > 5, 'in different ways');
  test.end();
});

void t.test('streams', (test) => {
  const rng = new SeededRng(SEED).fork('streams');
  const originals = streams();
  const tally = new Map<string, number>();
  for (let i = 0; i < RUNS / 4; i++) {
    const original = originals[below(rng, originals.length)] as Uint8Array;
    const bytes = i % 4 === 0 ? randomBytes(rng) : broken(rng, original);
    const chunkBytes = 1 + below(rng, 300);
    feed('tcp', bytes, () => readStream(bytes, chunkBytes), tally);
  }
  test.comment(JSON.stringify(Object.fromEntries(tally)));
  test.ok(tally.size > 4);
  test.end();
});

void t.test('meta', (test) => {
  const rng = new SeededRng(SEED).fork('meta');
  for (let i = 0; i < RUNS / 10; i++) {
    decodeMeta(Uint8Array.of(0x4f, 0x56, 1, ...randomBytes(rng)));
  }
  test.pass('nothing thrown');
  test.end();
});

void t.test('a whole member under broken packets and streams stays itself, and bounded', (test) => {
  const rng = new SeededRng(SEED).fork('member');
  const bench = new Bench({ name: 'go9', maxMembers: 500 });
  const udp = packets();
  const tcp = streams();
  for (let i = 0; i < RUNS / 4; i++) {
    const from = { ip: `10.0.0.${1 + below(rng, 200)}`, port: 7946 };
    if (i % 8 === 0) {
      const id = 2 + 2 * i;
      bench.swim.handleStreamOpen(bench.now, id, from);
      bench.swim.handleStreamData(bench.now, id, broken(rng, tcp[below(rng, tcp.length)] as Uint8Array));
      if (i % 16 === 0) bench.swim.handleStreamEnd(bench.now, id, undefined);
    } else {
      bench.swim.handleDatagram(bench.now, broken(rng, udp[below(rng, udp.length)] as Uint8Array), from);
    }
    if (i % 10 === 0) bench.wait(50);
    bench.forget();
  }
  bench.poll();
  test.equal(bench.swim.self.name, 'go9');
  test.ok(bench.swim.members().length <= 500, `${bench.swim.members().length} members`);
  test.equal(bench.swim.self.state, 'alive');
  test.ok([...bench.swim.counters().counts.keys()].some((key) => key.startsWith('drop:')));
  test.ok(bench.swim.nextDeadline() > 0);
  bench.alive('a-real-one', 250, { incarnation: 0xffff_0000 });
  test.equal(bench.stateOf('a-real-one'), 'alive', 'still takes members');
  test.end();
});
