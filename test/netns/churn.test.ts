/**
 * Hosts that come late, leave, are killed and come back, and a container that moves: everybody sees it, and traffic
 * between the others never stops. Continuity is judged by sequence numbers, not by the clock.
 */
import type { Test } from 'tap';
import type { Daemon } from '../../agent/demo/daemon.ts';
import type { Container, Host } from '../../agent/demo/hosts.ts';
import { PING_INTERVAL_S, Ping } from '../../agent/demo/ping.ts';
import { sleep, until } from '../../agent/demo/process.ts';
import type { Cluster } from './cluster.ts';
import { allKnown, allLearnt, startCluster, unreachable } from './cluster.ts';
import { netnsTest } from './guard.ts';
import { NumberStream } from './traffic.ts';

/** gossip.md: probe interval 1 s, suspicion of 4 × log10(N) probe intervals and more; generous for a busy machine. */
const DEATH_SEEN_MS = 40_000;
/** Numbers that must still come back over a connection after an event: half a second's worth. */
const NUMBERS_AFTER = 25;

async function stateOf(daemon: Daemon, host: Host): Promise<string | undefined> {
  return (await daemon.peers()).find((peer) => peer.name === host.name)?.state;
}

async function seenAs(observers: readonly Daemon[], host: Host, states: readonly string[]): Promise<void> {
  for (const observer of observers) {
    await until(
      `${observer.host.name} sees ${host.name} as ${states.join(' or ')}`,
      DEATH_SEEN_MS,
      async () => states.includes((await stateOf(observer, host)) ?? 'unknown'),
    );
  }
}

/** Traffic between two containers that an event elsewhere must not touch. */
class Bystanders {
  readonly #ping: Ping;
  readonly #stream: NumberStream;

  private constructor(ping: Ping, stream: NumberStream) {
    this.#ping = ping;
    this.#stream = stream;
  }

  static async watch(from: Container, to: Container): Promise<Bystanders> {
    const stream = await NumberStream.open(from, to, to.ipv4);
    const bystanders = new Bystanders(new Ping(from, to.ipv6), stream);
    await bystanders.flow();
    return bystanders;
  }

