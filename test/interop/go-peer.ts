import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/**
 * A member made of HashiCorp's memberlist itself (Debian's golang-go and golang-github-hashicorp-memberlist-dev), on a
 * loopback address of its own: go/peer.go has the commands and events.
 */
const SOURCE = 'test/interop/go/peer.go';
const GOPATH = '/usr/share/gocode';
const LIBRARY = `${GOPATH}/src/github.com/hashicorp/memberlist`;
const BUILD_MS = 120_000;

/** Why there is no Go peer here; undefined when it can be built. */
export function whyNoGo(): string | undefined {
  if (spawnSync('go', ['version']).error !== undefined)
    return 'go is not installed (apt-get install golang-go)';
  if (existsSync(LIBRARY)) return undefined;
  return 'Go memberlist is not installed (apt-get install golang-github-hashicorp-memberlist-dev)';
}

/** Builds the peer, offline. Throws Error with the compiler's words. */
export function buildGoPeer(): { readonly program: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'overlayd-go.'));
  const program = join(folder, 'peer');
  const cache = process.env['HOME'] === undefined ? { GOCACHE: join(folder, 'cache') } : {};
  const env = { ...process.env, ...cache, GO111MODULE: 'off', GOPATH, GOFLAGS: '', CGO_ENABLED: '0' };
  const built = spawnSync('go', ['build', '-o', program, SOURCE], { env, timeout: BUILD_MS });
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  if (built.status === 0) return { program, remove };
  remove();
  throw new Error(`go build: ${built.error?.message ?? built.stderr.toString()}`);
}

/** One line of the peer; which fields there are goes by `type`. */
export interface GoEvent {
  /** When it was read, ms of performance.now(). */
  readonly atMs?: number;
  readonly type: string;
  readonly name?: string;
  readonly addr?: string;
  readonly meta?: string;
  readonly bytes?: string;
  readonly join?: boolean;
  readonly names?: readonly string[];
  readonly health?: number;
  readonly error?: string;
}

export class GoPeer {
  readonly name: string;
  readonly ip: string;
  readonly events: GoEvent[] = [];
  readonly #child: ChildProcess;
  readonly #answers: ((answer: GoEvent) => void)[] = [];
  readonly #exited: Promise<void>;
  #log = '';

  private constructor(program: readonly string[], name: string, ip: string, more: readonly string[]) {
    this.name = name;
    this.ip = ip;
    const [file = '', ...before] = program;
    this.#child = spawn(file, [...before, '-name', name, '-ip', ip, ...more], { stdio: 'pipe' });
    this.#exited = new Promise((resolve) => {
      this.#child.once('exit', () => {
        for (const answer of this.#answers.splice(0))
          answer({ type: 'failed', error: `exited: ${this.#log}` });
        resolve();
      });
    });
    this.#child.stderr?.on('data', (chunk: Buffer) => (this.#log += chunk.toString()));
    // What is said to one who has exited is lost; `do` hears of the exit.
    this.#child.stdin?.on('error', () => undefined);
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      const event = JSON.parse(line) as GoEvent;
      if (event.type === 'done' || event.type === 'failed' || event.type === 'ready')
        this.#answers.shift()?.(event);
      else this.events.push({ ...event, atMs: performance.now() });
    });
  }

  /** `program` may be several words, as for a peer in a namespace. */
  static async start(
    program: string | readonly string[],
    name: string,
    ip: string,
    ...more: string[]
  ): Promise<GoPeer> {
    const peer = new GoPeer([program].flat(), name, ip, more);
    await peer.#answer();
    return peer;
  }

  get log(): string {
    return this.#log;
  }

  /** What memberlist holds to be errors. */
  get complaints(): string[] {
    return this.#log.split('\n').filter((line) => /\[ERR\]|panic/.test(line));
  }

  /** Throws Error with the peer's words. */
  async do(command: string): Promise<void> {
    const answered = this.#answer();
    this.#child.stdin?.write(`${command}\n`);
    await answered;
  }

  async members(): Promise<string> {
    await this.do('members');
    const names = this.events.findLast(({ type }) => type === 'members')?.names ?? [];
    return [...names].sort().join(' ');
  }

  has(type: string, matches: Partial<GoEvent> = {}): boolean {
    return this.#find(type, matches) !== undefined;
  }

  /** When it was first said, ms of performance.now(). */
  timeOf(type: string, matches: Partial<GoEvent> = {}): number | undefined {
    return this.#find(type, matches)?.atMs;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  #find(type: string, matches: Partial<GoEvent>): GoEvent | undefined {
    return this.events.find(
      (event) =>
        event.type === type &&
        Object.entries(matches).every(([key, value]) => event[key as keyof GoEvent] === value),
    );
  }

  async #answer(): Promise<void> {
    const { type, error } = await new Promise<GoEvent>((resolve) => {
      this.#answers.push(resolve);
    });
    if (type === 'failed') throw new Error(`${this.name}: ${error ?? ''}`);
  }
}
