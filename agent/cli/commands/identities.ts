/** `overlayd identities`: keys of hosts, how they are known, and who was shut out. */
import type { Command } from 'commander';
import { OverlaydError } from '../../errors.ts';
import type { Identity } from '../../status.ts';
import { clientVerb, withClient } from '../client-command.ts';
import type { ClientOptions } from '../client-command.ts';
import type { CliContext } from '../context.ts';
import { printJson, printRows, printable } from '../output.ts';
import type { Column } from '../output.ts';
import { tellRevoked } from './revoke.ts';

export function identitiesCommand(context: CliContext): Command {
  const examples = [
    'overlayd identities ls',
    'overlayd identities ls -o lines > identities     fit for --identities',
    'overlayd identities show host-c',
    'overlayd identities forget host-c                it was installed anew: its next key is taken',
  ];
  const what = 'keys of the hosts: which is known how, and who is revoked';
  const identities = clientVerb('identities', what, examples, ['lines']);
  identities.addCommand(listCommand(context), { isDefault: true });
  identities.addCommand(showCommand(context));
  identities.addCommand(forgetCommand(context));
  return identities;
}

function listCommand(context: CliContext): Command {
  const examples = [
    'overlayd identities ls',
    'overlayd identities ls -o json',
    'overlayd identities ls -o lines',
  ];
  return clientVerb('ls', 'all keys; as lines: those that speak for a name, for --identities', examples, [
    'lines',
  ]).action(async (_: unknown, command: Command) => {
    const options: ClientOptions = command.optsWithGlobals();
    const entries = await withClient(options.socket, (client) => client.identities());
    if (options.output === 'lines') context.out(linesOf(entries));
    else printRows(context, options, entries, COLUMNS);
  });
}

function showCommand(context: CliContext): Command {
  return clientVerb('show', 'all that is known of the keys of one host; without a name: of this one', [
    'overlayd identities show',
    'overlayd identities show host-c',
  ])
    .argument('[NODE]', 'name of the host')
    .action(async (node: string | undefined, _: unknown, command: Command) => {
      const options: ClientOptions = command.optsWithGlobals();
      const all = await withClient(options.socket, (client) => client.identities());
      const entries = all.filter(({ name, known }) =>
        node === undefined ? known === 'self' : name === node,
      );
      if (entries.length === 0) {
        throw new OverlaydError(
          'OVL_IDENTITY_NOT_FOUND',
          `no key of a host ${JSON.stringify(node)} is known`,
          {
            hint: '"overlayd identities ls" shows whom this host knows.',
            exitCode: 5,
          },
        );
      }
      if (options.output === 'json') printJson(context, entries);
      else context.out(entries.map(textOf).join('\n'));
    });
}

function forgetCommand(context: CliContext): Command {
  return clientVerb(
    'forget',
    'the key of a host is void for all, and its name takes the next key that is seen',
    ['overlayd identities forget host-c'],
  )
    .argument('<NODE>', 'name of the host')
    .action(async (name: string, _: unknown, command: Command) => {
      const options: ClientOptions = command.optsWithGlobals();
      const result = await withClient(options.socket, (client) => client.identityForget(name));
      tellRevoked(context, options, result, 'is void; the name takes the next key');
    });
}

/** What `--identities` reads. */
function linesOf(entries: readonly Identity[]): string {
  const pinned = entries.filter(({ state }) => state === 'pinned');
  const lines = pinned.map(
    ({ name, key, admin }) => `${printable(name)} ${key}${admin === true ? ' admin' : ''}\n`,
  );
  return lines.join('');
}

function textOf({ name, fingerprint, key, known, state, admin, revoked, disputed = [] }: Identity): string {
  return [
    `node         ${printable(name)}`,
    `fingerprint  ${fingerprint}`,
    `key          ${key}`,
    `known by     ${known}`,
    `state        ${state}${admin === true ? ', admin' : ''}`,
    ...(revoked === undefined ? [] : [`${revoked.as.padEnd(11)}  ${wordOf(revoked)}`]),
    ...disputed.map((word) => `not obeyed   ${word.as} ${wordOf(word)}, which is revoked itself`),
    '',
  ].join('\n');
}

const wordOf = ({ by, at }: NonNullable<Identity['revoked']>): string => `by ${printable(by)}, ${at}`;

const COLUMNS: readonly Column<Identity>[] = [
  { title: 'NODE', value: ({ name }) => printable(name) },
  { title: 'FINGERPRINT', value: ({ fingerprint }) => fingerprint },
  { title: 'KNOWN BY', value: ({ known }) => known },
  { title: 'STATE', value: ({ state, disputed }) => (disputed === undefined ? state : `${state}, disputed`) },
  { title: 'REVOKED BY', value: ({ revoked }) => revoked && printable(revoked.by) },
  { title: 'AT', value: ({ revoked }) => revoked?.at },
  { title: 'KEY', wide: true, value: ({ key }) => key },
];
