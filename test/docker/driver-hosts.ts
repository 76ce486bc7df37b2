/** Hosts with a Docker engine each, and overlayd as its network driver in the same namespaces. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Daemon } from '../../agent/demo/daemon.ts';
import type { Host } from '../../agent/demo/hosts.ts';
import { until } from '../../agent/demo/process.ts';
import type { Testbed } from '../../agent/demo/testbed.ts';
import { testbedProblem } from '../../agent/demo/testbed.ts';
import { allKnown, testbedFor } from '../netns/cluster.ts';
import { rootTest } from '../netns/guard.ts';
import type { DockerContainer, DockerdOptions } from './engine.ts';
import { Engine, engineProblem } from './engine.ts';

const HTTP_SECONDS = '5';
const HTTP_READY_MS = 10_000;

export interface DriverOptions {
  readonly hosts: number;
  /** Further arguments of `overlayd run`. */
  readonly args?: readonly string[];
  readonly dockerd?: DockerdOptions;
  /** Where the driver of a host listens; default: where Docker looks. */
  readonly pluginOf?: (index: number) => string;
}

/** Runs `body`, or skips (or fails) it where no engine can run. */
export function dockerTest(name: string, body: (t: Test) => Promise<void>): void {
  rootTest(name, testbedProblem()?.message ?? engineProblem(), body);
}

export class DriverHosts {
  readonly testbed: Testbed;
  readonly engines: readonly Engine[];
  readonly daemons: Daemon[];
  readonly #options: DriverOptions;

  private constructor(
    testbed: Testbed,
    engines: readonly Engine[],
    daemons: Daemon[],
    options: DriverOptions,
  ) {
    this.testbed = testbed;
    this.engines = engines;
    this.daemons = daemons;
    this.#options = options;
  }

  /** overlayd stands before dockerd, as its unit says. */
  static async start(t: Test, options: DriverOptions): Promise<DriverHosts> {
    const { testbed, daemons } = testbedFor(t);
    for (let made = 0; made < options.hosts; made++) testbed.addHost();
    const engines = await Promise.all(testbed.hosts.map((host) => Engine.hold(host)));
    const hosts = new DriverHosts(testbed, engines, daemons, options);
    for (const index of engines.keys()) hosts.startDaemon(index);
    await Promise.all(daemons.map((daemon) => allKnown(daemon, options.hosts)));
    await Promise.all(engines.map((engine) => engine.startDockerd(options.dockerd)));
    return hosts;
  }

  engine(index: number): Engine {
    const engine = this.engines[index];
    if (engine === undefined) throw new Error(`no engine ${index}`);
    return engine;
  }

  daemon(index: number): Daemon {
    const daemon = this.daemons[index];
    if (daemon === undefined) throw new Error(`no daemon ${index}`);
    return daemon;
  }

  host(index: number): Host {
    return this.engine(index).host;
  }

  /** On first or again; a second one finds the state of the first. */
  startDaemon(index: number): Daemon {
    const engine = this.engine(index);
    const { pluginOf = () => '/run/docker/plugins/overlayd.sock', args: more = [] } = this.#options;
    const args = ['--docker-socket', engine.socket, '--docker-plugin', pluginOf(index), ...more];
    const daemon = engine.host.startDaemon({ wrapper: engine.wrapper, args });
    this.daemons[index] = daemon;
    return daemon;
  }

  /** kill -9 of overlayd itself, not only of the nsenter that started it. */
  async killDaemon(index: number): Promise<void> {
    const daemon = this.daemon(index);
    await daemon.stop('SIGKILL');
    const isGone = (): Promise<boolean> =>
      daemon.status().then(
        () => false,
        () => true,
      );
    await until(`${daemon.host.name}: overlayd is gone`, 10_000, isGone);
  }

  async restartDaemon(index: number): Promise<void> {
    await this.startDaemon(index).ready(this.engines.length - 1);
  }

