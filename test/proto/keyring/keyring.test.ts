import { inspect } from 'node:util';
import t from 'tap';
import { Keyring } from '../../../proto/keyring/keyring.ts';
import { keyOfByte } from './keys.ts';

const [A, B, C] = [keyOfByte(1), keyOfByte(2, 16), keyOfByte(3, 24)];

void t.test('order: the first is the primary, use moves to the front, the primary stays', (test) => {
  const ring = new Keyring([A, B]);
  test.equal(ring.primary, A);
  test.equal(ring.add(C, 'hand'), true);
  test.equal(ring.add(C, 'hand'), false, 'adding what is there changes nothing');
  test.same(ring.fingerprints, [A.fingerprint, B.fingerprint, C.fingerprint]);
  test.equal(ring.use(C.fingerprint), true);
  test.same(ring.fingerprints, [C.fingerprint, A.fingerprint, B.fingerprint]);
  test.equal(ring.use('0000000000000000'), false);
  test.equal(ring.remove(C.fingerprint), false, 'the primary');
  test.equal(ring.remove(A.fingerprint), true);
  test.equal(ring.remove(A.fingerprint), false);
  test.same(ring.fingerprints, [C.fingerprint, B.fingerprint]);
  test.throws(() => new Keyring([]), /at least one/);
  test.end();
});

void t.test('the base key is the newest that an operator put first', (test) => {
  const ring = new Keyring([A]);
  ring.add(B, 'rotated');
  ring.use(B.fingerprint);
  test.equal(ring.base, A, 'not the rotated one');
  ring.add(C, 'hand');
  ring.use(C.fingerprint);
  test.equal(ring.base, C);
  ring.use(B.fingerprint);
  test.equal(ring.base, C);
  ring.remove(C.fingerprint);
  test.equal(ring.base, A);
  test.end();
});

void t.test('a ring is bounded, and its version tells of every change', (test) => {
  const ring = new Keyring([A]);
  let { version } = ring;
  for (let i = 10; i < 25; i++) {
    test.equal(ring.add(keyOfByte(i), 'rotated'), true);
    test.not(ring.version, version);
    ({ version } = ring);
  }
  test.equal(ring.add(keyOfByte(99), 'rotated'), false, 'full');
  test.equal(ring.version, version);
  test.end();
});

void t.test('a key shows its fingerprint and nothing else', (test) => {
  const key = keyOfByte(0xab);
  const shown = [
    JSON.stringify({ key }),
    inspect(key, { showHidden: true, depth: 9 }),
    String(key),
    inspect([key]),
  ];
  for (const text of shown) {
    test.match(text, key.fingerprint);
    test.notMatch(text, /abab|171/, text);
  }
  test.match(key.fingerprint, /^[0-9a-f]{16}$/);
  test.not(keyOfByte(1).fingerprint, keyOfByte(1, 16).fingerprint);
  // Pinned: hosts of different versions must mean the same key.
  test.equal(keyOfByte(1).fingerprint, '9d7fb97a358588c9');
  test.throws(() => keyOfByte(1, 17), /16, 24 or 32/);
  test.end();
});
