/** overlayd as Docker's network and IPAM driver, real: three engines, three daemons, what users type. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { until } from '../../agent/demo/process.ts';
import { DriverHosts, dockerTest, failures } from './driver-hosts.ts';
import type { DockerContainer } from './engine.ts';
import { IMAGE } from './engine.ts';

const MTU_CLEAR = 1450;
/** Sealing takes 32 bytes. */
const MTU_SEALED = 1418;

function keyring(): string {
  const file = join(mkdtempSync(join(tmpdir(), 'ovd-key-')), 'keyring');
  writeFileSync(file, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
  return file;
}

/** Two containers on the first host, one on each other. */
async function runContainers(hosts: DriverHosts, network: string): Promise<DockerContainer[]> {
  const perHost = await Promise.all(
    hosts.engines.map(async (engine, index) => {
      const names = index === 0 ? ['web1a', 'web1b'] : [`web${index + 1}`];
      const made: DockerContainer[] = [];
      for (const name of names) made.push(await engine.run(`${network}-${name}`, network));
      return made;
    }),
  );
  return perHost.flat();
}

async function link(container: DockerContainer, device = 'eth0'): Promise<string> {
  return (await container.exec(['ip', '-o', '-d', 'link', 'show', 'dev', device])).stdout;
}

async function pings(from: DockerContainer, address: string): Promise<boolean> {
  return (await from.exec(['ping', '-n', '-c1', '-W3', address])).status === 0;
}

async function sameNameSameNetwork(t: Test, hosts: DriverHosts): Promise<DockerContainer[]> {
  await hosts.createNetwork('blue', ['--subnet', '10.55.0.0/16']);
  const shown = await hosts
    .engine(2)
    .docker('network', 'inspect', '-f', '{{(index .IPAM.Config 0).Subnet}}', 'blue');
  t.equal(shown, '10.55.0.0/16', 'the third host was told no subnet');
  const containers = await runContainers(hosts, 'blue');
  t.equal(new Set(containers.map(({ ipv4 }) => ipv4)).size, 4, 'T8: no two containers have one address');
  t.strictSame(await failures(containers), [], 'ping and HTTP between all, on other hosts and on one');
  const [first] = containers;
  if (first === undefined) throw new Error('a container');
  t.match(await link(first), new RegExp(`mtu ${MTU_CLEAR} `));
  t.match(first.mac, /^02:42:0a:37/);
  const known = await until('its name is known to the others', 10_000, async () => {
    const rows = (await hosts.daemon(1).fdb()).filter(({ mac }) => mac === first.mac);
    return rows.some(({ name }) => name === first.name) && rows;
  });
  t.match(known, [{ network: 'blue', owner: 'h1', ips: [first.ipv4] }], 'and address and owner');
  t.equal(known.length, 1);
  return containers;
}

/** One TAP each, and nothing of the kernel's between two containers of one host. */
async function interfaces(
  t: Test,
  hosts: DriverHosts,
  containers: readonly DockerContainer[],
): Promise<void> {
  const [one, two] = containers;
  if (one === undefined || two === undefined) throw new Error('two containers on the first host');
  for (const container of containers) {
    t.match(await link(container), /tun type tap .*vnet_hdr on persist on/, `${container.name} has a TAP`);
    const links = (await container.exec(['ip', '-o', 'link'])).stdout.trim().split('\n');
    t.equal(links.length, 2, 'and nothing beside it: no second interface on docker_gwbridge');
    const features = (await container.exec(['ethtool', '-k', 'eth0'])).stdout;
    t.match(features, /^tx-checksumming: on$/m);
    t.match(features, /^tcp-segmentation-offload: on$/m);
  }
  for (const { host } of hosts.engines) {
    for (const type of ['bridge', 'macvlan', 'vxlan'])
      t.equal(host.ip('-o', 'link', 'show', 'type', type), '', `${host.name}: no ${type}`);
  }
  const toTap = async (): Promise<number> => (await hosts.daemon(0).status()).frames.toTap;
  const before = await toTap();
  t.equal((await one.exec(['ping', '-n', '-q', '-c20', '-i0.02', two.ipv4])).status, 0);
  await until('frames between two containers of one host are counted', 5000, async () => {
    return (await toTap()) >= before + 40;
  });
}

async function published(t: Test, hosts: DriverHosts, other: DockerContainer): Promise<void> {
  const engine = hosts.engine(0);
  await engine.run('port', 'blue', { args: ['-p', '8081:80'] });
  t.match(hosts.daemon(0).log(), /published ports \(-p\) do nothing .*8081:80\/tcp; start/, 'not silently');
  await engine.docker('network', 'create', '-d', 'bridge', 'out');
  const port = await engine.run('port2', 'out', { args: ['-p', '8082:80'] });
  await engine.docker('network', 'connect', 'blue', port.name);
  const page = await engine.host.exec(['busybox', 'wget', '-qO-', 'http://127.0.0.1:8082/']);
  t.equal(page.stdout.trim(), port.name, 'the cure: a bridge network beside it');
  t.ok(await pings(other, (await engine.container(port.name, 'blue')).ipv4));
  await engine.docker('rm', '-f', 'port', 'port2');
  await engine.docker('network', 'rm', 'out');
}

async function whatUsersAskFor(t: Test, hosts: DriverHosts): Promise<void> {
  const [one, two] = [hosts.engine(0), hosts.engine(1)];
  // Docker takes --ip only where the user gave the subnet.
  await hosts.createNetwork(
    'six',
    [],
    '--subnet 10.56.0.0/24 --subnet fd56::/64 --ipv6 --internal --aux-address router=10.56.0.9'.split(' '),
  );
  const fixed = await one.run('fixed', 'six', {
    args: ['--ip', '10.56.0.77', '--mac-address', '02:11:22:33:44:55'],
  });
  t.equal(fixed.ipv4, '10.56.0.77');
  t.equal(fixed.mac, '02:11:22:33:44:55');
  for (const engine of [one, two]) {
    const again = await engine.tryDocker(
      'run',
      '--rm',
      '--network',
      'six',
      '--ip',
      '10.56.0.77',
      IMAGE,
      'sh',
    );
    t.match(again.stderr, /10\.56\.0\.77/, `${engine.host.name}: taken, on whichever host`);
    const router = await engine.tryDocker(
      'run',
      '--rm',
      '--network',
      'six',
      '--ip',
      '10.56.0.9',
      IMAGE,
      'sh',
    );
    t.match(
      router.stderr,
      /10\.56\.0\.9 is a reserved address/,
      `${engine.host.name}: kept off, in the same words`,
    );
  }
  const six = await one.docker(
    'inspect',
    '-f',
    '{{.NetworkSettings.Networks.six.GlobalIPv6Address}}',
    'fixed',
  );
  t.match(six, /^fd56::/);
  const other = await two.run('other', 'six');
  t.ok(await pings(other, '10.56.0.77'));
  t.ok(await pings(other, six), 'IPv6');
  const routes = (await other.exec(['ip', 'route'])).stdout;
  t.notMatch(routes, /default/, '--internal: no way out');
  await one.docker('rm', '-f', 'fixed');
  await two.docker('rm', '-f', 'other');

  const wrong = await one.tryDocker('network', 'create', '-d', 'overlayd', '--opt', 'vnni=3', 'bad');
  t.match(wrong.stderr, /unknown --opt vnni \(did you mean "vni"\?\)/, 'errors reach the user');
  const differs = ['--opt', 'name=six', '--opt', 'mtu=1000', '--ipam-opt', 'name=six'];
  const driver = ['-d', 'overlayd', '--ipam-driver', 'overlayd'];
  const refused = await one.tryDocker('network', 'create', ...driver, ...differs, 'bad');
  t.match(refused.stderr, /MTU 1000 was asked for/);
}

async function connectAndDisconnect(
  t: Test,
  hosts: DriverHosts,
  containers: readonly DockerContainer[],
): Promise<void> {
  const [web, onBlue, other] = containers;
  if (web === undefined || onBlue === undefined || other === undefined) throw new Error('containers');
  const { engine } = web;
  await hosts.createNetwork('green', ['--subnet', '10.57.0.0/24', '--opt', 'vni=5700', '--opt', 'mtu=1300']);
  await engine.docker('network', 'connect', 'green', web.name);
  await other.engine
    .docker('network', 'connect', '--ip', '10.57.0.99', 'green', other.name)
    .catch((error: Error) => {
      // Docker takes --ip only where the user gave the subnet, which this host was not.
      t.match(error.message, /user configured subnets/);
      return other.engine.docker('network', 'connect', 'green', other.name);
    });
  const format = '{{(index .NetworkSettings.Networks "green").IPAddress}}';
  const address = await other.engine.docker('inspect', '-f', format, other.name);
  t.match(await link(web, 'eth1'), /mtu 1300 /);
  const green = (await hosts.daemon(2).status()).networks.find(({ name }) => name === 'green');
  t.match(green, { vni: 5700, mtu: 1300 }, '--opt vni, --opt mtu');
  const answers = async (device: string): Promise<boolean> => {
    const arping = ['busybox', 'arping', '-q', '-f', '-c3', '-w2', '-I', device, onBlue.ipv4];
    return (await other.exec(arping)).status === 0;
  };
  t.ok(await answers('eth0'));
  t.notOk(await answers('eth1'), 'on green nobody hears of who is on blue alone');
  t.ok(await pings(web, address), 'several networks on one container');
  t.ok(await pings(web, other.ipv4), 'blue goes on');
  await engine.docker('network', 'disconnect', 'green', web.name);
  t.notOk((await link(web, 'eth1')).includes('mtu'), 'its interface is gone');
  t.ok(await pings(web, other.ipv4));
  await other.engine.docker('network', 'disconnect', 'green', other.name);
}

async function encrypted(t: Test, hosts: DriverHosts): Promise<void> {
  await hosts.createNetwork('secret', ['--opt', 'encrypted', '--subnet', '10.58.0.0/24']);
  const made = await Promise.all([hosts.engine(0).run('s1', 'secret'), hosts.engine(1).run('s2', 'secret')]);
  const [from, to] = made;
  await until('the session stands', 10_000, () => pings(from, to.ipv4));
  t.strictSame(await failures(made), []);
  t.match(await link(from), new RegExp(`mtu ${MTU_SEALED} `), 'room for the seal');
  const secret = (await hosts.daemon(2).status()).networks.find(({ name }) => name === 'secret');
  t.match(secret, { encrypted: true }, 'everybody knows that it is');
  for (const { engine, name } of made) await engine.docker('rm', '-f', name);
}

/** As a tool does that goes to all hosts at a time: each may be the first. */
async function createdAtOnce(t: Test, hosts: DriverHosts): Promise<void> {
  const driver = ['-d', 'overlayd', '--ipam-driver', 'overlayd', '--subnet', '10.59.0.0/16'];
  await Promise.all(hosts.engines.map((engine) => engine.docker('network', 'create', ...driver, 'race')));
  const made = await Promise.all(hosts.engines.map((engine, index) => engine.run(`race${index}`, 'race')));
  t.equal(new Set(made.map(({ ipv4 }) => ipv4)).size, made.length, 'no two have one address');
  await until('they reach each other', 15_000, async () => (await failures(made)).length === 0);
  for (const { engine, name } of made) await engine.docker('rm', '-f', name);
  for (const engine of hosts.engines) await engine.docker('network', 'rm', 'race');
}

/** Docker asks its IPAM driver again and again, by itself without end, for a subnet that no route of the host overlaps with. */
async function overlapsWithRoute(t: Test, hosts: DriverHosts): Promise<void> {
  const driver = ['-d', 'overlayd', '--ipam-driver', 'overlayd', '--ipam-opt', 'name=wide'];
  const [one, two] = [hosts.engine(0), hosts.engine(1)];
  await one.docker('network', 'create', ...driver, '--subnet', '10.91.0.0/16', 'wide');
  await hosts.networkKnown('wide');
  two.host.ip('route', 'add', '10.91.5.0/24', 'dev', 'lo');
  const refused = await two.tryDocker('network', 'create', ...driver, 'wide');
  t.match(refused.stderr, /overlaps with a route .*Give --subnet 10\.91\.0\.0\/16/);
  await two.docker('network', 'create', ...driver, '--subnet', '10.91.0.0/16', 'wide');
  two.host.ip('route', 'del', '10.91.5.0/24', 'dev', 'lo');
  for (const engine of [two, one]) await engine.docker('network', 'rm', 'wide');
}

/** The network of the configuration, on its TAP, without an --ip-range for each host. */
async function macvlanAddresses(t: Test, hosts: DriverHosts): Promise<void> {
  const macvlan = ['-d', 'macvlan', '-o', 'parent=tap0', '--subnet', '10.42.0.1/16'];
  const kept = '10.42.0.9';
  const fixed = '10.42.0.77';
  const made = await Promise.all(
    hosts.engines.map(async (engine, index) => {
      const aux = ['--ipam-driver', 'overlayd', '--aux-address', `router=${kept}`];
      await engine.docker('network', 'create', ...macvlan, ...aux, 'lan');
      return engine.run(`lan${index}`, 'lan', { args: index === 0 ? ['--ip', fixed] : [] });
    }),
  );
  t.equal(made[0]?.ipv4, fixed, '--ip on a network that is made just now');
  for (const [index, ip] of [kept, fixed].entries()) {
    const other = await hosts.engine(1).tryDocker('run', '--rm', '--network', 'lan', '--ip', ip, IMAGE, 'sh');
    t.match(other.stderr, index === 0 ? /is a reserved address/ : /is taken/);
  }
  t.equal(new Set(made.map(({ ipv4 }) => ipv4)).size, made.length, 'T8: no two have one address');
  t.strictSame(await failures(made), [], 'macvlan containers with addresses from overlayd');
  await until('5.4: their names are known everywhere', 10_000, async () => {
    const names = new Set((await hosts.daemon(0).fdb()).map(({ name }) => name));
    return made.every(({ name }) => names.has(name));
  });
  for (const { engine, name } of made) await engine.docker('rm', '-f', name);
  for (const engine of hosts.engines) await engine.docker('network', 'rm', 'lan');
}

dockerTest('5.3: overlayd as network driver of three Docker engines', async (t) => {
  const hosts = await DriverHosts.start(t, { hosts: 3, args: ['--keyring', keyring()] });
  let containers: DockerContainer[] = [];
  const step = (name: string, work: (t: Test) => Promise<void>): Promise<unknown> => t.test(name, work);
  await step(
    '1.4, 2.1, 2.6, 2.7, 2.8, 2.29, T8: the same name on another host is the same network',
    async (sub) => {
      containers = await sameNameSameNetwork(sub, hosts);
    },
  );
  const other = containers.at(2);
  if (other === undefined) throw new Error('three containers');
  await step(
    '2.3, 3.14, 3.19: one TAP each with its offloads on, no bridge; one host through the core',
    (sub) => interfaces(sub, hosts, containers),
  );
  await step('2.9: --ip, --mac-address, --ipv6, --internal; errors reach the user as text', (sub) =>
    whatUsersAskFor(sub, hosts),
  );
  await step('2.4, 2.18: network connect and disconnect; several networks on one container', (sub) =>
    connectAndDisconnect(sub, hosts, containers),
  );
  await step('2.30, T6: published ports do nothing, and not silently', (sub) => published(sub, hosts, other));
  await step('2.11, 2.14: --opt encrypted', (sub) => encrypted(sub, hosts));
  await step('5.4, T8: macvlan networks with addresses from overlayd', (sub) => macvlanAddresses(sub, hosts));
  await step('5.3: a subnet that overlaps with a route of the host', (sub) => overlapsWithRoute(sub, hosts));
  await step('3.15, 4.6: created on all hosts at once, on any', (sub) => createdAtOnce(sub, hosts));
  for (const { engine, name } of containers) await engine.docker('rm', '-f', name);
  await Promise.all(
    hosts.engines.map((engine) => engine.docker('network', 'rm', 'blue', 'six', 'green', 'secret')),
  );
  for (const index of hosts.engines.keys()) {
    await until(
      `h${index + 1}: nothing is left`,
      5000,
      async () => (await hosts.leftovers(index)).length === 0,
    ).catch(async (error: Error) => t.fail(`${error.message}: ${(await hosts.leftovers(index)).join(', ')}`));
    t.strictSame(hosts.records(index), [], 'and nothing is remembered');
    const networks = (await hosts.daemon(index).status()).networks.map(({ name }) => name);
    t.strictSame(networks, ['overlay'], 'networks that Docker wanted are gone with it');
  }
});