  /** `docker network create` on every host, with `first` further words on the first one only. */
  async createNetwork(
    name: string,
    first: readonly string[] = [],
    all: readonly string[] = [],
  ): Promise<void> {
    for (const [index, engine] of this.engines.entries()) {
      const more = index === 0 ? [...first, ...all] : all;
      await engine.docker('network', 'create', '-d', 'overlayd', '--ipam-driver', 'overlayd', ...more, name);
      if (index === 0) await this.networkKnown(name);
    }
  }

  /** Waits until every host knows the network. */
  async networkKnown(name: string): Promise<void> {
    for (const daemon of this.daemons) {
      await until(`${daemon.host.name} knows the network ${name}`, 10_000, async () => {
        return (await daemon.status()).networks.some((network) => network.name === name);
      });
    }
  }

  /** What is left on a host though no container is: interfaces, endpoints, records. */
  async leftovers(index: number): Promise<string[]> {
    const links = this.host(index).ip('-o', 'link');
    const taps = [...links.matchAll(/ (ovl[0-9a-f]+)[:@]/g)].map((match) => `interface ${match[1]}`);
    const records = this.records(index).filter(({ kind }) => kind !== 'network' && kind !== 'pool');
    // On the network of the configuration the host itself may speak.
    const fdb = (await this.daemon(index).fdb()).filter(({ network }) => network !== 'overlay');
    return [
      ...taps,
      ...records.filter(({ use }) => use !== 'gateway').map(({ kind, key }) => `record ${kind} ${key}`),
      ...fdb.filter(({ local }) => local).map(({ mac }) => `forwarding entry ${mac}`),
    ];
  }

  /** What stands in the driver's file. */
  records(
    index: number,
  ): { kind: string; key: string; use: string | undefined; value: Record<string, unknown> }[] {
    const live = new Map<string, [string, string, Record<string, unknown>]>();
    for (const line of readLines(this.#stateFile(index))) {
      const id = `${line[0]} ${line[1]}`;
      if (line[2] === null) live.delete(id);
      else live.set(id, [line[0], line[1], line[2]]);
    }
    return [...live.values()].map(([kind, key, value]) => ({
      kind,
      key,
      value,
      use: value['use'] as string | undefined,
    }));
  }

  /** While overlayd is down: makes all that it wrote down old enough to be judged. */
  age(index: number, seconds: number): void {
    const file = this.#stateFile(index);
    const lines = readLines(file).map(([kind, key, value]) => {
      const sinceMs = Number(value?.['sinceMs'] ?? 0) - seconds * 1000;
      return JSON.stringify([kind, key, value === null ? null : { ...value, sinceMs }]);
    });
    writeFileSync(file, lines.map((line) => `${line}\n`).join(''));
  }

  #stateFile(index: number): string {
    return join(this.host(index).scratch, 'state', 'docker.jsonl');
  }
}

function readLines(file: string): [string, string, Record<string, unknown> | null][] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as [string, string, Record<string, unknown> | null]);
}

/** Pairs of containers between which ping or HTTP fails for longer than servers take to start, as text. */
export async function failures(containers: readonly DockerContainer[]): Promise<string[]> {
  const failed: string[] = [];
  for (const from of containers) {
    for (const to of containers.filter((other) => other !== from)) {
      const pair = `${from.name} -> ${to.name} (${to.ipv4})`;
      const ping = await from.exec(['ping', '-n', '-c1', '-W3', to.ipv4]);
      if (ping.status !== 0) failed.push(`ping ${pair}`);
      const wget = ['timeout', HTTP_SECONDS, 'wget', '-qO-', `http://${to.ipv4}/`];
      let page = '';
      await until(pair, HTTP_READY_MS, async () => {
        page = await from.docker(...wget).catch((error: Error) => error.message);
        return page === to.name;
      }).catch(() => failed.push(`http ${pair}: ${page}`));
    }
  }
  return failed;
}
