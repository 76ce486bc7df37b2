import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { nextEpoch } from '../../../agent/control/epoch.ts';
import type { OverlaydError } from '../../../agent/errors.ts';

void t.test('an epoch is the wall clock, or one more than the last when the clock went back', (t) => {
  const dir = join(t.testdir(), 'state');
  t.equal(nextEpoch(dir, 1_000), 1_000n);
  t.equal(nextEpoch(dir, 2_000.7), 2_000n);
  t.equal(nextEpoch(dir, 1_500), 2_001n, 'the clock went back');
  t.equal(nextEpoch(dir, 2_001), 2_002n, 'two starts in one millisecond');
  t.equal(statSync(dir).mode & 0o777, 0o700);
  t.equal(readFileSync(join(dir, 'epoch'), 'utf8'), '2002\n');
  t.end();
});

void t.test('a damaged file costs nothing but the memory of the last epoch', (t) => {
  const dir = t.testdir({ epoch: 'x'.repeat(100) });
  t.equal(nextEpoch(dir, 5_000), 5_000n);
  writeFileSync(join(dir, 'epoch'), '');
  t.equal(nextEpoch(dir, 4_000), 4_000n);
  t.end();
});

void t.test('a folder that cannot be used is an error with a cure', (t) => {
  const dir = t.testdir({ file: 'not a folder' });
  chmodSync(dir, 0o700);
  const error = t.throws(() => nextEpoch(join(dir, 'file', 'state'), 1)) as OverlaydError;
  t.equal(error.code, 'OVL_STATE_DIR');
  t.match(error.hint, /--state-dir/);
  t.end();
});
