import { existsSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { RevocationFile } from '../../../agent/control/revocation-file.ts';
import { recordingLog } from '../recording-log.ts';

void t.test('words are kept over a restart; a damaged file is told and put aside', async (test) => {
  const dir = test.testdir({});
  const { log, lines } = recordingLog();
  const words = [{ bytes: Uint8Array.of(1, 2, 250), takenMs: 1_700_000_000_000 }];
  const file = new RevocationFile(dir, log);
  const path = join(dir, 'revocations.json');
  test.same(file.read(), []);
  file.write(0, () => []);
  test.notOk(existsSync(path), 'nothing yet, no file');
  file.write(1, () => words);
  test.same(new RevocationFile(dir, log).read(), words);
  test.equal(statSync(path).mode & 0o777, 0o600);
  file.write(1, () => {
    throw new Error('the same version is not written again');
  });
  test.equal(lines.length, 0);
  for (const bad of ['{', '{"version":2,"words":[]}', '{"version":1,"words":[{"word":"!","takenMs":1}]}']) {
    writeFileSync(path, bad);
    test.same(new RevocationFile(dir, log).read(), []);
    test.ok(existsSync(`${path}.damaged`));
  }
  test.equal(lines.length, 3);
  rmSync(dir, { recursive: true });
  test.throws(
    () => file.write(2, () => words),
    { code: 'OVL_STATE_DIR' },
    'an operator is not told that it is kept',
  );
});
