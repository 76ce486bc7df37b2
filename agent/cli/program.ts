/** The command line: all verbs, and how their errors become words and exit codes. */
import { CommanderError } from 'commander';
import type { Command } from 'commander';
import { OverlaydError } from '../errors.ts';
import { VERSION } from '../version.ts';
import { verb } from './client-command.ts';
import { completionCommand } from './commands/completion.ts';
import { demoCommand } from './commands/demo.ts';
import { dockerCommand } from './commands/docker-command.ts';
import { fdbCommand } from './commands/fdb.ts';
import { keyringCommand } from './commands/keyring.ts';
import { joinCommand, leaveCommand } from './commands/membership.ts';
import { networksCommand } from './commands/networks.ts';
import { peersCommand } from './commands/peers.ts';
import { runCommand } from './commands/run.ts';
import { statusCommand } from './commands/status.ts';
import { versionCommand } from './commands/version.ts';
import { waitCommand } from './commands/wait.ts';
import { EXIT, renderError } from './context.ts';
import type { CliContext } from './context.ts';

/** Help of the same width for everybody: what is pasted into a document does not depend on a window. */
const HELP_WIDTH = 110;

export function buildProgram(context: CliContext): Command {
  const program = verb('overlayd', 'One Ethernet for the containers of many hosts.', [
    'overlayd run                      start the daemon on the first host',
    'overlayd run --join 192.0.2.1     and on every other',
    'overlayd status                   how is it going?',
    'overlayd docker-command overlay   how do containers get on it?',
  ]).version(`overlayd ${VERSION}`, '-V, --version', 'version of this program');
  const commands = [
    runCommand(context),
    statusCommand(context),
    peersCommand(context),
    networksCommand(context),
    fdbCommand(context),
    joinCommand(context),
    leaveCommand(context),
    keyringCommand(context),
    dockerCommand(context),
    waitCommand(),
    demoCommand(context),
    versionCommand(context),
    completionCommand(context),
  ];
  for (const command of commands) program.addCommand(command);
  program.helpCommand('help [verb]', 'help for a verb');
  configure(program, context);
  return program;
}

/** Commander hands settings on only to commands that it makes itself; ours are made in their own files. */
function configure(command: Command, context: CliContext): void {
  command
    .exitOverride()
    .configureHelp({ helpWidth: HELP_WIDTH })
    .configureOutput({ writeOut: context.out, writeErr: context.err })
    .helpOption('-h, --help', 'this help');
  for (const child of command.commands) configure(child, context);
}

/** Runs one command line (without node and script); returns the exit code. */
export async function runCli(argv: readonly string[], context: CliContext): Promise<number> {
  try {
    await buildProgram(context).parseAsync([...argv], { from: 'user' });
    return context.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.good : EXIT.usage;
    if (error instanceof OverlaydError) {
      context.err(renderError(error));
      return error.exitCode;
    }
    // Nobody expected this one: whoever mends it wants the stack.
    context.err(`overlayd: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return EXIT.failed;
  }
}
