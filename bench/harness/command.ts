/**
 * Child processes of the bench: short commands and services that run beside the measurement.
 *
 * Every child gets SIGKILL from the kernel when the bench itself dies (PR_SET_PDEATHSIG through setpriv), so that even
 * `kill -9` of the bench leaves no daemon. `nsenter --net=` execs in place: the child's pid is the program's.
 */

import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BenchError } from './errors.ts';

export interface CommandOptions {
  /** Name under /run/netns; absent: the bench's own. */
  readonly netns?: string;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

const OUTPUT_LIMIT_BYTES = 64 << 20;
const TAIL_CHARS = 600;

/** Runs to the end; resolves with stdout. Throws with the tail of what the program said when it fails. */
export function run(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const [file, ...args] = wrapped(argv, options);
  return new Promise((resolve, reject) => {
    execFile(
      file!,
      args,
      {
        encoding: 'utf8',
        maxBuffer: OUTPUT_LIMIT_BYTES,
        timeout: options.timeoutMs ?? 60_000,
        killSignal: 'SIGKILL',
        env: { ...process.env, ...options.env },
        ...(options.signal && { signal: options.signal }),
        ...(options.cwd !== undefined && { cwd: options.cwd }),
      },
      (error, stdout, stderr) => {
        if (!error) return resolve(stdout);
        const said = (stderr.trim() || stdout.trim()).slice(-TAIL_CHARS);
        const how = error.killed ? 'did not end in time' : said || error.message;
        reject(new BenchError(`${argv.join(' ')}: ${how}`, { cause: error }));
      },
    );
  });
}

/** A program that runs until stopped; one given a signal is killed when that aborts. */
export class Service {
  readonly #child: ChildProcess;
  readonly #argv: readonly string[];
  #output = '';
  readonly #exited: Promise<unknown>;

  constructor(argv: readonly string[], options: CommandOptions = {}) {
    const [file, ...args] = wrapped(argv, options);
    this.#argv = argv;
    this.#child = spawn(file!, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
      ...(options.cwd !== undefined && { cwd: options.cwd }),
    });
    this.#exited = Promise.race([once(this.#child, 'exit'), once(this.#child, 'error')]).catch(
      () => undefined,
    );
    const kill = (): unknown => this.#child.kill('SIGKILL');
    options.signal?.addEventListener('abort', kill, { once: true });
    void this.#exited.then(() => options.signal?.removeEventListener('abort', kill));
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      stream.setEncoding('utf8');
      stream.on('data', (text: string) => (this.#output = (this.#output + text).slice(-OUTPUT_LIMIT_BYTES)));
    }
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new BenchError(`${this.#argv[0]} could not be started`);
    return this.#child.pid;
  }

  /** stdout and stderr so far. */
  get output(): string {
    return this.#output;
  }

  get hasExited(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined;
  }

  /** Resolves when `isReady` holds; throws when the program ends before that or the time is up. */
  async waitUntil(
    isReady: () => boolean | Promise<boolean>,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!(await isReady())) {
      signal.throwIfAborted();
      const tail = this.#output.trim().slice(-TAIL_CHARS);
      if (this.hasExited) throw new BenchError(`${this.#argv.join(' ')} ended early: ${tail}`);
      if (performance.now() > deadline)
        throw new BenchError(`${this.#argv.join(' ')} not ready in time: ${tail}`);
      await sleep(50);
    }
  }

  /** Resolves with the whole output once the program has ended by itself; kills it when it does not. */
  async finish(timeoutMs: number): Promise<string> {
    const ended = await Promise.race([this.#exited.then(() => true), expiry(timeoutMs)]);
    if (!ended) {
      await this.stop();
      throw new BenchError(`${this.#argv.join(' ')} did not end in time`);
    }
    if (this.#child.exitCode !== 0) {
      throw new BenchError(`${this.#argv.join(' ')}: ${this.#output.trim().slice(-TAIL_CHARS)}`);
    }
    return this.#output;
  }

  /** SIGTERM, then SIGKILL after two seconds. Harmless when it has ended. */
  async stop(): Promise<void> {
    if (this.hasExited) return;
    this.#child.kill('SIGTERM');
    const ended = await Promise.race([this.#exited.then(() => true), expiry(2_000)]);
    if (!ended) this.#child.kill('SIGKILL');
    await this.#exited;
  }
}

/** Full path of a program, undefined when it is not installed. */
export function which(program: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders
    .filter(Boolean)
    .map((folder) => join(folder, program))
    .find(isExecutable);
}

/** Resolves with false after `ms`; does not keep the bench alive for it, the child it races does. */
function expiry(ms: number): Promise<false> {
  return sleep(ms, false as const, { ref: false });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function wrapped(argv: readonly string[], options: CommandOptions): string[] {
  const guard = ['setpriv', '--pdeathsig', 'KILL', '--'];
  if (options.netns === undefined) return [...guard, ...argv];
  return [...guard, 'nsenter', `--net=/run/netns/${options.netns}`, '--', ...argv];
}
