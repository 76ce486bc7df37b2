/** `overlayd networks [ls|inspect]`. */
import type { Command } from 'commander';
import { didYouMean } from '../../config/nearest.ts';
import type { NetworkDetail, NetworkSummary } from '../../status.ts';
import { clientVerb, withClient } from '../client-command.ts';
import type { ClientOptions } from '../client-command.ts';
import { EXIT } from '../context.ts';
import type { CliContext } from '../context.ts';
import { printJson, printRows, printable } from '../output.ts';
import type { Column } from '../output.ts';

export const NETWORK_COLUMNS: readonly Column<NetworkSummary>[] = [
  { title: 'NETWORK', value: ({ name }) => printable(name) },
  { title: 'VNI', value: ({ vni }) => vni },
  { title: 'TAP', value: ({ tap }) => tap },
  { title: 'MTU', value: ({ mtu }) => mtu },
  { title: 'SUBNET', value: ({ subnet }) => subnet && printable(subnet) },
  { title: 'ENCRYPTED', value: ({ encrypted }) => encrypted },
  { title: 'PEERS', value: ({ peers }) => peers },
  { title: 'MACS', value: ({ macs }) => macs },
];

export function networksCommand(context: CliContext): Command {
  const list = async (options: ClientOptions): Promise<void> => {
    const networks = await withClient(options.socket, (client) => client.networks());
    printRows(context, options, networks, NETWORK_COLUMNS);
  };
  const networks = clientVerb('networks', 'networks: list them, look into one', [
    'overlayd networks',
    'overlayd networks inspect overlay',
  ]);
  networks
    .usage('[options] [ls|inspect NAME]')
    .allowExcessArguments()
    .action(async (options: ClientOptions) => {
      const [unknown] = networks.args;
      if (unknown === undefined) return list(options);
      return networks.error(`error: unknown command '${unknown}'${didYouMean(unknown, ['ls', 'inspect'])}`);
    });
  networks.addCommand(
    clientVerb('ls', 'list networks', ['overlayd networks ls -o json']).action(
      (_: unknown, command: Command) => list(command.optsWithGlobals()),
    ),
  );
  networks.addCommand(inspectCommand(context));
  return networks;
}

function inspectCommand(context: CliContext): Command {
  return clientVerb('inspect', 'everything about one network', [
    'overlayd networks inspect overlay',
    'overlayd networks inspect overlay -o json',
  ])
    .argument('<NAME>', 'name of the network')
    .action(async (name: string, _: unknown, command: Command) => {
      const options: ClientOptions = command.optsWithGlobals();
      const network = await withClient(options.socket, (client) => client.network(name));
      if (options.output === 'json') printJson(context, network);
      else context.out(renderNetwork(network));
      context.exitCode = EXIT.good;
    });
}

function renderNetwork(network: NetworkDetail): string {
  const { name, vni, tap, mtu, subnet, gateway, ipRange, encrypted, members, macs, staticPeers } = network;
  const rows: [string, string | number | undefined][] = [
    ['name', name],
    ['vni', vni],
    ['tap', tap],
    ['mtu', mtu],
    ['subnet', subnet],
    ['gateway', gateway],
    ['ip range', ipRange],
    ['encrypted', encrypted ? 'yes' : 'no'],
    ['macs', macs],
    ['members', members.join(', ')],
    ...staticPeers.map(({ ip, macs: known }): [string, string] => ['static peer', [ip, ...known].join(' ')]),
  ];
  return rows
    .map(([title, value]) => `${title.padEnd(12)} ${printable(String(value ?? '')) || '-'}\n`)
    .join('');
}
