/**
 * Child processes for the demo and the namespace tests.
 *
 * Commands are argv arrays, never shell text. Long-lived children carry a parent-death signal, so that a harness killed
 * with -9 leaves no process behind; what else it leaves (namespaces, files) is the business of `run-record.ts`.
 */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { OverlaydError } from '../errors.ts';

/**
 * By how much every limit of waiting is longer than on a quiet machine. Test runs set it: their limits are there to end
 * a test that hangs, and say nothing of how fast things should be.
 */
const PATIENCE = Math.max(1, Number(process.env['OVERLAYD_PATIENCE'] ?? 1)) || 1;

/** Output of a command that has ended. `status` is undefined when a signal ended it. */
export interface Finished {
  readonly argv: readonly string[];
  readonly status: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  readonly timedOut: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a short command to its end, blocking. Throws `OVL_COMMAND_FAILED` with its stderr when it fails. */
export function runNow(argv: readonly string[], input?: string): string {
  const [file = '', ...rest] = argv;
  const done = spawnSync(file, rest, {
    encoding: 'utf8',
    maxBuffer: 64 << 20,
    ...(input === undefined ? {} : { input }),
  });
  if (done.error !== undefined) throw commandMissing(file, done.error);
  if (done.status !== 0) {
    throw new OverlaydError('OVL_COMMAND_FAILED', `${argv.join(' ')}: ${done.stderr.trim()}`, {
      details: { status: done.status, input },
    });
  }
  return done.stdout;
}

/** `ip` with the arguments given. */
export function ip(...args: string[]): string {
  return runNow(['ip', ...args]);
}

/** Many `ip` commands in one process, each an argument array. Stops at the first that fails. */
export function ipBatch(commands: readonly (readonly string[])[], namespace?: string): void {
  const lines = commands.map((words) => words.join(' ')).join('\n');
  const where = namespace === undefined ? [] : ['-n', namespace];
  runNow(['ip', ...where, '-batch', '-'], `${lines}\n`);
}

/** Runs a command to its end without blocking. Never throws for its exit status; kills it after `timeoutMs`, stretched. */
export function run(argv: readonly string[], timeoutMs = 30_000, input?: string): Promise<Finished> {
  const child = start(argv, 'pipe');
  if (input !== undefined) child.stdin?.end(input);
  else child.stdin?.end();
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
  return new Promise((resolve, reject) => {
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
    }, timeoutMs * PATIENCE);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(commandMissing(argv[0] ?? '', error));
    });
    child.once('close', (status, signal) => {
      clearTimeout(timer);
      resolve({
        argv,
        status: status ?? undefined,
        signal: signal ?? undefined,
        timedOut,
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
      });
    });
  });
}

/** A process that runs until it is stopped; its output goes to a file, read back by `log()`. */
export class Background {
  readonly argv: readonly string[];
  readonly logFile: string;
  readonly exited: Promise<{ status: number | undefined; signal: NodeJS.Signals | undefined }>;
  readonly #child: ChildProcess;
  #running = true;

  constructor(argv: readonly string[], logFile: string) {
    this.argv = argv;
    this.logFile = logFile;
    const log = openSync(logFile, 'a');
    this.#child = start(argv, log);
    closeSync(log);
    this.exited = new Promise((resolve) => {
      this.#child.once('error', () => {
        this.#running = false;
        resolve({ status: 127, signal: undefined });
      });
      this.#child.once('exit', (status, signal) => {
        this.#running = false;
        resolve({ status: status ?? undefined, signal: signal ?? undefined });
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get running(): boolean {
    return this.#running;
  }

  log(): string {
    return readFileSync(this.logFile, 'utf8');
  }

  /** Sends the signal and waits for the end; after `timeoutMs` kills it for good. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', timeoutMs = 10_000): Promise<void> {
    if (!this.#running) return;
    this.#child.kill(signal);
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), timeoutMs);
    await this.exited;
    clearTimeout(timer);
  }
}

/** Polls until `probe` gives a value; throws with `what` when it does not within `timeoutMs`. */
export async function until<T>(
  what: string,
  timeoutMs: number,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const limitMs = timeoutMs * PATIENCE;
  const deadline = performance.now() + limitMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) {
      throw new OverlaydError('OVL_TIMEOUT', `not within ${limitMs / 1000} s: ${what}`);
    }
    await sleep(50);
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/**
 * Spawns with a parent-death signal. setpriv, env and nsenter all exec, so the pid stays that of the command itself.
 * The caller's settings for overlayd (OVERLAYD_*) and for its own Node (NODE_OPTIONS, which test runners set) must not
 * reach the daemons; the latter is taken away by `env`, since runners put it back into what spawn is given.
 */
function start(argv: readonly string[], output: 'pipe' | number): ChildProcess {
  const rest = ['--pdeathsig', 'KILL', '--', 'env', '-u', 'NODE_OPTIONS', ...argv];
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('OVERLAYD_')),
  );
  if (output === 'pipe') return spawn('setpriv', rest, { env, stdio: ['pipe', 'pipe', 'pipe'] });
  return spawn('setpriv', rest, { env, stdio: ['ignore', output, output] });
}

function commandMissing(file: string, cause: Error): OverlaydError {
  return new OverlaydError('OVL_COMMAND_MISSING', `cannot run ${file}: ${cause.message}`, {
    hint: `Install ${file}; on Debian: apt-get install iproute2 util-linux iputils-ping.`,
    cause,
  });
}
