import t from 'tap';
import { aesGcm } from '../../agent/crypto/aes-gcm.ts';
import { decodeMessage } from '../../proto/memberlist/messages.ts';
import { openPacket } from '../../proto/memberlist/packet.ts';
import { openBlock, sealBlock } from '../../proto/memberlist/sealed-block.ts';
import type { Opener, Sealer } from '../../proto/memberlist/sealed-block.ts';
import { sealFrame } from '../../proto/memberlist/stream-frame.ts';
import { StreamParser } from '../../proto/memberlist/stream-parser.ts';
import { WireError } from '../../proto/memberlist/wire-error.ts';
import { SeededRng, below } from '../../proto/rng.ts';
import { fromHex, plainVectors, sealedVectors } from '../golden/memberlist-vectors.ts';
import { keyOf } from '../proto/keyring/keys.ts';

/**
 * Sealed packets and frames against broken captures: from outside, where nothing may open that was touched, and from
 * inside, as a member with the key would send nonsense. OVERLAYD_FUZZ_RUNS sets the number of inputs, OVERLAYD_SEED the seed.
 */
t.setTimeout(180_000);
const RUNS = Number(process.env['OVERLAYD_FUZZ_RUNS'] ?? 12_000);
const SEED = Number(process.env['OVERLAYD_SEED'] ?? 11);
const NO_LABEL = new Uint8Array(0);

/** 'read', or the reason of the WireError. Anything else passes through, with the seed. */
function outcome(decode: () => unknown): string {
  try {
    return decode() === undefined ? 'incomplete' : 'read';
  } catch (error) {
    if (error instanceof WireError) return error.reason;
    throw new Error(`seed ${SEED}`, { cause: error });
  }
}

function flipped(rng: SeededRng, original: Uint8Array): Uint8Array {
  const bytes = original.slice(0, below(rng, 6) === 0 ? below(rng, original.length) : original.length);
  for (let i = 1 + below(rng, 3); i > 0 && bytes.length > 0; i--) {
    const at = below(rng, bytes.length);
    bytes[at] = bytes[at]! ^ (1 << below(rng, 8));
  }
  return bytes;
}

function opener(keysHex: readonly string[]): Opener {
  const keys = keysHex.map(keyOf);
  return (block, aad) => openBlock(aesGcm, keys, aad, block).plain;
}

function readPacket(bytes: Uint8Array, label: Uint8Array, open: Opener): string {
  return outcome(() => openPacket(bytes, label, open).parts.map(decodeMessage));
}

function readStream(bytes: Uint8Array, label: Uint8Array, sealLabel: Uint8Array, open: Opener): string {
  const parser = new StreamParser(label, { open, sealLabel, isSealRequired: true });
  return outcome(() => parser.push(bytes));
}

void t.test('from outside: nothing that was touched opens', (test) => {
  const rng = new SeededRng(SEED).fork('outside');
  const vectors = sealedVectors();
  const tally = new Map<string, number>();
  for (let i = 0; i < RUNS; i++) {
    const { hex, via, role, keysHex, label: text } = vectors[below(rng, vectors.length)]!;
    const label = new TextEncoder().encode(text);
    const whole = fromHex(hex);
    const bytes = flipped(rng, whole);
    // Two flips of one bit are none.
    if (Buffer.compare(bytes, whole) === 0) continue;
    const result =
      via === 'udp'
        ? readPacket(bytes, label, opener(keysHex))
        : readStream(bytes, role === 'dialer' ? label : NO_LABEL, label, opener(keysHex));
    if (result === 'read') test.fail(`seed ${SEED}: run ${i} was read`);
    tally.set(result, (tally.get(result) ?? 0) + 1);
  }
  test.comment(JSON.stringify(Object.fromEntries(tally)));
  test.ok((tally.get('undecryptable') ?? 0) > RUNS / 2);
  test.ok(tally.size >= 4, 'in different ways');
  test.end();
});

void t.test('from inside: nonsense under a good seal is a value or a WireError', (test) => {
  const rng = new SeededRng(SEED).fork('inside');
  const key = keyOf('202122232425262728292a2b2c2d2e2f');
  const open: Opener = (block, aad) => openBlock(aesGcm, [key], aad, block).plain;
  const vectors = plainVectors().filter(({ label }) => label === '');
  const tally = new Map<string, number>();
  for (let i = 0; i < RUNS; i++) {
    const { hex, via } = vectors[below(rng, vectors.length)]!;
    const plain = below(rng, 8) === 0 ? fromHex(hex) : flipped(rng, fromHex(hex));
    const sealer: Sealer = {
      aead: aesGcm,
      key,
      version: below(rng, 2) === 0 ? 0 : 1,
      nonce: () => nonceOf(rng),
    };
    const result =
      via === 'udp'
        ? readPacket(sealBlock(sealer, NO_LABEL, plain), NO_LABEL, open)
        : readStream(sealFrame(sealer, NO_LABEL, plain), NO_LABEL, NO_LABEL, open);
    tally.set(result, (tally.get(result) ?? 0) + 1);
  }
  test.comment(JSON.stringify(Object.fromEntries(tally)));
  test.ok((tally.get('read') ?? 0) > RUNS / 20, 'some get through');
  test.equal(tally.get('undecryptable'), undefined, 'the seal was good');
  test.equal(tally.get('incomplete'), undefined, 'a frame is whole: nothing is waited for');
  test.ok(tally.size > 5, 'in different ways');
  test.end();
});

/** Hoisted: the tests above begin before this line is reached. */
function nonceOf(rng: SeededRng): Uint8Array {
  return Uint8Array.from({ length: 12 }, () => below(rng, 256));
}
