/** What of gossip keys is kept over a restart: keys, plan, and that a new key is due (issue 3.6). */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { RingFile } from '../../../agent/control/ring-file.ts';
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
