/** `overlayd networks [ls|create|inspect|attach|detach|rm]`. */
import type { Command } from 'commander';
import { didYouMean } from '../../config/nearest.ts';
import type { NetworkDetail, NetworkSummary } from '../../status.ts';
import { clientVerb, withClient } from '../client-command.ts';
import type { ClientOptions } from '../client-command.ts';
import { attachCommand, createCommand, detachCommand, removeCommand } from './networks-change.ts';
import { rangesCommand, reclaimCommand } from './networks-ranges.ts';
import { EXIT } from '../context.ts';
import type { CliContext } from '../context.ts';
import { describeUse } from '../../networks/uses.ts';
import { printJson, printRows, printable } from '../output.ts';
import type { Column } from '../output.ts';

export const NETWORK_COLUMNS: readonly Column<NetworkSummary>[] = [
  { title: 'NETWORK', value: ({ name }) => printable(name) },
  { title: 'VNI', value: ({ vni }) => vni },
  { title: 'TAP', value: ({ tap }) => tap },
  { title: 'MTU', value: ({ mtu }) => mtu },
  { title: 'SUBNET', value: ({ subnet }) => subnet && printable(subnet) },
  { title: 'SUBNET6', wide: true, value: ({ subnet6 }) => subnet6 && printable(subnet6) },
  { title: 'ENCRYPTED', value: ({ encrypted }) => encrypted },
  { title: 'PEERS', value: ({ peers }) => peers },
  { title: 'MACS', value: ({ macs }) => macs },
  { title: 'STATUS', value: ({ status }) => status },
  { title: 'ID', wide: true, value: ({ id }) => id },
];
const VERBS = ['ls', 'create', 'inspect', 'attach', 'detach', 'ranges', 'reclaim', 'rm'];

export function networksCommand(context: CliContext): Command {
  const list = async (options: ClientOptions): Promise<void> => {
    const networks = await withClient(options.socket, (client) => client.networks());
    printRows(context, options, networks, NETWORK_COLUMNS);
  };
  const networks = clientVerb('networks', 'networks: on any host, for all hosts', [
    'overlayd networks',
    'overlayd networks create blue',
    'overlayd networks inspect blue',
    'overlayd networks rm blue',
  ]);
  networks
    .usage(`[options] [${VERBS.join('|')}]`)
    .allowExcessArguments()
    .action(async (options: ClientOptions) => {
      const [unknown] = networks.args;
      if (unknown === undefined) return list(options);
      return networks.error(`error: unknown command '${unknown}'${didYouMean(unknown, VERBS)}`);
    });
  networks.addCommand(
    clientVerb('ls', 'list networks', ['overlayd networks ls -o json']).action(
      (_: unknown, command: Command) => list(command.optsWithGlobals()),
    ),
  );
  networks.addCommand(createCommand(context));
  networks.addCommand(inspectCommand(context));
  networks.addCommand(attachCommand(context));
  networks.addCommand(detachCommand(context));
  networks.addCommand(removeCommand(context));
  networks.addCommand(rangesCommand(context));
  networks.addCommand(reclaimCommand(context));
  return networks;
}

function inspectCommand(context: CliContext): Command {
  return clientVerb('inspect', 'everything about one network', [
    'overlayd networks inspect overlay',
    'overlayd networks inspect overlay -o json',
  ])
    .argument('<NAME>', 'name or id of the network')
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
  const { subnet6, gateway6, uses = [], conflicts = [] } = network;
  const rows: [string, string | number | undefined][] = [
    ['name', name],
    ...(network.id === undefined ? [] : [['id', network.id] as [string, string]]),
    ['vni', vni],
    ['tap', tap],
    ['mtu', mtu],
    ['subnet', subnet6 === undefined ? subnet : `${subnet ?? ''} ${subnet6}`],
    ['gateway', gateway6 === undefined ? gateway : `${gateway ?? ''} ${gateway6}`],
    ['ip range', ipRange],
    ['encrypted', encrypted ? 'yes' : 'no'],
    ...(network.internal === true ? [['internal', 'yes'] as [string, string]] : []),
    ...Object.entries(network.labels ?? {}).map(([key, text]): [string, string] => [
      'label',
      `${key}=${text}`,
    ]),
    ...(network.createdBy === undefined ? [] : [['created by', network.createdBy] as [string, string]]),
    ...(network.configuredOn ?? []).map((host): [string, string] => ['configured', host]),
    ['macs', macs],
    ['members', members.join(', ')],
    ...uses.map((use): [string, string] => ['used by', describeUse(use)]),
    ...staticPeers.map(({ ip, macs: known }): [string, string] => ['static peer', [ip, ...known].join(' ')]),
    ...conflicts.flatMap(({ message, hint }): [string, string][] => [
      ['conflict', message],
      ['cure', hint],
    ]),
  ];
  return rows
    .map(([title, value]) => `${title.padEnd(12)} ${printable(String(value ?? '')) || '-'}\n`)
    .join('');
}
