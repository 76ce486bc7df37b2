/** `overlayd version`: of this program; the daemon's own is in `overlayd status`. */
import type { Command } from 'commander';
import { VERSION } from '../../version.ts';
import { clientVerb } from '../client-command.ts';
import type { ClientOptions } from '../client-command.ts';
import type { CliContext } from '../context.ts';
import { printJson } from '../output.ts';

export function versionCommand(context: CliContext): Command {
  return clientVerb('version', 'version of this program', [
    'overlayd version',
    'overlayd version -o json',
  ]).action((options: ClientOptions) => {
    if (options.output === 'json') printJson(context, { version: VERSION, node: process.version });
    else context.out(`overlayd ${VERSION} (node ${process.version})\n`);
  });
}
