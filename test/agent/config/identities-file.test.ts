import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tap from 'tap';
import { readIdentitiesFile } from '../../../agent/config/identities-file.ts';
import { OverlaydError } from '../../../agent/errors.ts';

const key = (byte: number): string => Buffer.alloc(32, byte).toString('base64');

void tap.test('one NAME KEY a line, admins marked, with comments', async (t) => {
  const file = join(t.testdir({}), 'identities');
  writeFileSync(file, `# hosts\n\n host-a  ${key(1)}\tadmin\r\nhost-b ${key(2)}\n`, { mode: 0o644 });
  t.same(
    [...readIdentitiesFile(file)],
    [
      ['host-a', { keyHex: '01'.repeat(32), isAdmin: true }],
      ['host-b', { keyHex: '02'.repeat(32), isAdmin: false }],
    ],
  );
});

void tap.test('each fault: what, where and the cure', async (t) => {
  const file = join(t.testdir({}), 'identities');
  const refused = (text: string): OverlaydError => {
    writeFileSync(file, text, { mode: 0o600 });
    return refusal(() => readIdentitiesFile(file));
  };
  const refusal = (read: () => unknown): OverlaydError => {
    try {
      read();
    } catch (error) {
      if (error instanceof OverlaydError) return error;
    }
    t.fail('it was taken');
    return new OverlaydError('', '');
  };
  const invalid = { code: 'OVL_IDENTITIES_INVALID', exitCode: 2 };
  t.match(refused('# nobody\n'), { ...invalid, message: /no name in it/, hint: /-o lines/ });
  t.match(refused(`a ${key(1)}\na ${key(2)}\n`), { ...invalid, message: /identities:2: "a" .* twice/ });
  t.match(refused(`a ${key(1)}\nb ${key(1)}\n`), { ...invalid, message: /:2: "b" has the key of "a"/ });
  t.match(refused(`a ${key(1)} root\n`), { ...invalid, message: /only "admin"/ });
  t.match(refused(`a ${key(1)} admin too\n`), { ...invalid, message: /only "admin"/ });
  t.match(refused(`a/b ${key(1)}\n`), { ...invalid, message: /"a\/b" is no node name/ });
  for (const bad of [
    '',
    'AAAA',
    key(1).slice(0, -1),
    `${key(1)}A`,
    '01'.repeat(32),
    key(1).replace('=', ' '),
  ])
    t.match(refused(`a ${bad}\n`), { ...invalid, message: /no Ed25519 public key/ }, bad);
  t.match(refused(`# ${'x'.repeat(17 << 20)}\n`), { ...invalid, message: /too many/ });
  writeFileSync(file, `a ${key(1)}\n`);
  chmodSync(file, 0o622);
  t.match(
    refusal(() => readIdentitiesFile(file)),
    { code: 'OVL_IDENTITIES_PERMISSIONS', hint: /chmod go-w/ },
  );
  t.match(
    refusal(() => readIdentitiesFile(`${file}.none`)),
    { code: 'OVL_IDENTITIES_UNREADABLE' },
  );
  mkdirSync(`${file}.d`, 0o700);
  t.match(
    refusal(() => readIdentitiesFile(`${file}.d`)),
    { ...invalid, message: /no file/ },
  );
});
