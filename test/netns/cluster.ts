/** A cluster of real daemons in a test bed, with what the tests wait for. */
import type { Test } from 'tap';
import type { Daemon, DaemonOptions } from '../../agent/demo/daemon.ts';
import type { Container, Host } from '../../agent/demo/hosts.ts';
import { until } from '../../agent/demo/process.ts';
import { Testbed } from '../../agent/demo/testbed.ts';

export interface ClusterOptions extends DaemonOptions {
  readonly hosts: number;
  /** MTU of the underlay, bytes. */
  readonly mtu?: number;
  /** Further arguments of `overlayd run` that differ from host to host. */
  readonly argsOf?: (host: Host) => readonly string[];
}

export interface Cluster {
  readonly testbed: Testbed;
  /** One a host, in order; replace an entry after a restart. */
  readonly daemons: Daemon[];
}

const LOG_LINES = 25;

/** A test bed that goes with the test. When the test has failed, the logs of the daemons are shown. */
export function testbedFor(t: Test, options: { mtu?: number } = {}): { testbed: Testbed; daemons: Daemon[] } {
  const testbed = new Testbed(options);
  const daemons: Daemon[] = [];
  t.teardown(() => {
    if (!t.passing()) {
      for (const daemon of daemons) {
        const log = daemon.log().trim().split('\n').slice(-LOG_LINES).join('\n');
        process.stderr.write(`--- log of ${daemon.host.name}\n${log}\n`);
      }
    }
    testbed.close();
  });
  return { testbed, daemons };
}

/** Starts a daemon on each of `hosts` new hosts, all joining the first, and waits until all know each other. */
export async function startCluster(t: Test, options: ClusterOptions): Promise<Cluster> {
  const { testbed, daemons } = testbedFor(t, options.mtu === undefined ? {} : { mtu: options.mtu });
  for (let made = 0; made < options.hosts; made++) testbed.addHost();
  for (const host of testbed.hosts) {
    const args = [...(options.args ?? []), ...(options.argsOf?.(host) ?? [])];
    daemons.push(host.startDaemon({ ...options, args }));
  }
  await Promise.all(daemons.map((daemon) => allKnown(daemon, options.hosts)));
  return { testbed, daemons };
}

/** Waits until `daemon` is ready and sees `hosts` hosts alive, itself included. */
export async function allKnown(daemon: Daemon, hosts: number): Promise<void> {
  await daemon.ready(hosts - 1);
}

/** Waits until every daemon names the host of each container as the owner of its MAC. */
export async function allLearnt(daemons: readonly Daemon[], containers: readonly Container[]): Promise<void> {
  for (const daemon of daemons) {
    await until(`${daemon.host.name} knows who owns which MAC`, 10_000, async () => {
      const owners = new Map((await daemon.fdb()).map((row) => [row.mac, row.owner]));
      return containers.every((container) => owners.get(container.mac) === container.host.name);
    });
  }
}

/** What Prometheus would read. */
export async function metricsOf(daemon: Daemon): Promise<string> {
  const script = "fetch('http://127.0.0.1:9472/metrics').then((r) => r.text()).then(console.log)";
  return (await daemon.host.exec([process.execPath, '-e', script])).stdout;
}

/** Every ordered pair of containers on different hosts (or all pairs of different containers). */
export function pairs(containers: readonly Container[]): [Container, Container][] {
  return containers.flatMap((from) =>
    containers.filter((to) => to !== from).map((to): [Container, Container] => [from, to]),
  );
}

/** One ping each for all pairs, IPv4 and IPv6; returns the pairs that had no answer, as text. */
export async function unreachable(containers: readonly Container[]): Promise<string[]> {
  const silent: string[] = [];
  for (const [from, to] of pairs(containers)) {
    const targets = [to.ipv4, to.ipv6];
    const results = await Promise.all(
      targets.map((target) => from.exec(['ping', '-n', '-c1', '-W3', target])),
    );
    for (const [index, result] of results.entries()) {
      if (result.status !== 0) silent.push(`${from.name} -> ${targets[index]}`);
    }
  }
  return silent;
}
