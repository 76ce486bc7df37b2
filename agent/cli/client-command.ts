/** The verbs that ask a running daemon: the options that all of them take, and the connection. */
import { Command, Option } from 'commander';
import type { ApiClient } from '../api/client.ts';
import { DEFAULT_SOCKET } from '../config/defaults.ts';

export interface ClientOptions {
  readonly socket: string;
  readonly output: 'table' | 'wide' | 'json' | 'lines';
  readonly header: boolean;
}

/** A verb with its examples, which its help shows first. */
export function verb(name: string, description: string, examples: readonly string[]): Command {
  return new Command(name)
    .description(description)
    .addHelpText('before', `Examples:\n${examples.map((example) => `  ${example}`).join('\n')}\n`);
}

/** `formats`: further ones that this verb has. */
export function clientVerb(
  name: string,
  description: string,
  examples: readonly string[],
  formats: readonly 'lines'[] = [],
): Command {
  return verb(name, description, examples)
    .addOption(
      new Option('--socket <PATH>', 'admin socket of the daemon')
        .env('OVERLAYD_SOCKET')
        .default(DEFAULT_SOCKET),
    )
    .addOption(
      new Option('-o, --output <FORMAT>', 'how to print')
        .choices(['table', 'wide', 'json', ...formats])
        .default('table'),
    )
    .option('--no-header', 'tables without their first line');
}

export async function withClient<T>(socket: string, work: (client: ApiClient) => Promise<T>): Promise<T> {
  // The schemas of the answers are the larger part of the start-up time; help and completion do without.
  const { ApiClient: Client } = await import('../api/client.ts');
  return work(new Client(socket));
}
