/**
 * Everything that may die does: dockerd by restart, with live-restore and by kill -9; overlayd under open connections. And
 * the underlay may narrow under containers that run.
 */
import type { Test } from 'tap';
import { PING_INTERVAL_S, Ping } from '../../agent/demo/ping.ts';
import { run, sleep, until } from '../../agent/demo/process.ts';
import { transfer } from '../../agent/demo/transfer.ts';
import { canBeNarrowed, narrow } from '../netns/narrow-underlay.ts';
import { NumberStream } from '../netns/traffic.ts';
import { DriverHosts, dockerTest, failures } from './driver-hosts.ts';
import type { DockerContainer } from './engine.ts';

/** What a restart may take longer than until the daemon says it is ready. */
const GAP_MARGIN_S = 5;
const MTU = 1450;
/** The reconciler lets alone what is younger than a minute. */
const OLD_S = 120;
/** What the underlay takes in the end, and VXLAN needs of that. */
const NARROW = 1400;
const OVERHEAD = 50;
/** Of the search for what a path takes. */
const STEP = 8;
const MEBIBYTE = 1 << 20;

async function link(container: DockerContainer): Promise<string> {
  const done = await container.exec(['ip', '-o', 'link', 'show', 'dev', 'eth0']);
  return done.stdout.replace(/<.*>.*state \w+/, '');
}

async function mtuOf(container: DockerContainer): Promise<number> {
  const { stdout } = await container.exec(['ip', '-o', 'link', 'show', 'dev', 'eth0']);
  return Number(/ mtu (\d+) /.exec(stdout)?.[1]);
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
  await sleep(500); // what was echoed before may be printed late
  const cutOff = stream.last();
  await sleep(500);
  t.equal(stream.last(), cutOff, 'without its daemon the host is cut off');
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
  hosts.age(1, OLD_S);
  await hosts.restartDaemon(1);
  await stream.advance(20);
  await to.engine.startDockerd();
  await stream.advance(20);
  t.equal(stream.problem(), undefined, 'the connection never broke');
  const pid = await to.engine.docker('inspect', '-f', '{{.State.Pid}}', to.name);
  t.equal(pid, to.pid, 'the same process');
  await stream.close();
}

/** Its containers are old, so that the reconciler may judge what stands of them. */
async function removedByForce(t: Test, hosts: DriverHosts, cutOff: DockerContainer): Promise<void> {
  const isThere = async (): Promise<boolean> =>
    (await hosts.daemon(1).status()).networks.some(({ name }) => name === 'blue');
  const removed = await hosts.daemon(0).client('networks', 'rm', 'blue', '--force');
  t.equal(removed.status, 0, removed.stderr);
  await until('the containers were looked after', 10_000, () =>
    hosts.daemon(1).log().includes('the interface of a container is lost'),
  );
  t.notOk(await isThere(), 'nobody has asked for it again');
  t.equal(await link(cutOff), '');
  await cutOff.engine.docker('restart', '-t', '0', cutOff.name);
  t.ok(await isThere(), 'who starts a container does');
  t.match(await link(await cutOff.engine.container(cutOff.name, 'blue')), /eth0/);
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
    await removedByForce(t, hosts, two);
    await hosts.engine(1).docker('rm', '-f', 'two');
    t.strictSame(await hosts.leftovers(1), []);
  },
);

