/** `overlayd networks ranges` and `reclaim`: which host has which addresses. */
import type { Command } from 'commander';
import type { NetworkRanges } from '../../status.ts';
import { clientVerb, withClient } from '../client-command.ts';
import type { ClientOptions } from '../client-command.ts';
import { EXIT } from '../context.ts';
import type { CliContext } from '../context.ts';
import { printJson, printable, renderTable } from '../output.ts';
import type { Column } from '../output.ts';

interface Row {
  readonly network: string;
  readonly range: NetworkRanges['ranges'][number];
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'NETWORK', value: ({ network }) => printable(network) },
  { title: 'HOST', value: ({ range }) => printable(range.host) },
  { title: 'RANGES', value: ({ range }) => range.cidrs.join(' ') },
  { title: 'DOCKER', value: ({ range }) => range.docker.join(' ') },
  { title: 'FREE', align: 'right', value: ({ range }) => range.free },
  { title: 'COPY AT', value: ({ range }) => printable(range.guardians.join(' ')) },
  {
    title: 'MOVING',
    wide: true,
    value: ({ range }) => printable(range.moving.map(({ cidr, to }) => `${cidr} to ${to}`).join(', ')),
  },
];

export function rangesCommand(context: CliContext): Command {
  return clientVerb('ranges', 'which host has which addresses', [
    'overlayd networks ranges',
    'overlayd networks ranges blue -o json',
  ])
    .argument('[NETWORK]', 'name or id of the network (default: all that have a subnet)')
    .action(async (name: string | undefined, _: unknown, command: Command) => {
      const options: ClientOptions = command.optsWithGlobals();
      const all = await withClient(options.socket, async (client) => {
        const networks = name === undefined ? await client.networks() : [{ name, subnet: '' }];
        const found: NetworkRanges[] = [];
        // One after the other: each request is a connection, and the daemon takes only so many at once.
        for (const network of networks)
          if (network.subnet !== undefined) found.push(await client.ranges(network.name));
        return found;
      });
      if (options.output === 'json') return printJson(context, all);
      const rows = all.flatMap(({ network, ranges }) => ranges.map((range): Row => ({ network, range })));
      context.out(renderTable(rows, COLUMNS, options));
      for (const { network, collisions } of all) {
        for (const collision of collisions) context.err(`${printable(describe(network, collision))}\n`);
      }
    });
}

function describe(network: string, collision: NetworkRanges['collisions'][number]): string {
  const { address, hosts, owner, kind } = collision;
  const where = `${address} of network "${network}"`;
  const at = hosts.join(' and ');
  if (kind === 'duplicate') return `duplicate: ${where} is in use twice, on ${at}`;
  if (kind === 'reclaimed')
    return `reclaimed: ${where} is in use on ${at} and belongs to ${owner ?? 'others'} now`;
  const risk = kind === 'foreign' ? 'which keeps off it' : 'whose Docker may hand it out again';
  return `${kind}: ${where} is in use on ${at}, in the range of ${owner ?? 'nobody'}, ${risk}`;
}

export function reclaimCommand(context: CliContext): Command {
  return clientVerb('reclaim', 'take over the addresses of a host that is gone for good, now', [
    'overlayd networks reclaim host-b    without it, after --range-lease',
  ])
    .argument('<HOST>', 'node name of the host; it must not run')
    .action(async (host: string, _: unknown, command: Command) => {
      const options: ClientOptions = command.optsWithGlobals();
      const done = await withClient(options.socket, (client) => client.reclaim(host));
      if (done.some(({ refused }) => refused !== undefined)) context.exitCode = EXIT.failed;
      if (options.output === 'json') return printJson(context, done);
      for (const { network, cidrs, refused } of done) {
        if (refused === undefined) {
          const taken = `network ${network}: ${cidrs.join(', ') || 'nothing'} of ${host} taken over`;
          context.out(`${printable(taken)}\n`);
        } else {
          const cure = refused.hint === undefined ? '' : `\n  ${printable(refused.hint)}`;
          context.err(`${printable(`network ${network}: refused: ${refused.message}`)}${cure}\n`);
        }
      }
    });
}
