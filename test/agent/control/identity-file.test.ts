import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { loadIdentity } from '../../../agent/control/identity-file.ts';
import { verifier } from '../../../agent/crypto/ed25519.ts';
import { toHex } from '../../../proto/state/bytes.ts';
import { diskCalls } from './disk-calls.ts';

function folder(test: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'overlayd-identity-'));
  test.teardown(() => {
    rmSync(dir, { recursive: true });
  });
  return dir;
}

void t.test('made once, kept for ever, for nobody else to read', async (test) => {
  const dir = folder(test);
  const first = await loadIdentity(dir);
  const again = await loadIdentity(dir);
  test.equal(toHex(again.signer.publicKey), toHex(first.signer.publicKey));
  test.same(readdirSync(dir), ['identity']);
  test.equal(statSync(join(dir, 'identity')).mode & 0o777, 0o600);
  const bytes = new Uint8Array([1, 2, 3]);
  test.ok(verifier.verify(first.signer.publicKey, bytes, again.signer.sign(bytes)));
  const other = await loadIdentity(folder(test));
  test.not(toHex(other.signer.publicKey), toHex(first.signer.publicKey));
});

void t.test('a damaged file is an error with a cure, and is left as it is', async (test) => {
  const dir = folder(test);
  await loadIdentity(dir);
  const file = join(dir, 'identity');
  const good = readFileSync(file, 'utf8');
  for (const bad of ['', 'nonsense', good.slice(0, -3), good.replace('seed 1', 'seed 2')]) {
    writeFileSync(file, bad);
    await test.rejects(loadIdentity(dir), { code: 'OVL_IDENTITY_DAMAGED', hint: /identities forget/ });
    test.equal(readFileSync(file, 'utf8'), bad);
  }
  await test.rejects(loadIdentity(join(file, 'below')), { code: 'OVL_STATE_DIR' });
});

void t.test('signatures: RFC 8032 7.1 test 2, and nothing but false for what is none', async (test) => {
  const key = Buffer.from('3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c', 'hex');
  const signature = Buffer.from(
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da' +
      '085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
    'hex',
  );
  const message = new Uint8Array([0x72]);
  test.ok(verifier.verify(key, message, signature));
  test.notOk(verifier.verify(key, new Uint8Array([0x73]), signature));
  for (let bit = 0; bit < 512; bit += 37) {
    const broken = new Uint8Array(signature);
    broken[bit >> 3]! ^= 1 << (bit & 7);
    test.notOk(verifier.verify(key, message, broken));
  }
  test.notOk(verifier.verify(key.subarray(1), message, signature));
  test.notOk(verifier.verify(key, message, signature.subarray(1)));
  // A key of small order would verify anything.
  test.notOk(verifier.verify(new Uint8Array(32), message, new Uint8Array(64)));
});

void t.test('a new identity is on the disk with its name before it is used', async (test) => {
  const stateDir = join(folder(test), 'state');
  mkdirSync(stateDir);
  const calls = await diskCalls(() => loadIdentity(stateDir));
  test.match(calls, [/^fsync identity\..*new$/, 'link identity', 'fsync state']);
  test.strictSame(await diskCalls(() => loadIdentity(stateDir)), []);
});
