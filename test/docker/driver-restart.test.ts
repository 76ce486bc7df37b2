/** Everything that may die does: dockerd by restart, with live-restore and by kill -9; overlayd under open connections. */
import type { Test } from 'tap';
import { PING_INTERVAL_S, Ping } from '../../agent/demo/ping.ts';
import { sleep, until } from '../../agent/demo/process.ts';
import { NumberStream } from '../netns/traffic.ts';
import { DriverHosts, dockerTest, failures } from './driver-hosts.ts';
import type { DockerContainer } from './engine.ts';

/** What a restart may take longer than until the daemon says it is ready. */
const GAP_MARGIN_S = 2;

async function link(container: DockerContainer): Promise<string> {
  const done = await container.exec(['ip', '-o', 'link', 'show', 'dev', 'eth0']);
  return done.stdout.replace(/<.*>.*state \w+/, '');
}

async function overlaydDies(
  t: Test,
  hosts: DriverHosts,
  from: DockerContainer,
  to: DockerContainer,
): Promise<void> {
  const stream = await NumberStream.open(from, to, to.ipv4);
  const ping = new Ping(from, to.ipv4);
  await until('pings flow', 10_000, () => ping.count().answered > 10);
  const before = await link(to);
  const killed = performance.now();
  await hosts.killDaemon(1);
  const atKill = stream.last();
  await sleep(500);
  t.ok(stream.last() <= atKill + 2, 'without its daemon the host is cut off');
  await hosts.restartDaemon(1);
  const restartS = (performance.now() - killed) / 1000;
  await stream.advance(50);
  t.equal(stream.problem(), undefined, 'the TCP connection carries on, in order');
  const { answered } = ping.count();
  await until('pings flow again', 10_000, () => ping.count().answered > answered + 10);
  const { longestGap, duplicates } = await ping.stop();
  const gapS = longestGap * PING_INTERVAL_S;
  t.ok(gapS < restartS + GAP_MARGIN_S, `silence ${gapS.toFixed(1)} s, restart ${restartS.toFixed(1)} s`);
  t.equal(duplicates, 0);
  t.equal(await link(to), before, 'the container has the interface it had');
  await stream.close();
}

async function liveRestore(
  t: Test,
  hosts: DriverHosts,
  from: DockerContainer,
  to: DockerContainer,
): Promise<void> {
  const stream = await NumberStream.open(from, to, to.ipv4, 7008);
  await to.engine.stopDockerd('SIGTERM');
  await stream.advance(20);
  // Both down, and overlayd back first: it must find the TAP without being told.
  await hosts.killDaemon(1);
  await hosts.restartDaemon(1);
  await stream.advance(20);
  await to.engine.startDockerd();
  await stream.advance(20);
  t.equal(stream.problem(), undefined, 'the connection never broke');
  const pid = await to.engine.docker('inspect', '-f', '{{.State.Pid}}', to.name);
  t.equal(pid, to.pid, 'the same process');
  await stream.close();
}

dockerTest(
  '5.3, T5: overlayd killed with -9 under an open connection; dockerd with live-restore',
  async (t) => {
    const hosts = await DriverHosts.start(t, { hosts: 2, dockerd: { liveRestore: true } });
    await hosts.createNetwork('blue', ['--subnet', '10.55.0.0/16']);
    const [one, two] = [await hosts.engine(0).run('one', 'blue'), await hosts.engine(1).run('two', 'blue')];
    await overlaydDies(t, hosts, one, two);
    await liveRestore(t, hosts, one, two);
    t.strictSame(await failures([one, two]), []);
    await hosts.engine(1).docker('rm', '-f', 'two');
    t.strictSame(await hosts.leftovers(1), []);
  },
);

dockerTest('5.3: dockerd restarted and killed, restart policies', async (t) => {
  const hosts = await DriverHosts.start(t, { hosts: 2 });
  await hosts.createNetwork('blue', ['--subnet', '10.55.0.0/16']);
  const one = await hosts.engine(0).run('one', 'blue');
  const engine = hosts.engine(1);
  const quick = ['--stop-signal', 'KILL'];
  await engine.run('always', 'blue', { args: ['--restart=always', ...quick] });
  await engine.run('never', 'blue', { args: quick });
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    await engine.stopDockerd(signal);
    await engine.startDockerd();
    await until(`${signal}: it runs again`, 15_000, async () => {
      return (await engine.docker('ps', '--format', '{{.Names}}')).split('\n').includes('always');
    });
    const again = await engine.container('always', 'blue');
    t.strictSame(await failures([one, again]), [], `${signal}: reached again`);
    t.equal(hosts.records(1).filter(({ kind }) => kind === 'endpoint').length, 1, `${signal}: one endpoint`);
    const addresses = hosts.records(1).filter(({ use }) => use === 'endpoint');
    t.equal(addresses.length, 1, `${signal}: one address`);
    const macs = (await hosts.daemon(1).fdb()).filter(({ network, local }) => network === 'blue' && local);
    t.equal(macs.length, 1, `${signal}: one MAC`);
  }
  await engine.docker('rm', '-f', 'always', 'never');
  t.strictSame(await hosts.leftovers(1), []);
});
