import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { PinFile } from '../../../agent/control/pin-file.ts';
import { recordingLog } from '../recording-log.ts';

void t.test('pins are kept over a restart; a damaged file is told and put aside', async (test) => {
  const dir = mkdtempSync(join(tmpdir(), 'overlayd-pins-'));
  test.teardown(() => {
    rmSync(dir, { recursive: true });
  });
  const { log, lines } = recordingLog();
  const pins = [
    { name: 'a', keyHex: 'ab'.repeat(32), minEpoch: 1_700_000_000_000n },
    { name: 'b', keyHex: 'cd'.repeat(32), minEpoch: (1n << 53n) - 1n },
  ];
  const file = new PinFile(dir, log);
  test.same(file.read(), []);
  file.write(1, pins);
  file.write(1, []);
  test.same(new PinFile(dir, log).read(), pins, 'the same version is not written again');
  const path = join(dir, 'identities.json');
  test.equal(statSync(path).mode & 0o777, 0o600);
  test.equal(lines.length, 0);
  for (const bad of ['{', '{"version":1,"hosts":[{"name":"a","key":"ab","epoch":"1"}]}', '[]']) {
    writeFileSync(path, bad);
    test.same(new PinFile(dir, log).read(), []);
    test.ok(existsSync(`${path}.damaged`));
  }
  test.equal(lines.length, 3);
});
