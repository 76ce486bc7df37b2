/** The command line: all verbs, and how their errors become words and exit codes. */
import { CommanderError } from 'commander';
import type { Command } from 'commander';
import { OverlaydError } from '../errors.ts';
import { VERSION } from '../version.ts';
import { verb } from './client-command.ts';
import { EXIT, renderError } from './context.ts';
import type { CliContext } from './context.ts';

/** Help of the same width for everybody: what is pasted into a document does not depend on a window. */
const HELP_WIDTH = 110;

/** Verbs in the order of the help. Each is in a module of its own, loaded when it is called or help lists them all. */
const VERBS: Readonly<Record<string, (context: CliContext) => Promise<Command>>> = {
  run: async (context) => (await import('./commands/run.ts')).runCommand(context),
  status: async (context) => (await import('./commands/status.ts')).statusCommand(context),
  peers: async (context) => (await import('./commands/peers.ts')).peersCommand(context),
  networks: async (context) => (await import('./commands/networks.ts')).networksCommand(context),
  fdb: async (context) => (await import('./commands/fdb.ts')).fdbCommand(context),
  join: async (context) => (await import('./commands/membership.ts')).joinCommand(context),
  leave: async (context) => (await import('./commands/membership.ts')).leaveCommand(context),
  keyring: async (context) => (await import('./commands/keyring.ts')).keyringCommand(context),
  identities: async (context) => (await import('./commands/identities.ts')).identitiesCommand(context),
  revoke: async (context) => (await import('./commands/revoke.ts')).revokeCommand(context),
  'docker-command': async (context) => (await import('./commands/docker-command.ts')).dockerCommand(context),
  doctor: async (context) => (await import('./commands/doctor.ts')).doctorCommand(context),
  wait: async () => (await import('./commands/wait.ts')).waitCommand(),
  demo: async (context) => (await import('./commands/demo.ts')).demoCommand(context),
  version: async (context) => (await import('./commands/version.ts')).versionCommand(context),
  completion: async (context) => (await import('./commands/completion.ts')).completionCommand(context),
};
/** It is made from all the others. */
const VERB_OF_ALL = 'completion';

/** The program with the verb `called` alone, or with all of them when that is none of ours or needs the others. */
export async function buildProgram(context: CliContext, called?: string): Promise<Command> {
  const program = verb('overlayd', 'One Ethernet for the containers of many hosts.', [
    'overlayd run                      start the daemon on the first host',
    'overlayd run --join 192.0.2.1     and on every other',
    'overlayd status                   how is it going?',
    'overlayd docker-command overlay   how do containers get on it?',
    'overlayd doctor                   what is wrong, and the cure',
  ]).version(`overlayd ${VERSION}`, '-V, --version', 'version of this program');
  const isOne = called !== undefined && called !== VERB_OF_ALL && Object.hasOwn(VERBS, called);
  const loaders = isOne ? [VERBS[called]!] : Object.values(VERBS);
  const commands = await Promise.all(loaders.map((load) => load(context)));
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
    const program = await buildProgram(context, argv[0]);
    await program.parseAsync([...argv], { from: 'user' });
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
