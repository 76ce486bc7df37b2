/** `overlayd keyring`: the keys that seal gossip, named by fingerprint; their bytes are never shown. */
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { readKeyringFile } from '../../config/keyring-file.ts';
import { OverlaydError } from '../../errors.ts';
import type { KeyringEntry } from '../../status.ts';
import { clientVerb, withClient } from '../client-command.ts';
import type { ClientOptions } from '../client-command.ts';
import type { CliContext } from '../context.ts';
import { printJson, printRows, printable } from '../output.ts';
import type { Column } from '../output.ts';

interface AddOptions extends ClientOptions {
  readonly file?: string;
  readonly generate?: true;
}

const KEY_BYTES = 32;

export function keyringCommand(context: CliContext): Command {
  const keyring = clientVerb('keyring', 'keys that seal gossip: rotation by hand, on all hosts', [
    'overlayd keyring ls',
    'overlayd keyring add --generate --file /etc/overlayd/new-key    then: use, and remove the old one',
    'overlayd keyring use 3f1c',
    'overlayd keyring remove a9d0',
  ]);
  keyring.addCommand(listCommand(context), { isDefault: true });
  keyring.addCommand(addCommand(context));
  keyring.addCommand(useCommand(context));
  keyring.addCommand(removeCommand(context));
  return keyring;
}

function listCommand(context: CliContext): Command {
  return clientVerb('ls', 'keys of this host, who lacks them and who seals with them', [
    'overlayd keyring ls',
    'overlayd keyring ls -o json',
  ]).action(async (_: unknown, command: Command) => {
    const options: ClientOptions = command.optsWithGlobals();
    const entries = await withClient(options.socket, (client) => client.keyring());
    printRows(context, options, entries, COLUMNS);
  });
}

function addCommand(context: CliContext): Command {
  const examples = [
    'openssl rand -base64 32 | overlayd keyring add',
    'overlayd keyring add --file /etc/overlayd/new-key',
    'overlayd keyring add --generate --file /etc/overlayd/new-key',
  ];
  return clientVerb('add', 'give all hosts a further key: one base64 line on stdin or in a file', examples)
    .option('--file <FILE>', 'take the key from this file (0600); with --generate: write it there')
    .option('--generate', 'make a new key; without --file nobody ever sees it')
    .action(async (_: unknown, command: Command) => {
      const options: AddOptions = command.optsWithGlobals();
      if (options.file === undefined && options.generate !== true && process.stdin.isTTY)
        context.err('overlayd: the key, one line of base64, and Ctrl-D:\n');
      const key = newKey(options);
      const entry = await withClient(options.socket, (client) => client.keyringAdd(key));
      tell(context, options, entry, 'added');
    });
}

function useCommand(context: CliContext): Command {
  return clientVerb('use', 'seal with this key, as soon as all hosts hold it', ['overlayd keyring use 3f1c'])
    .argument('<FINGERPRINT>', 'of a key in "overlayd keyring ls", or its beginning')
    .action(async (fingerprint: string, _: unknown, command: Command) => {
      const options: ClientOptions = command.optsWithGlobals();
      const entry = await withClient(options.socket, (client) => client.keyringUse(fingerprint));
      tell(context, options, entry, 'to be used');
    });
}

function removeCommand(context: CliContext): Command {
  return clientVerb('remove', 'forget this key on all hosts, as soon as nobody seals with it', [
    'overlayd keyring remove a9d0',
  ])
    .argument('<FINGERPRINT>', 'of a key in "overlayd keyring ls", or its beginning')
    .action(async (fingerprint: string, _: unknown, command: Command) => {
      const options: ClientOptions = command.optsWithGlobals();
      const entry = await withClient(options.socket, (client) => client.keyringRemove(fingerprint));
      tell(context, options, entry, 'to be removed');
    });
}

function newKey({ file, generate }: AddOptions): string {
  if (generate === true) {
    const key = randomBytes(KEY_BYTES).toString('base64');
    if (file !== undefined) writeNew(file, key);
    return key;
  }
  if (file === undefined) return readFileSync(0, 'utf8').trim();
  const [key, ...more] = readKeyringFile(file);
  if (key === undefined || more.length > 0) {
    throw new OverlaydError('OVL_KEYRING_INVALID', `${file} has ${more.length + 1} keys`, {
      hint: 'Give a file with the one key that is to be added.',
      exitCode: 2,
    });
  }
  return Buffer.from(key.reveal()).toString('base64');
}

function writeNew(file: string, key: string): void {
  try {
    writeFileSync(file, `${key}\n`, { mode: 0o600, flag: 'wx' });
  } catch (cause) {
    throw new OverlaydError('OVL_KEYRING_UNWRITABLE', `cannot write ${file}: ${(cause as Error).message}`, {
      hint: 'Give a file that is not there yet, in a folder that is yours.',
      exitCode: 2,
      cause,
    });
  }
}

function tell(context: CliContext, options: ClientOptions, entry: KeyringEntry, what: string): void {
  if (options.output === 'json') printJson(context, entry);
  else {
    const { fingerprint, missing } = entry;
    const wait = missing.length === 0 ? '' : `; not yet at ${printable(missing.join(', '))}`;
    context.out(`key ${fingerprint} ${what}${wait}\n`);
  }
}

const COLUMNS: readonly Column<KeyringEntry>[] = [
  { title: 'KEY', value: ({ fingerprint }) => fingerprint },
  { title: 'STATE', value: ({ state }) => state },
  { title: 'FROM', value: ({ origin }) => origin },
  { title: 'BITS', value: ({ bits }) => bits },
  { title: 'MISSING AT', value: ({ missing }) => printable(missing.join(',')) },
  { title: 'PRIMARY OF', wide: true, value: ({ primaryOf }) => printable(primaryOf.join(',')) },
];
