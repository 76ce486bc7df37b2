/** `overlayd docker-command NETWORK`: the line to paste, on stdout; what to know about it, on stderr. */
import type { Command } from 'commander';
import type { ApiClient } from '../../api/client.ts';
import { OverlaydError } from '../../errors.ts';
import type { NetworkDetail } from '../../status.ts';
import { clientVerb, withClient } from '../client-command.ts';
import type { ClientOptions } from '../client-command.ts';
import type { CliContext } from '../context.ts';
import { dockerLine } from '../docker-line.ts';
import type { DockerNetwork } from '../docker-line.ts';
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
      const subnets = await withClient(options.socket, (client) => rangesOf(client, network));
      const line = printable(dockerLine({ ...network, ...subnets, tap, subnet }));
      if (options.output === 'json') printJson(context, { command: line });
      else context.out(`${line}\n`);
    });
}

/** The range that the operator gave, else one of this host's own, which is marked for Docker from then on; in each family. */
async function rangesOf(
  client: ApiClient,
  { name, ipRange, subnet6, gateway6 }: NetworkDetail,
): Promise<Pick<DockerNetwork, 'ipRange' | 'second'>> {
  const first = ipRange ?? (await client.dockerRange(name));
  if (subnet6 === undefined) return { ipRange: first };
  const second = {
    subnet: subnet6,
    gateway: gateway6,
    ipRange: await client.dockerRange(name, { family: 6 }),
  };
  return { ipRange: first, second };
}
