/**
 * `overlayd run` in a host of the test bed, and what it says of itself.
 *
 * Asks through the admin API, as the client verbs do: whatever is seen here, a user or a script can see. Polling goes
 * through it in this process, since starting a verb costs half a second of CPU.
 */
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { ApiClient } from '../api/client.ts';
import { OverlaydError } from '../errors.ts';
import { Background, run, until } from './process.ts';
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
  /** Where the metrics are is said elsewhere, not by a flag. */
  readonly metrics?: 'of the file';
  /** Words before the node command, such as setpriv to take a capability away. */
  readonly wrapper?: readonly string[];
}

/** Generous: on a busy machine a dozen daemons may start at once. */
const READY_MS = 90_000;

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
    return this.#ask((api) => api.status());
  }

  peers(): Promise<Peer[]> {
    return this.#ask((api) => api.peers());
  }

  fdb(): Promise<FdbEntry[]> {
    return this.#ask((api) => api.fdb());
  }

  /** Waits until the daemon is ready and sees at least `peers` other hosts alive; fails at once when it ends. */
  async ready(peers = 0): Promise<void> {
    await until(`${this.host.name} is ready and sees ${peers} others`, READY_MS, async () => {
      if (!this.process.running) {
        const message = `${this.host.name}: overlayd ended: ${tail(this.log())}`;
        throw new OverlaydError('OVL_DEMO_DAEMON_ENDED', message);
      }
      const status = await this.status().catch(() => undefined);
      return status !== undefined && status.ready && status.peers.alive >= peers;
    });
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.process.stop(signal);
  }

  log(): string {
    return this.process.log();
  }

  #ask<T>(question: (api: ApiClient) => Promise<T>): Promise<T> {
    return question(new ApiClient(this.socket));
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
    ...(options.metrics === undefined ? ['--metrics-addr', '127.0.0.1:9472'] : []),
    // Several daemons share this machine's files, and its Docker is none of theirs.
    '--docker-socket',
    'none',
    '--docker-plugin',
    'none',
    ...seeds.flatMap((seed) => ['--join', address(seed)]),
    ...(options.args ?? []),
  ];
}

function tail(text: string): string {
  return text.trim().split('\n').slice(-15).join('\n');
}
