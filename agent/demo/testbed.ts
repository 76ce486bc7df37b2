/**
 * A small data centre on one machine: hosts as network namespaces, joined by veth pairs to a bridge in a namespace of
 * its own.
 *
 *     host h1 [eth0 10.77.0.1]──veth──┐
 *     host h2 [eth0 10.77.0.2]──veth──┤ br0 (namespace "ul")
 *     host h3 [eth0 10.77.0.3]──veth──┘
 *
 * Nothing is ever made in the machine's own namespace, neither interface nor address, so any number of test beds stand
 * side by side. Everything goes when the process ends, also by Ctrl-C; after kill -9, when the next test bed is made.
 */
import { existsSync, mkdirSync, mkdtempSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OverlaydError } from '../errors.ts';
import { Host } from './hosts.ts';
import { ip, ipBatch, run, runNow } from './process.ts';
import type { Finished } from './process.ts';
import { RunRecord, sweepLeftovers } from './run-record.ts';

export interface TestbedOptions {
  /** MTU of the underlay, bytes; default 1500. */
  readonly mtu?: number;
}

/** First bytes of the underlay addresses; host number N gets .N and ::N. */
const UNDERLAY_IPV4 = '10.77.0.';
const UNDERLAY_IPV6 = 'fd77::';
const HOSTS_MAX = 200;

export class Testbed {
  readonly id: string;
  readonly mtu: number;
  /** Folder for sockets, state and logs of everything in this test bed. */
  readonly scratch: string;
  readonly record: RunRecord;
  readonly hosts: Host[] = [];
  readonly #underlay: string;
  readonly #onExit = (): void => this.close();
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.close();
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  #closed = false;
  #numbers = 0;

  constructor(options: TestbedOptions = {}) {
    const problem = testbedProblem();
    if (problem !== undefined) throw new OverlaydError('OVL_DEMO_IMPOSSIBLE', problem.message, problem);
    sweepLeftovers();
    this.mtu = options.mtu ?? 1500;
    this.scratch = mkdtempSync(join(realpathSync(tmpdir()), 'ovd-'));
    this.id = this.scratch.slice(-6);
    this.record = new RunRecord(this.id, this.scratch);
    this.#underlay = this.namespaceName('ul');
    process.once('exit', this.#onExit);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, this.#onSignal);
    this.record.addNamespaces([this.#underlay]);
    ip('netns', 'add', this.#underlay);
    // Snooping would need a querier to let multicast through; a forward delay would hold new ports back for seconds.
    ipBatch(
      [
        ['link', 'set', 'lo', 'up'],
        [
          'link',
          'add',
          'br0',
          'mtu',
          `${this.mtu}`,
          'type',
          'bridge',
          'forward_delay',
          '0',
          'mcast_snooping',
          '0',
        ],
        ['link', 'set', 'br0', 'up'],
      ],
      this.#underlay,
    );
  }

  namespaceName(suffix: string): string {
    return `ovd-${this.id}-${suffix}`;
  }

  /** Makes a host with an underlay address, and nothing running in it. */
  addHost(): Host {
    const number = ++this.#numbers;
    if (number > HOSTS_MAX) {
      throw new OverlaydError('OVL_DEMO_IMPOSSIBLE', `a test bed holds at most ${HOSTS_MAX} hosts`);
    }
    const name = `h${number}`;
    const namespace = this.namespaceName(name);
    this.record.addNamespaces([namespace]);
    const mtu = ['mtu', `${this.mtu}`];
    const port = `p${number}`;
    ipBatch([
      ['netns', 'add', namespace],
      [
        'link',
        'add',
        'eth0',
        ...mtu,
        'netns',
        namespace,
        'type',
        'veth',
        'peer',
        port,
        'netns',
        this.#underlay,
        ...mtu,
      ],
    ]);
    ipBatch([['link', 'set', port, 'master', 'br0', 'up']], this.#underlay);
    const ipv4 = `${UNDERLAY_IPV4}${number}`;
    const ipv6 = `${UNDERLAY_IPV6}${number.toString(16)}`;
    ipBatch(
      [
        ['link', 'set', 'lo', 'up'],
        ['link', 'set', 'eth0', 'up'],
        ['addr', 'add', `${ipv4}/24`, 'dev', 'eth0'],
        ['addr', 'add', `${ipv6}/64`, 'dev', 'eth0', 'nodad'],
        // A default route: the daemon's default advertise address is the source address of it.
        ['route', 'add', 'default', 'via', `${UNDERLAY_IPV4}254`],
      ],
      namespace,
    );
    const scratch = join(this.scratch, name);
    mkdirSync(scratch);
    const host = new Host({ testbed: this, name, namespace, number, ipv4, ipv6, scratch });
    this.hosts.push(host);
    return host;
  }

  /** Pulls or puts back the cable of a host. */
  setCable(host: Host, state: 'up' | 'down'): void {
    this.ip('link', 'set', `p${host.number}`, state);
  }

  /** Runs a command where the bridge is: there every underlay frame can be seen. */
  exec(argv: readonly string[], timeoutMs?: number): Promise<Finished> {
    return run(this.inside(argv), timeoutMs);
  }

  /** `ip` where the bridge is; host N is plugged in at pN. */
  ip(...args: string[]): string {
    return ip('-n', this.#underlay, ...args);
  }

  inside(argv: readonly string[]): string[] {
    return ['nsenter', `--net=/run/netns/${this.#underlay}`, '--', ...argv];
  }

  /** Ends and removes everything. Blocking, so that it also works in an exit handler; safe to call twice. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    process.removeListener('exit', this.#onExit);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.removeListener(signal, this.#onSignal);
    this.record.clear();
  }
}

/** Why no test bed can be made on this machine, and the cure; undefined when it can. */
export function testbedProblem(): { message: string; hint: string; exitCode?: number } | undefined {
  if (process.platform !== 'linux')
    return { message: 'network namespaces need Linux', hint: 'Run it on Linux.' };
  if (process.getuid?.() !== 0) {
    return {
      message: 'making network namespaces needs root',
      hint: 'Run it as root, for example with sudo.',
      exitCode: 4,
    };
  }
  for (const [command, ...args] of [
    ['ip', '-V'],
    ['nsenter', '-V'],
    ['setpriv', '--version'],
  ] as const) {
    try {
      runNow([command, ...args]);
    } catch {
      const owner = command === 'ip' ? 'iproute2' : 'util-linux';
      return { message: `the command ${command} is missing`, hint: `Install it: apt-get install ${owner}.` };
    }
  }
  if (!existsSync('/dev/net/tun')) {
    return { message: '/dev/net/tun is missing', hint: 'Load the tun module: modprobe tun.' };
  }
  return undefined;
}
