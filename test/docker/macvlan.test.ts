/**
 * Docker, real: three engines, a macvlan network on each host's TAP, made with the line that overlayd prints; the
 * containers reach each other on all hosts and on one, in bridge and in vepa mode, and outlive a killed overlayd.
 */
import type { Test } from 'tap';
import { PING_INTERVAL_S, Ping } from '../../agent/demo/ping.ts';
import { sleep, until } from '../../agent/demo/process.ts';
import type { Daemon } from '../../agent/demo/daemon.ts';
import type { Host } from '../../agent/demo/hosts.ts';
import { startCluster } from '../netns/cluster.ts';
import type { Cluster } from '../netns/cluster.ts';
import { NumberStream } from '../netns/traffic.ts';
import { dockerTest, failures } from './driver-hosts.ts';
import type { DockerContainer } from './engine.ts';
import { Engine } from './engine.ts';

const NETWORK = 'overlay';
/** Docker gives out addresses per host: every host needs its own range of the subnet, and all the same gateway. */
const networkOf = (host: Host): string =>
  `name=${NETWORK},vni=4096,subnet=10.42.0.0/16,gateway=10.42.255.254,ip-range=10.42.${host.number}.0/24`;
/** What a restart may take longer than until the daemon says it is ready: a ping's retry, a busy machine. */
const GAP_MARGIN_S = 5;

async function startEngines(t: Test): Promise<{ cluster: Cluster; engines: Engine[] }> {
  const cluster = await startCluster(t, { hosts: 3, argsOf: (host) => ['--network', networkOf(host)] });
  const engines = await Promise.all(cluster.testbed.hosts.map((host) => Engine.start(host)));
  return { cluster, engines };
}

/** Creates the network with the words of `overlayd docker-command`, and `more` options before its name. */
async function createNetwork(daemon: Daemon, engine: Engine, more: readonly string[]): Promise<void> {
  const printed = (await daemon.client('docker-command', NETWORK)).stdout.trim();
  const [docker, ...words] = printed.split(/\s+/);
  if (docker !== 'docker' || words.at(-1) === undefined)
    throw new Error(`unexpected docker-command: ${printed}`);
  await engine.docker(...words.slice(0, -1), ...more, ...words.slice(-1));
}

/** Two containers on the first host, one on each other. */
async function runContainers(engines: readonly Engine[]): Promise<DockerContainer[]> {
  const perHost = await Promise.all(
    engines.map(async (engine, index) => {
      const names = index === 0 ? ['web1a', 'web1b'] : [`web${index + 1}`];
      const made: DockerContainer[] = [];
      for (const name of names) made.push(await engine.run(name, NETWORK));
      return made;
    }),
  );
  return perHost.flat();
}

async function link(container: DockerContainer): Promise<string> {
  const done = await container.exec(['ip', '-o', 'link', 'show', 'dev', 'eth0']);
  return done.stdout.replace(/<.*>.*state \w+/, '');
}

/** For the reader: 44 where overlayd came in time to limit the child, 65535 where Docker had moved it already. */
async function gsoLimit(container: DockerContainer): Promise<string> {
  const done = await container.exec(['ip', '-d', 'link', 'show', 'dev', 'eth0']);
  return /gso_max_segs \d+/.exec(done.stdout)?.[0] ?? 'gso_max_segs unknown';
}

async function containersOutliveRestart(
  t: Test,
  cluster: Cluster,
  containers: DockerContainer[],
): Promise<void> {
  const [from, , , to] = containers;
  if (from === undefined || to === undefined) throw new Error('four containers');
  const stream = await NumberStream.open(from, to, to.ipv4);
  const ping = new Ping(from, to.ipv4);
  await until('pings flow', 10_000, () => ping.count().answered > 10);
  const links = await Promise.all(containers.map(link));

  const killed = performance.now();
  const host = to.engine.host;
  await cluster.daemons[2]?.stop('SIGKILL');
  await sleep(500); // what was echoed before may be printed late
  const cutOff = stream.last();
  await sleep(500);
  t.equal(stream.last(), cutOff, 'without its daemon the host is cut off');
  const daemon = host.startDaemon({ args: ['--network', networkOf(host)] });
  cluster.daemons[2] = daemon;
  await daemon.ready(2);
  const restartSeconds = (performance.now() - killed) / 1000;

  await stream.advance(50);
  t.equal(stream.problem(), undefined, 'the TCP connection carries on, in order');
  const answered = ping.count().answered;
  await until('pings flow again', 10_000, () => ping.count().answered > answered + 10);
  const { longestGap, duplicates } = await ping.stop();
  const gap = longestGap * PING_INTERVAL_S;
  t.ok(
    gap < restartSeconds + GAP_MARGIN_S,
    `silence ${gap.toFixed(1)} s, restart ${restartSeconds.toFixed(1)} s`,
  );
  t.equal(duplicates, 0);
  t.strictSame(await Promise.all(containers.map(link)), links, 'every container has the interface it had');
  for (const container of containers) {
    const pid = await container.engine.docker('inspect', '-f', '{{.State.Pid}}', container.name);
    t.equal(pid, container.pid, `${container.name} was not restarted`);
  }
  t.strictSame(await failures(containers), [], 'ping and HTTP between all of them again');
}

dockerTest('1.1, T1, T4, T5: macvlan containers of three Docker engines on one network', async (t) => {
  const { cluster, engines } = await startEngines(t);
  for (const mode of ['bridge', 'vepa']) {
    for (const [index, engine] of engines.entries()) {
      const daemon = cluster.daemons[index];
      if (daemon !== undefined)
        await createNetwork(daemon, engine, mode === 'bridge' ? [] : ['-o', `macvlan_mode=${mode}`]);
    }
    const containers = await runContainers(engines);
    for (const container of containers) t.comment(`${container.name}: ${await gsoLimit(container)}`);
    const addresses = new Set(containers.map((container) => container.ipv4));
    t.equal(addresses.size, containers.length, `${mode}: no two containers have the same address`);
    t.strictSame(
      await failures(containers),
      [],
      `${mode}: ping and HTTP between all, on other hosts and on one`,
    );
    if (mode === 'vepa') await containersOutliveRestart(t, cluster, containers);
    for (const { engine, name } of containers) await engine.docker('rm', '-f', name);
    for (const engine of engines) await engine.docker('network', 'rm', NETWORK);
  }
});
