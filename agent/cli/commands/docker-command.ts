/** `overlayd docker-command NETWORK`: the line to paste, on stdout; what to know about it, on stderr. */
import type { Command } from 'commander';
import { OverlaydError } from '../../errors.ts';
import { clientVerb, withClient } from '../client-command.ts';
import type { ClientOptions } from '../client-command.ts';
import type { CliContext } from '../context.ts';
import { IP_RANGE_NOTE, dockerLine } from '../docker-line.ts';
import { printJson, printable } from '../output.ts';

export function dockerCommand(context: CliContext): Command {
  return clientVerb('docker-command', 'print the exact "docker network create" line of a network', [
    'overlayd docker-command overlay',
    'sh -c "$(overlayd docker-command overlay)"',
  ])
    .argument('<NETWORK>', 'name of the network')
    .action(async (name: string, options: ClientOptions) => {
      const network = await withClient(options.socket, (client) => client.network(name));
      const { tap, subnet } = network;
      if (tap === undefined) {
        throw new OverlaydError('OVL_NETWORK_NOT_LOCAL', `this host takes no part in network "${name}"`, {
          hint: `Put a TAP on it: overlayd networks attach ${name}.`,
        });
      }
      if (subnet === undefined) {
        throw new OverlaydError('OVL_NETWORK_WITHOUT_SUBNET', `network "${name}" has no subnet`, {
          hint: 'Give it one with subnet=CIDR: Docker would choose another on every host.',
        });
      }
      const line = printable(dockerLine({ ...network, tap, subnet }));
      if (options.output === 'json') printJson(context, { command: line });
      else context.out(`${line}\n`);
      if (network.ipRange === undefined) context.err(`Note: ${IP_RANGE_NOTE}\n`);
    });
}
