/**
 * A host of the test bed (a network namespace with an underlay address) and the containers on it.
 *
 * A container here is what Docker's macvlan driver makes, without Docker: a namespace with a macvlan child of the
 * host's TAP in it, one IPv4 and one IPv6 address, and the MAC that Docker would give.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Background, ip, ipBatch, run } from './process.ts';
import type { Finished } from './process.ts';
import { Daemon } from './daemon.ts';
import type { DaemonOptions } from './daemon.ts';
import type { Testbed } from './testbed.ts';

interface HostParts {
  readonly testbed: Testbed;
  readonly name: string;
  readonly namespace: string;
  /** 1, 2, 3 …: the last part of its underlay addresses. */
  readonly number: number;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly scratch: string;
}

export interface ContainerOptions {
  /** Parent interface in the host; default tap0. */
  readonly parent?: string;
  readonly mode?: 'bridge' | 'vepa' | 'private';
  /** IPv4 address; the IPv6 address and the MAC follow from it. Default: 10.42.HOST.2, .3, … */
  readonly ipv4?: string;
  readonly mac?: string;
}

/** A place to run commands in. */
class Namespace {
  readonly name: string;
  readonly namespace: string;
  readonly scratch: string;
  #backgrounds = 0;

  constructor(name: string, namespace: string, scratch: string) {
    this.name = name;
    this.namespace = namespace;
    this.scratch = scratch;
  }

  /** The argv that runs `argv` in here. Not `ip netns exec`: that remounts /sys. */
  inside(argv: readonly string[]): string[] {
    return ['nsenter', `--net=/run/netns/${this.namespace}`, '--', ...argv];
  }

  exec(argv: readonly string[], timeoutMs?: number, input?: string): Promise<Finished> {
    return run(this.inside(argv), timeoutMs, input);
  }

  /** Starts a process that runs on; it ends with the test bed at the latest. */
  spawn(argv: readonly string[]): Background {
    const label = `${this.name}-${++this.#backgrounds}-${(argv[0] ?? '').split('/').at(-1)}`;
    return new Background(this.inside(argv), join(this.scratch, `${label}.log`));
  }

  ip(...args: string[]): string {
    return ip('-n', this.namespace, ...args);
  }
}

export class Host extends Namespace {
  readonly testbed: Testbed;
  readonly number: number;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly containers: Container[] = [];
  #daemons = 0;
  #containers = 0;

  constructor(parts: HostParts) {
    super(parts.name, parts.namespace, parts.scratch);
    this.testbed = parts.testbed;
    this.number = parts.number;
    this.ipv4 = parts.ipv4;
    this.ipv6 = parts.ipv6;
  }

  /** Starts `overlayd run`; a second start on the same host finds the state and the TAP of the first. */
  startDaemon(options: DaemonOptions = {}): Daemon {
    return new Daemon(this, options, join(this.scratch, `overlayd-${++this.#daemons}.log`));
  }

  addContainer(options: ContainerOptions = {}): Container {
    const serial = ++this.#containers;
    const name = `${this.name}c${serial}`;
    const namespace = this.testbed.namespaceName(name);
    this.testbed.record.addNamespaces([namespace]);
    const ipv4 = options.ipv4 ?? `10.42.${this.number}.${serial + 1}`;
    const ipv6 = ipv6For(ipv4);
    const mac = options.mac ?? macFor(ipv4);
    const { parent = 'tap0', mode = 'bridge' } = options;
    ip('netns', 'add', namespace);
    // Made on the host and then moved, as Docker does it: overlayd sees it before it goes.
    const child = `ov${this.number}c${serial}`;
    this.ip('link', 'add', 'link', parent, 'name', child, 'address', mac, 'type', 'macvlan', 'mode', mode);
    this.ip('link', 'set', child, 'netns', namespace, 'name', 'eth0');
    bringUp(namespace, ipv4, ipv6);
    const scratch = join(this.scratch, name);
    mkdirSync(scratch);
    const container = new Container(this, { name, namespace, scratch, ipv4, ipv6, mac });
    this.containers.push(container);
    return container;
  }
}

export class Container extends Namespace {
  readonly host: Host;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly mac: string;

  constructor(
    host: Host,
    parts: { name: string; namespace: string; scratch: string; ipv4: string; ipv6: string; mac: string },
  ) {
    super(parts.name, parts.namespace, parts.scratch);
    this.host = host;
    this.ipv4 = parts.ipv4;
    this.ipv6 = parts.ipv6;
    this.mac = parts.mac;
  }

  /** Ends what runs in it and removes it with its interface. */
  remove(): void {
    this.host.testbed.record.removeNamespace(this.namespace);
    this.host.containers.splice(this.host.containers.indexOf(this), 1);
  }
}

/** Gives eth0 of a container's namespace its addresses, and brings it up. */
export function bringUp(namespace: string, ipv4: string, ipv6: string): void {
  ipBatch(
    [
      ['link', 'set', 'lo', 'up'],
      ['addr', 'add', `${ipv4}/16`, 'dev', 'eth0'],
      ['addr', 'add', `${ipv6}/64`, 'dev', 'eth0', 'nodad'],
      ['link', 'set', 'eth0', 'up'],
    ],
    namespace,
  );
}

/** Docker's rule: 02:42 and the four bytes of the address. */
function macFor(ipv4: string): string {
  return ['02', '42', ...ipv4.split('.').map((byte) => Number(byte).toString(16).padStart(2, '0'))].join(':');
}

/** fd42:: with the IPv4 address in the last 32 bits. */
function ipv6For(ipv4: string): string {
  const [a = 0, b = 0, c = 0, d = 0] = ipv4.split('.').map(Number);
  return `fd42::${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}
