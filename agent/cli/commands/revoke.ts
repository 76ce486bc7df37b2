/** `overlayd revoke`: a host's key is void everywhere, or good again. */
import type { Command } from 'commander';
import type { RevokeResult } from '../../status.ts';
import { clientVerb, withClient } from '../client-command.ts';
import type { ClientOptions } from '../client-command.ts';
import type { CliContext } from '../context.ts';
import { printJson, printable } from '../output.ts';

interface RevokeOptions extends ClientOptions {
  readonly fingerprint?: string;
  readonly undo?: true;
}

export function revokeCommand(context: CliContext): Command {
  return clientVerb('revoke', 'shut a host out of the cluster: all others obey within seconds, for good', [
    'overlayd revoke host-c',
    'overlayd revoke host-c --fingerprint 3f1c9a02    if several keys came with that name',
    'overlayd revoke --undo host-c                    it was a mistake: the same key is good again',
    'overlayd identities forget host-c                it was installed anew: its next key is taken',
  ])
    .argument('<NODE>', 'name of the host')
    .option('--fingerprint <FINGERPRINT>', 'which of its keys: "overlayd identities ls", 8 digits or more')
    .option('--undo', 'take it back')
    .action(async (node: string, options: RevokeOptions) => {
      const { fingerprint, undo } = options;
      const result = await withClient(options.socket, (client) => client.revoke({ node, fingerprint, undo }));
      tellRevoked(context, options, result, undo === true ? 'is not revoked any more' : 'is revoked');
    });
}

export function tellRevoked(
  context: CliContext,
  options: ClientOptions,
  result: RevokeResult,
  what: string,
): void {
  if (options.output === 'json') {
    printJson(context, result);
    return;
  }
  const { name, fingerprint, state } = result.identity;
  context.out(`${printable(name)} (${fingerprint}) ${what}\n`);
  if (state !== 'revoked') return;
  const still = 'it still knows the keys in the keyring files, and could come as another host with them';
  const replace = 'replace them: overlayd keyring add, use, remove';
  if (result.gossipKey === 'rotating')
    context.err(`the cluster takes a new gossip key; ${still}: ${replace}\n`);
  else if (result.gossipKey === 'kept') context.err(`gossip keys are not rotated here: ${replace}\n`);
  else context.err('gossip goes in clear: whoever reaches the port can come as another host\n');
}
