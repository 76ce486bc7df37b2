/** `overlayd fdb`: which host has which MAC. */
import type { Command } from 'commander';
import type { FdbEntry } from '../../status.ts';
import { clientVerb, withClient } from '../client-command.ts';
import type { ClientOptions } from '../client-command.ts';
import type { CliContext } from '../context.ts';
import { printRows, printable } from '../output.ts';
import type { Column } from '../output.ts';

const COLUMNS: readonly Column<FdbEntry>[] = [
  { title: 'NETWORK', value: ({ network }) => printable(network) },
  { title: 'VNI', wide: true, value: ({ vni }) => vni },
  { title: 'MAC', value: ({ mac }) => printable(mac) },
  { title: 'IPS', value: ({ ips }) => printable(ips.join(',')) },
  { title: 'OWNER', value: ({ owner }) => owner && printable(owner) },
  { title: 'VTEP', value: ({ vtep }) => vtep && printable(vtep) },
  { title: 'NAME', wide: true, value: ({ name }) => name && printable(name) },
  { title: 'LOCAL', value: ({ local }) => local },
];

export function fdbCommand(context: CliContext): Command {
  return clientVerb('fdb', 'forwarding table: MAC → host, with IPs', [
    'overlayd fdb',
    'overlayd fdb --network overlay -o json',
  ])
    .option('--network <NAME>', 'only this network')
    .action(async (options: ClientOptions & { network?: string }) => {
      const entries = await withClient(options.socket, (client) => client.fdb(options.network));
      printRows(context, options, entries, COLUMNS);
    });
}
