import t from 'tap';
import { aesGcm, hkdf, sha256 } from '../../../agent/crypto/aes-gcm.ts';
import { KeyPlan } from '../../../proto/keyring/key-plan.ts';
import { Keyring } from '../../../proto/keyring/keyring.ts';
import { decodeOperation, encodeOperation } from '../../../proto/keyring/operation.ts';
import type { KeyAction } from '../../../proto/keyring/operation.ts';
import { GONE_FOR_MS, RecentPrimaries } from '../../../proto/keyring/recent-primaries.ts';
import { restoreKeyring } from '../../../proto/keyring/saved-ring.ts';
import { unwrapKey, wrapKey } from '../../../proto/keyring/wrap.ts';
import { SeededRng, below } from '../../../proto/rng.ts';
import { WireError } from '../../../proto/state/bytes.ts';
import { keyOfByte } from './keys.ts';

const CRYPTO = { aead: aesGcm, sha256, hkdf };
const [A, B, C] = [keyOfByte(1), keyOfByte(2, 16), keyOfByte(3, 24)];

void t.test('a wrapped key opens with the key it is for, and only to the key it is', (test) => {
  const rng = new SeededRng(1);
  for (const key of [A, B, C]) {
    const wraps = [wrapKey(CRYPTO, rng, key, keyOfByte(9)), wrapKey(CRYPTO, rng, key, keyOfByte(8))];
    const opened = unwrapKey(CRYPTO, new Keyring([keyOfByte(8)]), key.fingerprint, wraps);
    test.equal(opened?.fingerprint, key.fingerprint);
    test.equal(unwrapKey(CRYPTO, new Keyring([keyOfByte(7)]), key.fingerprint, wraps), undefined);
    const other = key === A ? B : A;
    test.equal(
      unwrapKey(CRYPTO, new Keyring([keyOfByte(8)]), other.fingerprint, wraps),
      undefined,
      'renamed',
    );
    const bytes = Buffer.from(wraps[0]!.sealed);
    test.equal(bytes.includes(Buffer.from(key.reveal())), false, 'not in clear');
  }
  test.end();
});

void t.test('operations: there and back, and every broken one is a WireError', (test) => {
  const rng = new SeededRng(2);
  const wraps = [wrapKey(CRYPTO, rng, A, B), wrapKey(CRYPTO, rng, A, C)];
  for (const action of ['add', 'use', 'remove'] as const) {
    const operation = {
      action,
      isRotated: action === 'use',
      stamp: 300,
      wraps: action === 'remove' ? [] : wraps,
    };
    test.same(decodeOperation(encodeOperation(operation)), operation);
  }
  const full = encodeOperation({
    action: 'use',
    isRotated: true,
    stamp: 2 ** 48,
    wraps: Array.from({ length: 8 }, () => wraps[0]!),
  });
  test.ok(full.length < 700, `${full.length} bytes fit a record and a packet`);
  let broken = 0;
  for (let i = 0; i < 5000; i++) {
    const bytes = full.slice(0, below(rng, 4) === 0 ? below(rng, full.length) : full.length);
    for (let n = below(rng, 4); n > 0 && bytes.length > 0; n--)
      bytes[below(rng, Math.min(24, bytes.length))] = below(rng, 256);
    try {
      const read = decodeOperation(bytes);
      if (read.wraps.length > 8 || read.stamp > 2 ** 48) test.fail('over the limits');
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      broken++;
    }
  }
  test.ok(broken > 1000, `${broken} refused`);
  test.end();
});

void t.test('the plan is the same in whatever order it is heard, and bounded', (test) => {
  const heard = Array.from({ length: 60 }, (_, i) => {
    const actions: KeyAction[] = ['add', 'use', 'remove'];
    const planned = { action: actions[i % 3]!, isRotated: false, stamp: (i * 7) % 11 };
    return [keyOfByte(i % 8).fingerprint, planned] as const;
  });
  const planOf = (order: typeof heard): string => {
    const plan = new KeyPlan();
    for (const [fingerprint, planned] of order) plan.merge(fingerprint, planned);
    return JSON.stringify([
      [...plan.all].sort(([a], [b]) => (a < b ? -1 : 1)),
      plan.desired(() => true),
      plan.nextStamp,
    ]);
  };
  const rng = new SeededRng(3);
  const expected = planOf(heard);
  for (let i = 0; i < 20; i++) {
    const shuffled = [...heard, ...heard]
      .map((each) => [rng.u32(), each] as const)
      .sort((a, b) => a[0] - b[0]);
    test.equal(planOf(shuffled.map(([, each]) => each)), expected);
  }
  const big = new KeyPlan();
  for (let i = 0; i < 2000; i++)
    big.merge(i.toString(16).padStart(16, '0'), { action: 'use', isRotated: true, stamp: i });
  test.equal(big.all.size, 1024);
  test.equal(
    big.desired(() => true),
    (1999).toString(16).padStart(16, '0'),
    'the latest are kept',
  );
  test.end();
});

void t.test('who was gone for a day had no key', (test) => {
  const primaries = new RecentPrimaries();
  const member = (
    name: string,
    key: string,
    isLive = true,
  ): { name: string; isLive: boolean; keys: string[] } => {
    return { name, isLive, keys: [key] };
  };
  primaries.update(0, [member('b', 'k1'), member('a', 'k1'), member('c', 'k2')]);
  test.same(primaries.of('k1'), ['a', 'b']);
  primaries.update(10, [member('a', 'k2'), member('b', 'k1', false)]);
  test.same(primaries.of('k1'), ['b'], 'dead, and lately');
  primaries.update(10 + GONE_FOR_MS, [member('a', 'k2')]);
  test.same(primaries.of('k1'), ['b']);
  primaries.update(11 + GONE_FOR_MS, [member('a', 'k2')]);
  test.same(primaries.of('k1'), []);
  test.same(primaries.of('k2'), ['a']);
  test.end();
});

void t.test('a ring after a restart', (test) => {
  const planned = (key: typeof A, action: KeyAction, isRotated = false) => {
    return { fingerprint: key.fingerprint, action, isRotated, stamp: 1, isMine: false };
  };
  const saved = {
    keys: [],
    planned: [],
    primary: A.fingerprint,
    base: A.fingerprint,
    primaryAgeMs: 0,
    isRenewalDue: false,
  };
  const names = (keyring: Keyring): readonly string[] => keyring.fingerprints;
  const rotated = { key: C, origin: 'rotated' as const };
  const ring = restoreKeyring([A, B], {
    ...saved,
    keys: [rotated],
    planned: [planned(C, 'use', true)],
    primary: C.fingerprint,
  });
  test.same(
    names(ring),
    [C, A, B].map(({ fingerprint }) => fingerprint),
  );
  test.equal(ring.base, A);
  test.same(
    names(restoreKeyring([B, A], saved)),
    [B, A].map(({ fingerprint }) => fingerprint),
    'the file has its order',
  );
  const removed = restoreKeyring([A, B], { ...saved, planned: [planned(A, 'remove')] });
  test.same(names(removed), [B.fingerprint], 'what was removed by hand stays away');
  test.same(
    names(restoreKeyring([A], { ...saved, planned: [planned(A, 'remove')] })),
    [A.fingerprint],
    'but for the last',
  );
  const byHand = restoreKeyring([A], {
    ...saved,
    keys: [{ key: B, origin: 'hand' }],
    planned: [planned(B, 'use')],
    primary: B.fingerprint,
    base: B.fingerprint,
  });
  test.equal(byHand.base, B);
  test.end();
});
