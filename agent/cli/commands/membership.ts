/** `overlayd join` and `overlayd leave`: membership by hand. */
import type { Command } from 'commander';
import { parseHostPort } from '../../config/address.ts';
import { clientVerb, withClient } from '../client-command.ts';
import type { ClientOptions } from '../client-command.ts';
import { EXIT } from '../context.ts';
import type { CliContext } from '../context.ts';
import { printJson, printable } from '../output.ts';

export function joinCommand(context: CliContext): Command {
  const join = clientVerb('join', 'join the cluster through other hosts', [
    'overlayd join 192.0.2.1',
    'overlayd join host-a:7946 host-b:7946',
  ]).argument('<ADDR...>', 'HOST or HOST:PORT of hosts in the cluster');
  return join.action(async (addresses: string[], options: ClientOptions) => {
    const wrong = addresses.find((address) => parseHostPort(address, 1) === undefined);
    if (wrong !== undefined) join.error(`error: '${wrong}' is not HOST or HOST:PORT`);
    const result = await withClient(options.socket, (client) => client.join(addresses));
    if (options.output === 'json') printJson(context, result);
    else context.out(`joined through ${result.joined} of ${addresses.length}\n`);
    for (const { addr, error } of result.errors) {
      context.err(`overlayd: ${printable(addr)}: ${printable(error)}\n`);
    }
    if (result.errors.length > 0) context.exitCode = EXIT.failed;
  });
}

export function leaveCommand(context: CliContext): Command {
  return clientVerb('leave', 'leave the cluster; the daemon goes on alone', [
    'overlayd leave',
    'overlayd leave && overlayd join 192.0.2.1',
  ]).action(async (options: ClientOptions) => {
    await withClient(options.socket, (client) => client.leave());
    if (options.output === 'json') printJson(context, { left: true });
    else context.out('left the cluster\n');
  });
}
