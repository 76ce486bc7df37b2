import { createHash } from 'node:crypto';
import t from 'tap';
import { lzwDecode, lzwEncode } from '../../../proto/memberlist/lzw.ts';
import { wireReason } from './wire-reason.ts';
import { fromHex, readGolden, toHex } from '../../golden/memberlist-vectors.ts';

interface LzwVectors {
  readonly small: readonly { readonly name: string; readonly inputHex: string; readonly lzwHex: string }[];
  readonly large: readonly {
    readonly n: number;
    readonly alphabet: number;
    readonly seed: number;
    readonly inputSha256: string;
    readonly lzwLength: number;
    readonly lzwSha256: string;
  }[];
}

const vectors = readGolden('lzw.json') as LzwVectors;
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** The inputs of the large vectors: xorshift32. */
function generated(n: number, alphabet: number, seed: number): Uint8Array {
  let x = seed;
  return Uint8Array.from({ length: n }, () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % alphabet;
  });
}

void t.test("Go's output for small inputs, both ways", (test) => {
  for (const { name, inputHex, lzwHex } of vectors.small) {
    test.equal(toHex(lzwEncode(fromHex(inputHex))), lzwHex, `${name} encodes`);
    test.equal(toHex(lzwDecode(fromHex(lzwHex), 1 << 20)), inputHex, `${name} decodes`);
  }
  test.end();
});

void t.test("Go's output around the full table, both ways", (test) => {
  for (const { n, alphabet, seed, inputSha256, lzwLength, lzwSha256 } of vectors.large) {
    const input = generated(n, alphabet, seed);
    test.equal(sha256(input), inputSha256);
    const packed = lzwEncode(input);
    test.equal(packed.length, lzwLength, `${n} of ${alphabet}`);
    test.equal(sha256(packed), lzwSha256, `${n} of ${alphabet}`);
    test.equal(sha256(lzwDecode(packed, n)), inputSha256, `${n} of ${alphabet} back`);
  }
  test.end();
});

void t.test('refuses to inflate past the limit, and streams without an end', (test) => {
  const bomb = lzwEncode(new Uint8Array(1_000_000));
  test.ok(bomb.length < 10_000);
  test.equal(
    wireReason(() => lzwDecode(bomb, 65_536)),
    'too-long',
  );
  test.equal(
    wireReason(() => lzwDecode(bomb.subarray(0, 100), 1 << 20)),
    'lzw',
  );
  test.equal(
    wireReason(() => lzwDecode(new Uint8Array(0), 1 << 20)),
    'lzw',
  );
  test.end();
});

void t.test('takes a stream that starts with a literal', (test) => {
  // 9-bit codes, low bit first: 'a', end.
  const bits = 0x61 | (257 << 9);
  test.same(lzwDecode(Uint8Array.of(bits & 0xff, (bits >> 8) & 0xff, bits >> 16), 10), Uint8Array.of(0x61));
  test.end();
});
