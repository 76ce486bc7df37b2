import { execFile, spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { promisify } from 'node:util';

/** A real `serf agent` (Debian package serf) on a loopback address of its own. */
const run = promisify(execFile);

export interface SerfMember {
  readonly name: string;
  readonly addr: string;
  readonly status: string;
}

/** Why there is no Serf here; undefined when there is. */
export function whyNoSerf(): string | undefined {
  const { error } = spawnSync('serf', ['version']);
  return error === undefined ? undefined : 'serf is not installed (apt-get install serf)';
}

export class SerfAgent {
  readonly ip: string;
  readonly #rpc: string;
  readonly #child: ChildProcess;
  #log = '';

  /** `profile` local: suspicions of 3 s, gossip every 100 ms. */
  constructor(name: string, ip: string, ...more: string[]) {
    this.ip = ip;
    this.#rpc = `${ip}:7373`;
    const where = [`-bind=${ip}:7946`, `-rpc-addr=${this.#rpc}`];
    // An agent that outlived its test would keep the addresses of the next run.
    const serf = ['--pdeathsig', 'KILL', '--', 'serf'];
    this.#child = spawn('setpriv', [
      ...serf,
      'agent',
      `-node=${name}`,
      ...where,
      '-profile=local',
      '-log-level=debug',
      ...more,
    ]);
    const collect = (chunk: Buffer): void => {
      this.#log += chunk.toString();
    };
    this.#child.stdout?.on('data', collect);
    this.#child.stderr?.on('data', collect);
  }

  get log(): string {
    return this.#log;
  }

  /** What this agent holds to be errors. Its warnings may be about a busy machine. */
  get complaints(): string[] {
    return this.#log.split('\n').filter((line) => /\[ERR\]/.test(line));
  }

  async members(): Promise<SerfMember[]> {
    try {
      const { stdout } = await run('serf', ['members', `-rpc-addr=${this.#rpc}`, '-format=json']);
      return (JSON.parse(stdout) as { members: SerfMember[] }).members;
    } catch {
      // Not listening yet.
      return [];
    }
  }

  async statusOf(name: string): Promise<string | undefined> {
    return (await this.members()).find((member) => member.name === name)?.status;
  }

  async join(ip: string): Promise<void> {
    await run('serf', ['join', `-rpc-addr=${this.#rpc}`, ip]);
  }

  async leave(): Promise<void> {
    await run('serf', ['leave', `-rpc-addr=${this.#rpc}`]);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = new Promise((resolve) => {
      this.#child.once('exit', resolve);
    });
    this.#child.kill('SIGKILL');
    await exited;
  }
}