async function restartPolicies(t: Test, hosts: DriverHosts, one: DockerContainer): Promise<DockerContainer> {
  const engine = hosts.engine(1);
  const quick = ['--stop-signal', 'KILL'];
  const policies = ['always', 'unless-stopped', 'on-failure'];
  for (const policy of policies)
    await engine.run(policy, 'blue', { args: [`--restart=${policy}`, ...quick] });
  await engine.run('stopped', 'blue', { args: ['--restart=unless-stopped', ...quick] });
  await engine.docker('stop', 'stopped');
  await engine.run('never', 'blue', { args: quick });
  const running = async (): Promise<DockerContainer[]> => {
    const names = (await engine.docker('ps', '--format', '{{.Names}}'))
      .split('\n')
      .filter((name) => name !== '');
    return Promise.all(names.map((name) => engine.container(name, 'blue')));
  };
  const back = async (what: string): Promise<void> => {
    let found: DockerContainer[] = [];
    await until(`${what}: they run again`, 15_000, async () => {
      found = await running().catch(() => []);
      return found.length === policies.length;
    }).catch(() => undefined);
    t.strictSame(found.map(({ name }) => name).sort(), policies.toSorted(), `${what}: these and no others`);
    t.strictSame(await failures([one, ...found]), [], `${what}: reached again`);
    const records = hosts.records(1);
    t.equal(
      records.filter(({ kind }) => kind === 'endpoint').length,
      found.length,
      `${what}: an endpoint each`,
    );
    t.equal(records.filter(({ use }) => use === 'endpoint').length, found.length, `${what}: an address each`);
    const macs = (await hosts.daemon(1).fdb()).filter(({ network, local }) => network === 'blue' && local);
    t.equal(macs.length, found.length, `${what}: a MAC each`);
  };
  await engine.stopDockerd('SIGTERM');
  await engine.startDockerd();
  await back('SIGTERM');
  await engine.stopDockerd('SIGKILL');
  await engine.startDockerd();
  // This Docker ends what has outlived it, and takes that for a stop by hand.
  await engine.docker('start', 'unless-stopped');
  await back('SIGKILL');
  const failing = await engine.container('on-failure', 'blue');
  await run(engine.inside(['kill', '-KILL', failing.pid]));
  await until('it is another process', 15_000, async () => {
    const { pid } = await engine.container('on-failure', 'blue');
    return pid !== '0' && pid !== failing.pid;
  });
  await back('its process killed');
  await engine.docker('rm', '-f', 'stopped', 'never', 'on-failure', 'unless-stopped');
  return engine.container('always', 'blue');
}

/** By now the underlay has been narrow for a while. */
async function mtuFollows(
  t: Test,
  hosts: DriverHosts,
  [one, two]: [DockerContainer, DockerContainer],
): Promise<void> {
  for (const container of [one, two]) {
    const mtu = await until(`${container.name} has another MTU`, 60_000, async () => {
      const now = await mtuOf(container);
      return now < MTU && now;
    });
    t.ok(mtu <= NARROW - OVERHEAD && mtu > NARROW - OVERHEAD - STEP, `${container.name}: MTU ${mtu}`);
  }
  t.match(hosts.daemon(0).log(), /MTU of a TAP is lower than 1450/, 'not silently');
  for (const [from, to] of [
    [one, two],
    [two, one],
  ] as const) {
    const whole = ['ping', '-n', '-c1', '-W3', '-M', 'do', '-s', `${(await mtuOf(from)) - 28}`, to.ipv4];
    t.equal((await from.exec(whole)).status, 0, `the largest datagram of ${from.name} passes whole`);
    const { received } = await transfer(from, to, to.ipv4, { bytes: MEBIBYTE });
    t.equal(received.bytes, MEBIBYTE, `1 MiB from ${from.name} passes`);
  }
}

dockerTest('5.3, 5.5: dockerd restarted and killed, while the underlay narrows', async (t) => {
  const hosts = await DriverHosts.start(t, { hosts: 2 });
  await hosts.createNetwork('blue', ['--subnet', '10.55.0.0/16']);
  const one = await hosts.engine(0).run('one', 'blue');
  t.equal(await mtuOf(one), MTU);
  for (const { host } of hosts.engines) await canBeNarrowed(host);
  narrow(hosts.testbed, NARROW);
  let always = one;
  await t.test('restart policies: always, unless-stopped, on-failure', async (sub) => {
    always = await restartPolicies(sub, hosts, one);
  });
  await t.test('3.16, T6: the MTU in running containers follows', (sub) =>
    mtuFollows(sub, hosts, [one, always]),
  );
  await hosts.engine(1).docker('rm', '-f', 'always');
  t.strictSame(await hosts.leftovers(1), []);
});
