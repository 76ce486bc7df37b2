/** Runs the built binary as users do: another process, its streams and its exit code. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { runCli } from '../../../agent/cli/program.ts';

export const MAIN = fileURLToPath(new URL('../../../agent/main.js', import.meta.url));

/** Starting a process takes a second where many others run. */
export const PROCESS_TEST_TIMEOUT_MS = 120_000;

export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Variables of ours in the environment of the tests must not reach what they test. */
const CLEAN = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith('OVERLAYD_')),
);

export function start(args: readonly string[], environment: Record<string, string> = {}): ChildProcess {
  return spawn(process.execPath, [MAIN, ...args], {
    env: { ...CLEAN, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  });
}

export function overlayd(
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<Finished> {
  return finished(start(args, environment));
}

export function finished(child: ChildProcess): Promise<Finished> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve({ status, stdout, stderr }));
  });
}

/** The same command line inside this process, for cases that need no process of their own. */
export async function inProcess(args: readonly string[]): Promise<Finished> {
  let stdout = '';
  let stderr = '';
  const status = await runCli(args, {
    out: (text) => void (stdout += text),
    err: (text) => void (stderr += text),
    environment: {},
    colour: false,
    exitCode: 0,
  });
  return { status, stdout, stderr };
}
