/** Help, completion and version: no daemon needed. */
import { spawnSync } from 'node:child_process';
import tap from 'tap';
import type { CliContext } from '../../../agent/cli/context.ts';
import { buildProgram } from '../../../agent/cli/program.ts';
import { golden } from '../golden.ts';
import { PROCESS_TEST_TIMEOUT_MS, inProcess, overlayd } from './overlayd.ts';

tap.setTimeout(PROCESS_TEST_TIMEOUT_MS);

const SILENT: CliContext = {
  out: () => undefined,
  err: () => undefined,
  environment: {},
  colour: false,
  exitCode: 0,
};

void tap.test('help of every verb, examples first', async (t) => {
  const verbs = (await buildProgram(SILENT)).commands.map((command) => command.name());
  t.strictSame(verbs, [
    'run',
    'status',
    'peers',
    'networks',
    'fdb',
    'join',
    'leave',
    'keyring',
    'identities',
    'revoke',
    'docker-command',
    'doctor',
    'wait',
    'demo',
    'version',
    'completion',
  ]);
  let all = '';
  const below = [
    ['networks', 'ls'],
    ['networks', 'create'],
    ['networks', 'inspect'],
    ['networks', 'attach'],
    ['networks', 'detach'],
    ['networks', 'rm'],
    ['keyring', 'add'],
    ['keyring', 'use'],
  ];
  for (const argv of [[], ...verbs.map((verb) => [verb]), ...below]) {
    const { status, stdout, stderr } = await inProcess([...argv, '--help']);
    t.match({ status, stderr }, { status: 0, stderr: '' });
    t.match(stdout, /^Examples:\n/);
    all += `$ overlayd ${[...argv, '--help'].join(' ')}\n${stdout}\n`;
  }
  t.equal(all, golden('test/agent/cli/golden/help.txt', all), 'UPDATE_GOLDEN=1 writes it anew');
});

void tap.test('a verb that is called is built alone, and under its name', async (t) => {
  const { commands } = await buildProgram(SILENT);
  for (const name of commands.map((command) => command.name())) {
    if (name === 'completion') continue;
    const alone = await buildProgram(SILENT, name);
    t.strictSame(
      alone.commands.map((command) => command.name()),
      [name],
    );
  }
  t.equal((await buildProgram(SILENT, 'completion')).commands.length, commands.length);
  t.equal((await buildProgram(SILENT, 'toString')).commands.length, commands.length);
});

void tap.test('no verb at all is a usage error, with help', async (t) => {
  t.match(await inProcess([]), { status: 2, stdout: '', stderr: /^Examples:/ });
  t.match(await inProcess(['help', 'peers']), { status: 0, stdout: /every known host/ });
});

void tap.test('version', async (t) => {
  t.match(await inProcess(['version']), { status: 0, stdout: /^overlayd \d+\.\d+\.\d+ \(node v/ });
  t.match(await overlayd(['--version']), { status: 0, stdout: /^overlayd \d+\.\d+\.\d+\n$/, stderr: '' });
});

void tap.test('completion', async (t) => {
  const bash = await inProcess(['completion', 'bash']);
  const complete = (words: string): string[] => {
    const list = words.split(' ');
    const script = `${bash.stdout}
COMP_WORDS=(${list.map((word) => `"${word}"`).join(' ')}); COMP_CWORD=${list.length - 1}; _overlayd
printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
    t.equal(stderr, '');
    return stdout.trim().split('\n');
  };
  t.strictSame(complete('overlayd st'), ['status']);
  t.strictSame(complete('overlayd networks in'), ['inspect']);
  t.strictSame(complete('overlayd run --adv'), ['--advertise-addr']);
  t.match((await inProcess(['completion', 'zsh'])).stdout, /^#compdef overlayd\n/);
  t.match(
    (await inProcess(['completion', 'fish'])).stdout,
    /complete -c overlayd .* -a docker-command -d 'print the exact/,
  );
  t.match(await inProcess(['completion', 'tcsh']), {
    status: 2,
    stderr: /Allowed choices are bash, zsh, fish/,
  });
});
