/** Files of the state folder: the old one or the new one, never a part of one (issue 5.2; checklist 3.15). */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import t from 'tap';
import { z } from 'zod';
import { diskCalls } from './disk-calls.ts';
import { keepDurably, readKept, readOrPutAside } from '../../../agent/control/state-file.ts';

const schema = z.object({ version: z.literal(1), n: z.number() });

void t.test('what is kept comes back; 0600, in a folder of ours', (test) => {
  const path = join(test.testdir(), 'state', 'file.json');
  const never = (): never => test.fail('there is nothing to tell') as never;
  test.equal(readKept(path, 'numbers', schema, never), undefined, 'none yet');
  keepDurably(path, 'numbers', '{"version":1,"n":7}');
  test.strictSame(readKept(path, 'numbers', schema, never), { version: 1, n: 7 });
  test.equal(statSync(path).mode & 0o777, 0o600);
  test.equal(statSync(join(path, '..')).mode & 0o777, 0o700);
  test.strictSame(readdirSync(join(path, '..')), ['file.json']);
  test.end();
});

void t.test('a damaged file is out of the way, and told', (test) => {
  for (const [name, read] of [
    ['kept', (path: string, told: string[]) => readKept(path, 'numbers', schema, tell(told))],
    ['hint', (path: string, told: string[]) => readOrPutAside(path, schema, tell(told))],
  ] as const) {
    for (const text of ['', '{', '{"version":2,"n":7}']) {
      const path = join(test.testdir({ [name]: text }), name);
      const told: string[] = [];
      test.equal(read(path, told), undefined);
      test.strictSame(told, [`${path}.damaged`]);
      test.notOk(existsSync(path));
      test.equal(readFileSync(`${path}.damaged`, 'utf8'), text);
    }
  }
  test.end();
});

const tell =
  (told: string[]) =>
  (_: Error, aside: string): void => {
    told.push(aside);
  };

void t.test('a disk that does not read is no damaged file: what is kept is not begun anew', (test) => {
  const path = join(test.testdir(), 'file');
  mkdirSync(path);
  const told: string[] = [];
  test.throws(() => readKept(path, 'numbers', schema, tell(told)), {
    code: 'OVL_STATE_DIR',
    message: new RegExp(`cannot keep numbers in ${path}`),
  });
  test.strictSame(told, []);
  test.ok(existsSync(path));
  test.end();
});

void t.test('what does not fit the disk is an error, and the old file stays', (test) => {
  const folder = test.testdir({ file: 'old' });
  const path = join(folder, 'file');
  const module = new URL('../../../agent/control/state-file.js', import.meta.url).href;
  const script = `
    import { keepDurably } from ${JSON.stringify(module)};
    try { keepDurably(${JSON.stringify(path)}, 'numbers', 'x'.repeat(100_000)); console.log('kept'); }
    catch (error) { console.log(error.code); }`;
  writeFileSync(join(folder, 'script.mjs'), script);
  // A file may have 8 KiB: the write that goes beyond is cut short, as on a disk that is full.
  const limited = ['-c', 'ulimit -f 8; exec "$0" "$1"', process.execPath, join(folder, 'script.mjs')];
  test.equal(execFileSync('bash', limited, { encoding: 'utf8' }), 'OVL_STATE_DIR\n');
  test.equal(readFileSync(path, 'utf8'), 'old');
  test.end();
});

void t.test('what is kept is on the disk with its name, and so is the folder', async (test) => {
  const folder = join(test.testdir(), 'a');
  const path = join(folder, 'state', 'file.json');
  const first = await diskCalls(() => keepDurably(path, 'numbers', '1'));
  const written = ['fsync file.json.new', 'rename file.json', 'fsync state'];
  test.strictSame(first.slice(-3), written);
  test.strictSame(first.slice(0, 2), ['fsync a', `fsync ${basename(join(folder, '..'))}`]);
  test.strictSame(await diskCalls(() => keepDurably(path, 'numbers', '2')), written);
});
