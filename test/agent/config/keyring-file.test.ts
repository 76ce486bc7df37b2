import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tap from 'tap';
import { readKeyringFile } from '../../../agent/config/keyring-file.ts';
import { OverlaydError } from '../../../agent/errors.ts';

const K32 = Buffer.alloc(32, 0xa1).toString('base64');
const K16 = Buffer.alloc(16, 0xa2).toString('base64');

void tap.test('one key a line, in order, with comments', async (t) => {
  const file = join(t.testdir({}), 'keyring');
  writeFileSync(file, `# primary\n${K32}\n\n  ${K16.replaceAll('=', '')}  \r\n`, { mode: 0o600 });
  t.same(
    readKeyringFile(file).map(({ bits }) => bits),
    [256, 128],
  );
});

void tap.test('each fault: what, where, the cure, and never the line itself', async (t) => {
  const file = join(t.testdir({}), 'keyring');
  const refused = (text: string): OverlaydError => {
    writeFileSync(file, text, { mode: 0o600 });
    try {
      readKeyringFile(file);
    } catch (error) {
      if (error instanceof OverlaydError) {
        for (const line of text.split('\n').filter((part) => part.length > 8))
          t.notMatch(`${error.message} ${error.hint}`, line.slice(0, 8), 'the key is not told');
        return error;
      }
    }
    t.fail(`"${text}" was taken`);
    return new OverlaydError('', '');
  };
  t.match(refused('\n# nothing\n'), { code: 'OVL_KEYRING_INVALID', message: /no key/, hint: /openssl rand/ });
  t.match(refused(`${K32}\nnot base64 at all!\n`), { message: /keyring:2: this is no base64/ });
  t.match(refused(`${K32}\n\nMTIzNDU2Nzg5MDEy\n`), { message: /keyring:3: .* this one has 12/ });
  t.match(refused(`${K32}\n${K32}\n`), { message: /keyring:2: .* twice/, hint: /Delete/ });
  const many = Array.from({ length: 9 }, (_, i) => Buffer.alloc(16, i).toString('base64'));
  t.match(refused(many.join('\n')), { message: /9 keys, more than 8/ });
  t.match(refused('x'.repeat(70_000)), { message: /too many/ });
});

void tap.test('a file that others may read is refused, and one that is not there', async (t) => {
  const file = join(t.testdir({}), 'keyring');
  t.throws(() => readKeyringFile(file), { code: 'OVL_KEYRING_UNREADABLE', hint: /umask 077; openssl/ });
  writeFileSync(file, `${K32}\n`);
  chmodSync(file, 0o640);
  t.throws(() => readKeyringFile(file), {
    code: 'OVL_KEYRING_PERMISSIONS',
    hint: /chmod 600/,
    message: /0640/,
  });
  t.throws(() => readKeyringFile(t.testdirName), { code: 'OVL_KEYRING_INVALID' });
});
