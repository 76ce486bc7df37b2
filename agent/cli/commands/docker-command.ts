/** `overlayd docker-command NETWORK`: the line to paste, on stdout; what to know about it, on stderr. */
import type { Command } from 'commander';
import type { ApiClient } from '../../api/client.ts';
import { OverlaydError } from '../../errors.ts';
import type { NetworkDetail } from '../../status.ts';
import { clientVerb, withClient } from '../client-command.ts';
import type { ClientOptions } from '../client-command.ts';
import type { CliContext } from '../context.ts';
import { dockerLine } from '../docker-line.ts';
import { printJson, printable } from '../output.ts';

export function dockerCommand(context: CliContext): Command {
  return clientVerb('docker-command', 'print the exact "docker network create" line of a network', [
    'overlayd docker-command overlay',
    'sh -c "$(overlayd docker-command overlay)"',
  ])
    .argument('<NETWORK>', 'name of the network')
    .action(async (name: string, options: ClientOptions) => {
      const network = await withClient(options.socket, (client) => look(client, name));
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
    });
}

/** With the range that the operator gave, else with one of this host's own, which is marked for Docker from then on. */
async function look(client: ApiClient, name: string): Promise<NetworkDetail> {
  const network = await client.network(name);
  const { tap, subnet, ipRange } = network;
  if (tap === undefined || subnet === undefined || ipRange !== undefined) return network;
  return { ...network, ipRange: await client.dockerRange(name) };
}
