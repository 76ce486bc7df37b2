/**
 * `overlayd run` in a host of the test bed, and the client verbs that talk to it.
 *
 * Uses only the command line and JSON that users have: whatever the tests see, a script can see.
 */
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { OverlaydError } from '../errors.ts';
import { Background, run } from './process.ts';
import type { Finished } from './process.ts';
import type { FdbEntry, Peer, Status } from '../status.ts';
import type { Host } from './hosts.ts';

export interface DaemonOptions {
  /** Hosts to join; default: the first host of the test bed, unless this is it. */
  readonly join?: readonly Host[];
  /** Further arguments of `overlayd run`. */
  readonly args?: readonly string[];
  /** Underlay address family; default ipv4. */
  readonly underlay?: 'ipv4' | 'ipv6';
  /** Words before the node command, such as setpriv to take a capability away. */
  readonly wrapper?: readonly string[];
}

const MAIN = fileURLToPath(new URL('../main.js', import.meta.url));

export class Daemon {
  readonly host: Host;
  readonly socket: string;
  readonly process: Background;

  constructor(host: Host, options: DaemonOptions, logFile: string) {
    this.host = host;
    this.socket = join(host.scratch, 'overlayd.sock');
    this.process = new Background(host.inside(daemonCommand(host, this.socket, options)), logFile);
    host.testbed.record.addProcess(this.process.pid);
  }

  /** Runs a client verb against this daemon. */
  client(...args: string[]): Promise<Finished> {
    return run(this.host.inside([process.execPath, MAIN, ...args, '--socket', this.socket]), 60_000);
  }

  /** A client verb that must succeed, with `-o json`, parsed. */
  async json<T>(...args: string[]): Promise<T> {
    const done = await this.client(...args, '-o', 'json');
    if (done.status !== 0 && done.stdout.trim() === '') throw this.#failure(done);
    return JSON.parse(done.stdout) as T;
  }

  status(): Promise<Status> {
    return this.json<Status>('status');
  }

  peers(): Promise<Peer[]> {
    return this.json<Peer[]>('peers');
  }

  fdb(): Promise<FdbEntry[]> {
    return this.json<FdbEntry[]>('fdb');
  }

  /** Blocks in `overlayd wait` until the condition holds; fails at once when the daemon ends. */
  async waitFor(condition: string, timeoutSeconds = 30): Promise<void> {
    const ended = this.process.exited.then(() => {
      const message = `${this.host.name}: overlayd ended: ${tail(this.log())}`;
      throw new OverlaydError('OVL_DEMO_DAEMON_ENDED', message);
    });
    const waiting = this.client('wait', '--for', condition, '--timeout', `${timeoutSeconds}s`);
    const done = await Promise.race([waiting, ended]);
    if (done.status !== 0) throw this.#failure(done);
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.process.stop(signal);
  }

  log(): string {
    return this.process.log();
  }

  #failure(done: Finished): OverlaydError {
    const verb = done.argv.slice(done.argv.indexOf(MAIN) + 1, -2).join(' ');
    const message = `${this.host.name}: overlayd ${verb}: exit ${done.status}: ${done.stderr.trim()}`;
    return new OverlaydError('OVL_DEMO_CLIENT_FAILED', `${message}\nits log ends with:\n${tail(this.log())}`);
  }
}

/** The argv of a daemon in `host`. */
function daemonCommand(host: Host, socket: string, options: DaemonOptions): string[] {
  const address = (other: Host): string => (options.underlay === 'ipv6' ? other.ipv6 : other.ipv4);
  const first = host.testbed.hosts[0];
  const seeds = options.join ?? (first === undefined || first === host ? [] : [first]);
  return [
    ...(options.wrapper ?? []),
    process.execPath,
    MAIN,
    'run',
    '--node-name',
    host.name,
    '--advertise-addr',
    address(host),
    '--socket',
    socket,
    '--state-dir',
    join(host.scratch, 'state'),
    '--metrics-addr',
    '127.0.0.1:9472',
    ...seeds.flatMap((seed) => ['--join', address(seed)]),
    ...(options.args ?? []),
  ];
}

function tail(text: string): string {
  return text.trim().split('\n').slice(-15).join('\n');
}
