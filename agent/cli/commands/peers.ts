/** `overlayd peers`: every known host. */
import type { Command } from 'commander';
import type { Peer } from '../../status.ts';
import { clientVerb, withClient } from '../client-command.ts';
import type { ClientOptions } from '../client-command.ts';
import type { CliContext } from '../context.ts';
import { STATE_COLOUR, colourer, printRows, printable } from '../output.ts';
import type { Column } from '../output.ts';

export function peersCommand(context: CliContext): Command {
  return clientVerb('peers', 'every known host', ['overlayd peers', 'overlayd peers -o wide']).action(
    async (options: ClientOptions) => {
      const peers = await withClient(options.socket, (client) => client.peers());
      printRows(context, options, peers, columns(context));
    },
  );
}

function columns(context: CliContext): Column<Peer>[] {
  const colour = colourer(context);
  return [
    { title: 'NAME', value: ({ name }) => printable(name) },
    { title: 'ADDRESS', value: ({ addr }) => printable(addr) },
    { title: 'STATE', value: ({ state }) => colour(STATE_COLOUR[state], state) },
    { title: 'RTT', value: ({ rttMs }) => (rttMs === undefined ? undefined : `${rttMs.toFixed(2)} ms`) },
    {
      title: 'SEALED',
      value: ({ sealed, session }) => (sealed ? 'yes' : (session?.error ?? session?.state ?? 'no')),
    },
    { title: 'PATH', value: ({ path }) => path && printable(path) },
    { title: 'DATA PATH', wide: true, value: ({ dataPathAddr }) => dataPathAddr && printable(dataPathAddr) },
    {
      title: 'SESSION',
      wide: true,
      value: ({ session }) => session?.ageSeconds && `${session.ageSeconds} s`,
    },
    { title: 'REKEYS', wide: true, value: ({ session }) => session?.rekeys },
    {
      title: 'PROTOCOL',
      wide: true,
      value: ({ protocol, incompatible }) =>
        incompatible === undefined
          ? protocol &&
            [`state ${protocol.state}`, ...(protocol.tunnel ? [`tunnel ${protocol.tunnel}`] : [])].join(', ')
          : 'incompatible',
    },
    { title: 'PATH MTU', wide: true, value: ({ pathMtu }) => pathMtu },
    {
      title: 'LOSS',
      wide: true,
      value: ({ loss }) => (loss === undefined ? undefined : `${(loss * 100).toFixed(1)} %`),
    },
    { title: 'NETWORKS', value: ({ networks }) => printable(networks.join(',')) },
  ];
}
