/** Bare network namespaces on a host of the test bed, in the place of containers. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Host } from '../../agent/demo/hosts.ts';
import { run } from '../../agent/demo/process.ts';
import type { Settings } from './sandbox-child.ts';

const MOVE_MS = 60_000;
const CHILD = fileURLToPath(new URL('sandbox-child.js', import.meta.url));

export class Sandboxes {
  readonly #host: Host;
  readonly #child: ChildProcess;
  readonly #answers: {
    readonly resolve: (answer: number[]) => void;
    readonly reject: (error: Error) => void;
  }[] = [];
  #exited = false;

  constructor(host: Host) {
    this.#host = host;
    const [file = '', ...words] = host.inside([
      'setpriv',
      '--pdeathsig',
      'KILL',
      '--',
      process.execPath,
      CHILD,
    ]);
    const env = { ...process.env };
    delete env['NODE_OPTIONS'];
    this.#child = spawn(file, words, { env, stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.once('exit', () => {
      this.#exited = true;
      for (const { reject } of this.#answers) reject(new Error('the sandboxes have gone'));
    });
    host.testbed.record.addProcess(this.#child.pid ?? 0);
    if (this.#child.stdout === null) throw new Error('no pipe');
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      this.#answers.shift()?.resolve(JSON.parse(line) as number[]);
    });
  }

  /** Makes further ones; returns their numbers. */
  make(count: number): Promise<number[]> {
    return this.#ask({ make: count });
  }

  path(sandbox: number): string {
    return `/proc/${this.#child.pid}/fd/${sandbox}`;
  }

  /** Moves interfaces in and brings them up, as Docker does after Join. */
  async enter(moves: readonly (Settings & { readonly source: string })[]): Promise<void> {
    const lines = moves.map(
      ({ source, fd, name }) => `link set ${source} netns ${this.path(fd)} name ${name}\n`,
    );
    const moved = await run(['ip', '-n', this.#host.namespace, '-batch', '-'], MOVE_MS, lines.join(''));
    if (moved.status !== 0) throw new Error(`interfaces could not be moved: ${moved.stderr}`);
    await this.#ask({ set: moves });
  }

  async pings(sandbox: number, address: string): Promise<boolean> {
    const words = ['ping', '-n', '-c1', '-W3', address];
    return (await run(['nsenter', `--net=${this.path(sandbox)}`, '--', ...words])).status === 0;
  }

  close(): void {
    if (!this.#exited) this.#child.kill('SIGKILL');
  }

  #ask(order: object): Promise<number[]> {
    return new Promise((resolve, reject) => {
      if (this.#exited) throw new Error('the sandboxes have gone');
      this.#answers.push({ resolve, reject });
      this.#child.stdin?.write(`${JSON.stringify(order)}\n`);
    });
  }
}
