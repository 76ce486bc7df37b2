/** `overlayd status`: one screen. Exit code 0 when ready, 1 when degraded. */
import type { Command } from 'commander';
import { formatHostPort } from '../../config/address.ts';
import { NOT_READY } from '../../readiness.ts';
import type { Status } from '../../status.ts';
import { clientVerb, withClient } from '../client-command.ts';
import type { ClientOptions } from '../client-command.ts';
import { EXIT } from '../context.ts';
import type { CliContext } from '../context.ts';
import { STATE_COLOUR, colourer, humanDuration, printJson, printable, renderTable } from '../output.ts';
import { NETWORK_COLUMNS } from './networks.ts';

export function statusCommand(context: CliContext): Command {
  return clientVerb('status', 'node, uptime, peers by state, networks, drops by reason', [
    'overlayd status',
    'overlayd status -o json | jq .peers.alive',
  ]).action(async (options: ClientOptions) => {
    const status = await withClient(options.socket, (client) => client.status());
    if (options.output === 'json') printJson(context, status);
    else context.out(renderStatus(context, status, options));
    if (!status.ready) context.exitCode = EXIT.failed;
  });
}

function sealingText(gossip: Status['gossipEncryption']): string {
  if (gossip === undefined || gossip.mode === 'off') return 'none: gossip in clear';
  const { mode, primary, keys, next, waitingFor = [] } = gossip;
  const missing = waitingFor.length === 0 ? '' : `, waits for ${printable(waitingFor.join(', '))}`;
  const coming = next === undefined ? '' : `, next ${next}${missing}`;
  return `gossip ${mode}, key ${primary ?? '-'} of ${keys ?? '-'}${coming}`;
}

function revokedLine({ revoked }: Status): string[] {
  if (revoked === undefined) return [];
  return [
    `REVOKED    by ${printable(revoked.by)}, ${revoked.at}: the others have nothing to do with this host`,
  ];
}

/** Why it is not ready; what a revoked host is told has a line of its own. */
function notReadyLine({ ready, notReady }: Status): string[] {
  if (ready || notReady === undefined || notReady === 'revoked') return [];
  const { what, cure } = NOT_READY[notReady];
  return [`not ready  ${what}. ${cure}`];
}

function renderStatus(context: CliContext, status: Status, options: ClientOptions): string {
  const colour = colourer(context);
  const peers = Object.entries(status.peers).map(([state, count]) => {
    const text = `${count} ${state}`;
    return count === 0 ? text : colour(STATE_COLOUR[state as keyof Status['peers']], text);
  });
  const { fromTap, toTap, fromTunnel, toTunnel } = status.frames;
  const drops = Object.entries(status.drops).filter(([, count]) => count > 0);
  const health = status.ready ? colour('green', 'ready') : colour('red', 'not ready');
  const workers = `${status.workers} ${status.workers === 1 ? 'worker' : 'workers'}`;
  return [
    `node       ${printable(status.node)} (overlayd ${status.version}), up ${humanDuration(status.uptimeSeconds)}, ${health}`,
    ...revokedLine(status),
    ...notReadyLine(status),
    `gossip     ${formatHostPort(status.advertiseAddr, status.gossipPort)}`,
    `sealing    ${sealingText(status.gossipEncryption)}`,
    `data       ${formatHostPort(status.dataPathAddr, status.dataPort)}, ${status.io}, ${workers}`,
    `peers      ${peers.join(', ')}`,
    `frames     from TAP ${fromTap}, to TAP ${toTap}, from tunnel ${fromTunnel}, to tunnel ${toTunnel}`,
    `drops      ${drops.length === 0 ? 'none' : drops.map(([reason, count]) => `${reason} ${count}`).join(', ')}`,
    '',
    renderTable(status.networks, NETWORK_COLUMNS, options),
  ].join('\n');
}
