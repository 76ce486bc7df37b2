/** What a member that makes up keyring records costs the others, and what it cannot push out. */
import t from 'tap';
import { sha256 } from '../../../agent/crypto/aes-gcm.ts';
import { Keyring } from '../../../proto/keyring/keyring.ts';
import type { KeyringRecord } from '../../../proto/keyring/key-records.ts';
import { encodeOperation } from '../../../proto/keyring/operation.ts';
import { Rotation } from '../../../proto/keyring/rotation.ts';
import type { KeyringCrypto } from '../../../proto/keyring/wrap.ts';
import { SeededRng } from '../../../proto/rng.ts';
import { keyOfByte } from './keys.ts';

const [FILE, REMOVED] = [keyOfByte(1), keyOfByte(2)];
const crypto: KeyringCrypto = {
  sha256,
  hkdf: () => new Uint8Array(32),
  aead: { seal: (_key, _nonce, text) => text, open: () => undefined },
};

const rotation = (): Rotation =>
  new Rotation(new Keyring([FILE, REMOVED]), {
    self: 'me',
    intervalMs: Infinity,
    rng: new SeededRng(1),
    crypto,
  });

function made(owner: string, count: number, stamp: number): KeyringRecord[] {
  return Array.from({ length: count }, (_, i) => {
    const fingerprint = (0x1000_0000_0000 + i).toString(16).padStart(16, '0');
    const value = encodeOperation({ action: 'add', isRotated: false, stamp: stamp + i, wraps: [] });
    return { owner, fingerprint, value };
  });
}

const removal: KeyringRecord = {
  owner: 'honest',
  fingerprint: REMOVED.fingerprint,
  value: encodeOperation({ action: 'remove', isRotated: false, stamp: 3, wraps: [] }),
};

void t.test('what one host makes up pushes nothing out of the plan', async (test) => {
  const one = rotation();
  one.step(0, { members: [], records: [removal, ...made('liar', 3_000, 10)] });
  const planned = one.saved(0).planned;
  test.ok(
    planned.some(({ fingerprint, action }) => fingerprint === REMOVED.fingerprint && action === 'remove'),
  );
  test.equal(planned.length, 1 + 256);
  test.ok(planned.length <= 1_024, 'and fits what is kept on disk');
  const other = rotation();
  other.step(0, { members: [], records: [...made('liar', 3_000, 10).toReversed(), removal] });
  const names = (of: Rotation): string[] =>
    of
      .saved(0)
      .planned.map(({ fingerprint }) => fingerprint)
      .sort();
  test.same(names(other), names(one), 'whoever hears the same counts the same');
});

void t.test('a record is decoded once, however often the plan is looked at', async (test) => {
  const one = rotation();
  let reads = 0;
  const records = made('liar', 500, 1_000).map((record) => {
    const value = new Proxy(record.value, {
      get: (bytes, field) => {
        reads++;
        const found: unknown = Reflect.get(bytes, field, bytes);
        return typeof found === 'function' ? (found.bind(bytes) as unknown) : found;
      },
    });
    return { ...record, value };
  });
  one.step(0, { members: [], records });
  test.ok(reads > 0);
  reads = 0;
  for (let now = 2_000; now < 60_000; now += 2_000) one.step(now, { members: [], records });
  test.equal(reads, 0);
});
