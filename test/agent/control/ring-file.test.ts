/** What of gossip keys is kept over a restart: keys, plan, and that a new key is due (issue 3.6). */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { RingFile } from '../../../agent/control/ring-file.ts';
import { aesGcm, hkdf, sha256 } from '../../../agent/crypto/aes-gcm.ts';
import { systemRng } from '../../../agent/entropy.ts';
import { Keyring } from '../../../proto/keyring/keyring.ts';
import { encodeOperation } from '../../../proto/keyring/operation.ts';
import { Rotation } from '../../../proto/keyring/rotation.ts';
import type { SavedRing } from '../../../proto/keyring/saved-ring.ts';
import { keyOfByte } from '../../proto/keyring/keys.ts';
import { recordingLog } from '../recording-log.ts';

const ROTATED = keyOfByte(7);
const SAVED: SavedRing = {
  keys: [{ key: ROTATED, origin: 'rotated' }],
  planned: [{ fingerprint: ROTATED.fingerprint, action: 'use', isRotated: true, stamp: 3, isMine: true }],
  primary: ROTATED.fingerprint,
  base: keyOfByte(1).fingerprint,
  primaryAgeMs: 1_000,
  isRenewalDue: true,
};

void t.test('it comes back as it was, older by the time that has gone by', (test) => {
  const folder = test.testdir();
  const { log, lines } = recordingLog();
  new RingFile(folder, () => 1_700_000_000_000, log).write(SAVED);
  const path = join(folder, 'keyring.json');
  test.equal(statSync(path).mode & 0o777, 0o600);
  const read = new RingFile(folder, () => 1_700_000_005_000, log).read()!;
  const { keys, ...rest } = SAVED;
  test.match(read, { ...rest, primaryAgeMs: 6_000 });
  test.strictSame(
    read.keys.map(({ key, origin }) => [key.fingerprint, origin]),
    keys.map(({ key, origin }) => [key.fingerprint, origin]),
  );
  test.strictSame(lines, []);
  test.end();
});

void t.test('a file of an earlier version has no renewal that is due', (test) => {
  const folder = test.testdir();
  const file = new RingFile(folder, () => 1_700_000_000_000, recordingLog().log);
  file.write(SAVED);
  const path = join(folder, 'keyring.json');
  const { isRenewalDue: _, ...old } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  writeFileSync(path, JSON.stringify(old));
  test.match(file.read(), { primary: ROTATED.fingerprint, isRenewalDue: false });
  test.end();
});

void t.test('what cannot be read is said without a word of what is in it', (test) => {
  const folder = test.testdir({ 'keyring.json': '{"version":1,"keys":[{"key":"c2VjcmV0' });
  const { log, lines } = recordingLog();
  const file = new RingFile(folder, () => 0, log);
  test.equal(file.read(), undefined);
  test.match(lines, [{ level: 'warn', message: /could not be read/ }]);
  test.notMatch(JSON.stringify(lines), /c2VjcmV0/);
  test.end();
});

void t.test(
  'a record under what is no fingerprint does not come into the file, nor into the plan',
  (test) => {
    const keyring = new Keyring([keyOfByte(1)]);
    const crypto = { aead: aesGcm, sha256, hkdf };
    const rotation = new Rotation(keyring, { self: 'a', intervalMs: Infinity, rng: systemRng(), crypto });
    rotation.add(ROTATED);
    const value = encodeOperation({ action: 'use', isRotated: true, stamp: 9, wraps: [] });
    const records = ['', 'ab', 'cd'.repeat(64)].map((fingerprint) => ({ owner: 'b', fingerprint, value }));
    rotation.step(0, { members: [], records });
    const { log, lines } = recordingLog();
    const file = new RingFile(test.testdir(), () => 0, log);
    file.write(rotation.saved(0));
    test.strictSame(
      file.read()?.planned.map(({ fingerprint }) => fingerprint),
      [ROTATED.fingerprint],
    );
    test.strictSame(lines, []);
    test.end();
  },
);

void t.test('a part of the file that cannot be read costs no more than itself', (test) => {
  const folder = test.testdir();
  const { log, lines } = recordingLog();
  const file = new RingFile(folder, () => 0, log);
  file.write(SAVED);
  const path = join(folder, 'keyring.json');
  const good = JSON.parse(readFileSync(path, 'utf8')) as { keys: object[]; planned: object[] };
  const [planned] = good.planned;
  const spoilt = {
    ...good,
    keys: [...good.keys, { key: 'c2VjcmV0', origin: 'hand' }, { key: 7 }],
    planned: [{ ...planned, fingerprint: 'cd'.repeat(64) }, 'nonsense', ...good.planned],
  };
  writeFileSync(path, JSON.stringify(spoilt));
  const read = file.read();
  test.strictSame(
    read?.keys.map(({ key }) => key.fingerprint),
    [ROTATED.fingerprint],
  );
  test.match(read, { planned: SAVED.planned, primary: ROTATED.fingerprint });
  test.equal(read?.planned.length, 1);
  test.match(lines, [{ level: 'warn', fields: { count: 4 } }]);
  test.notMatch(JSON.stringify(lines), /c2VjcmV0/);
  test.end();
});