  /** Waits until both have carried on for a while. */
  async flow(): Promise<void> {
    const before = this.#ping.count().answered;
    await this.#stream.advance(NUMBERS_AFTER);
    await until('pings go on', 10_000, () => this.#ping.count().answered > before + 10);
  }

  async check(t: Test, event: string): Promise<void> {
    await this.flow();
    const count = this.#ping.count();
    t.equal(count.lost, 0, `${event}: no ping between the others is lost (${count.answered} answered)`);
    t.equal(count.duplicates, 0, `${event}: none is answered twice`);
    t.equal(this.#stream.problem(), undefined, `${event}: their TCP connection carries on`);
  }

  async close(): Promise<void> {
    await Promise.all([this.#ping.stop(), this.#stream.close()]);
  }
}

async function lateJoiner(t: Test, cluster: Cluster, containers: Container[]): Promise<void> {
  const host = cluster.testbed.addHost();
  const daemon = host.startDaemon();
  cluster.daemons.push(daemon);
  await allKnown(daemon, cluster.daemons.length);
  await allLearnt([daemon], containers);
  t.pass('a late joiner learns who owns which MAC without hearing a frame of theirs');
  containers.push(host.addContainer());
  t.strictSame(await unreachable(containers), [], 'its container answers everybody');
  await seenAs(cluster.daemons.slice(0, -1), host, ['alive']);
}

async function leaveAndReturn(t: Test, cluster: Cluster, host: Host): Promise<void> {
  const others = cluster.daemons.filter((daemon) => daemon.host !== host);
  const daemon = cluster.daemons.find((candidate) => candidate.host === host);
  await daemon?.stop('SIGTERM');
  t.strictSame(
    await daemon?.process.exited,
    { status: 0, signal: undefined },
    'SIGTERM: it ends with exit code 0',
  );
  await seenAs(others, host, ['left']);
  t.pass('everybody sees that it left, not that it died');
  await restart(cluster, host);
}

/** It stays up, and says so until somebody joins. */
async function leaveByHand(t: Test, cluster: Cluster, host: Host): Promise<void> {
  const daemon = cluster.daemons.find((candidate) => candidate.host === host)!;
  t.match(await daemon.client('leave'), { status: 0 });
  t.match(await daemon.client('status'), { status: 1, stdout: /not ready  it has left the cluster/ });
  t.match(await daemon.status(), { ready: false, notReady: 'left' });
  await seenAs(
    cluster.daemons.filter((other) => other !== daemon),
    host,
    ['left'],
  );
  t.match(await daemon.client('join', cluster.testbed.hosts[0]!.ipv4), { status: 0 });
  await allKnown(daemon, cluster.daemons.length);
  t.match(await daemon.client('status'), { status: 0, stdout: /, ready\n/ });
}

async function killAndReturn(t: Test, cluster: Cluster, host: Host, container: Container): Promise<void> {
  const others = cluster.daemons.filter((daemon) => daemon.host !== host);
  const before = container.ip('-o', 'link', 'show', 'dev', 'eth0').split(':')[0];
  await cluster.daemons.find((candidate) => candidate.host === host)?.stop('SIGKILL');
  await seenAs(others, host, ['dead']);
  t.pass('kill -9: everybody sees that it died');
  t.match(
    container.ip('link', 'show', 'dev', 'eth0'),
    'NO-CARRIER',
    'the container keeps its interface, without carrier',
  );
  await restart(cluster, host);
  t.equal(
    container.ip('-o', 'link', 'show', 'dev', 'eth0').split(':')[0],
    before,
    'and it is still the same one',
  );
}

/** Starts a daemon again on `host` and waits until it and all others see each other. */
async function restart(cluster: Cluster, host: Host): Promise<void> {
  const at = cluster.daemons.findIndex((daemon) => daemon.host === host);
  const daemon = host.startDaemon();
  cluster.daemons[at] = daemon;
  await allKnown(daemon, cluster.daemons.length);
  await seenAs(
    cluster.daemons.filter((other) => other !== daemon),
    host,
    ['alive'],
  );
}

netnsTest('1.2, 1.10: hosts come, leave, die and come back', ['ping'], async (t) => {
  const cluster = await startCluster(t, { hosts: 3 });
  const containers = cluster.testbed.hosts.map((host) => host.addContainer());
  await allLearnt(cluster.daemons, containers);
  const [first, second, third] = containers;
  if (first === undefined || second === undefined || third === undefined) throw new Error('three containers');
  const bystanders = await Bystanders.watch(first, second);

  await lateJoiner(t, cluster, containers);
  await bystanders.check(t, 'a host joins');
  const late = cluster.testbed.hosts[3];
  if (late === undefined) throw new Error('four hosts');

  await leaveByHand(t, cluster, late);
  await bystanders.check(t, 'a host leaves by hand and joins');

  await leaveAndReturn(t, cluster, late);
  await bystanders.check(t, 'a host leaves and returns');
  t.strictSame(await unreachable(containers), [], 'all containers answer each other again');

  await killAndReturn(t, cluster, third.host, third);
  await bystanders.check(t, 'a host is killed and returns');
  t.strictSame(await unreachable(containers), [], 'all containers answer each other again');
  await bystanders.close();
});

netnsTest('a container that moves to another host is followed', ['ping'], async (t) => {
  const cluster = await startCluster(t, { hosts: 3 });
  const [home, target, observer] = cluster.testbed.hosts;
  if (home === undefined || target === undefined || observer === undefined) throw new Error('three hosts');
  const watcher = observer.addContainer();
  let mover = home.addContainer();
  const identity = { ipv4: mover.ipv4, mac: mover.mac };
  await allLearnt(cluster.daemons, [watcher, mover]);
  const ping = new Ping(watcher, mover.ipv4);
  await until('pings flow', 10_000, () => ping.count().answered > 10);

  // There and back: a claim on the first host must not outlive a newer one, in either direction.
  for (const next of [target, home, target]) {
    mover.remove();
    mover = next.addContainer(identity);
    const moved = ping.count().answered;
    await until(
      `${watcher.name} is answered from ${next.name}`,
      20_000,
      () => ping.count().answered > moved + 10,
    );
    await allLearnt(cluster.daemons, [mover]);
  }
  const count = await ping.stop();
  const gapSeconds = count.longestGap * PING_INTERVAL_S;
  t.comment(`the longest silence in three moves is ${gapSeconds.toFixed(2)} s`);
  t.ok(gapSeconds < 10, 'of which the moves themselves are most');
  t.equal(count.duplicates, 0, 'no answer comes twice');
});

netnsTest('the first host, which all joined, can come back like any other', ['ping'], async (t) => {
  const cluster = await startCluster(t, { hosts: 3 });
  const containers = cluster.testbed.hosts.map((host) => host.addContainer());
  await allLearnt(cluster.daemons, containers);
  await cluster.daemons[0]?.stop('SIGKILL');
  await sleep(1000);
  const [first, second] = cluster.testbed.hosts;
  if (first === undefined || second === undefined) throw new Error('two hosts');
  const daemon = first.startDaemon({ join: [second] });
  cluster.daemons[0] = daemon;
  await allKnown(daemon, 3);
  await allLearnt(cluster.daemons, containers);
  t.strictSame(await unreachable(containers), [], 'all containers answer each other again');
});
