/** What every verb is given: where to write, and where to leave its exit code. */
import type { OverlaydError } from '../errors.ts';

/** Contract: the exit codes that scripts may depend on. */
export const EXIT = { good: 0, failed: 1, usage: 2, unreachable: 3, notPermitted: 4, notFound: 5 } as const;

export interface CliContext {
  /** Data, to stdout. */
  readonly out: (text: string) => void;
  /** Messages, to stderr. */
  readonly err: (text: string) => void;
  /** That of the process, and of what it starts. */
  readonly environment: Record<string, string | undefined>;
  /** Stdout is a terminal and NO_COLOR is not set. */
  readonly colour: boolean;
  exitCode: number;
}

export function processContext(): CliContext {
  const noColour = process.env['NO_COLOR'] ?? '';
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    environment: process.env,
    colour: process.stdout.isTTY && noColour === '',
    exitCode: EXIT.good,
  };
}

/** Message, cure, code: the same three lines for every error that a person sees. */
export function renderError({ message, hint, code }: OverlaydError): string {
  const lines = [`overlayd: ${message}`, ...(hint === undefined ? [] : [`  ${hint}`]), `  (${code})`];
  return `${lines.join('\n')}\n`;
}
