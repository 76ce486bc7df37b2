/** Networks made at run time at work, with real daemons and real containers (issue 5.1): joined where something is on them. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { until } from '../../agent/demo/process.ts';
import type { Daemon } from '../../agent/demo/daemon.ts';
import type { Container, Host } from '../../agent/demo/hosts.ts';
import type { NetworkDetail, NetworkSummary } from '../../agent/status.ts';
import { allKnown, startCluster, unreachable } from './cluster.ts';
import { netnsTest } from './guard.ts';

t.setTimeout(600_000);

async function inspected(daemon: Daemon, name: string): Promise<NetworkDetail> {
  return daemon.json<NetworkDetail>('networks', 'inspect', name);
}

/** Waits until a daemon shows these other hosts in a network. */
async function members(daemon: Daemon, name: string, expected: readonly string[]): Promise<void> {
  await until(`${daemon.host.name} sees ${expected.join() || 'nobody'} in ${name}`, 10_000, async () => {
    const found = (await daemon.status()).networks.find((network) => network.name === name);
    return found?.peers === expected.length;
  });
}

async function interfaces(daemon: Daemon): Promise<string[]> {
  const { stdout } = await daemon.host.exec(['ip', '-o', 'link']);
  return stdout.split('\n').flatMap((line) => /^\d+: (ov\w+|blue0|tap0)/.exec(line)?.[1] ?? []);
}

/** Whether the daemon knows of one endpoint of the network on each of two hosts. */
async function bothUse(daemon: Daemon, name: string): Promise<boolean> {
  const { uses = [] } = await inspected(daemon, name);
  return uses.length === 2 && uses.every(({ endpoints }) => endpoints === 1);
}

netnsTest('5.1 attached on two hosts of three, used, refused to go, forced', ['ping'], async (test) => {
  const { testbed, daemons } = await startCluster(test, { hosts: 3 });
  const [a, b, c] = daemons as [Daemon, Daemon, Daemon];
  await c.json('networks', 'create', 'blue', '--subnet', '10.50.0.0/16');
  await until('all know it', 10_000, async () => {
    const all = await Promise.all(daemons.map((daemon) => daemon.status()));
    return all.every(({ networks }) => networks.some(({ name }) => name === 'blue'));
  });
  const passive = await inspected(a, 'blue');
  test.strictSame([passive.uses, passive.members, passive.tap], [[], [], undefined], 'nobody takes part yet');
  const attached = await a.json<NetworkSummary>('networks', 'attach', 'blue', '--tap', 'blue0');
  test.match(attached, { tap: 'blue0', mtu: 1450 });
  const { tap = '' } = await b.json<NetworkSummary>('networks', 'attach', 'blue');
  test.match(tap, /^ov\d+$/, 'a name was chosen');
  await Promise.all([
    members(a, 'blue', ['h2']),
    members(b, 'blue', ['h1']),
    members(c, 'blue', ['h1', 'h2']),
  ]);

  const [one, two] = testbed.hosts;
  const containers: Container[] = [
    one!.addContainer({ parent: 'blue0', ipv4: '10.50.1.2' }),
    two!.addContainer({ parent: tap, ipv4: '10.50.2.2' }),
  ];
  test.strictSame(await unreachable(containers), [], 'containers reach each other');
  await until('their hosts say so', 5_000, () => bothUse(c, 'blue'));
  const line = await a.client('docker-command', 'blue');
  test.match(line.stdout, /-o parent=blue0 --subnet 10\.50\.0\.0\/16 .*--ip-range 10\.50\..*blue/);

  // kill -9: the TAP and the container's interface stay, and are taken up again.
  await a.stop('SIGKILL');
  daemons[0] = one!.startDaemon();
  await allKnown(daemons[0], 3);
  test.strictSame(await unreachable(containers), [], 'after kill -9 too');
  test.match((await inspected(daemons[0], 'blue')).tap, 'blue0');
  await until('the host that was killed says it again', 5_000, () => bothUse(c, 'blue'));

  const refused = await c.client('networks', 'rm', 'blue');
  test.match(refused, {
    status: 1,
    stderr: /h1: 1 endpoint \(02:42:0a:32:01:02.*\), attached\n.*h2: 1 endpoint/,
  });
  test.match(refused.stderr, /--force/, 'and says what that would do');
  const detach = await b.client('networks', 'detach', 'blue');
  test.match(detach, { status: 1, stderr: /containers are on ov/ });
  const forced = await c.client('networks', 'rm', 'blue', '--force');
  test.match(forced, { status: 0, stderr: /cut: h1: 1 endpoint/ });
  await until('its TAPs are gone everywhere', 10_000, async () => {
    const all = await Promise.all([daemons[0]!, b].map(interfaces));
    return all.every((names) => names.join() === 'tap0');
  });
  await allKnown(b, 3);
  test.match(await b.client('networks', 'inspect', 'blue'), { status: 5 });
  test.notOk((await b.fdb()).some(({ network }) => network === 'blue'));
});

netnsTest('5.1 --join-all takes part in every network, also in later ones', ['ping'], async (test) => {
  const { testbed, daemons } = await startCluster(test, { hosts: 2, args: ['--join-all'] });
  const [a, b] = daemons as [Daemon, Daemon];
  const { vni } = await a.json<NetworkSummary>('networks', 'create', 'blue', '--subnet', '10.50.0.0/16');
  const parent = `ov${vni}`;
  await until('both have a TAP on it', 10_000, async () => {
    const all = await Promise.all(daemons.map(interfaces));
    return all.every((names) => names.includes(parent));
  });
  const containers = testbed.hosts.map((host) =>
    host.addContainer({ parent, ipv4: `10.50.${host.number}.2` }),
  );
  test.strictSame(await unreachable(containers), []);
  test.match(await b.client('networks', 'detach', 'blue'), { status: 1, stderr: /--join-all/ });
  for (const container of containers) container.remove();
  await a.json('networks', 'create', 'red');
  await until('both are on it too', 10_000, async () => {
    const all = await Promise.all(daemons.map(interfaces));
    return all.every((names) => names.length === 3);
  });
  test.match(await b.client('networks', 'rm', 'red'), { status: 0 }, 'nothing uses it, though all are on it');
  await until('its TAPs are gone', 10_000, async () => {
    const all = await Promise.all(daemons.map(interfaces));
    return all.every((names) => names.length === 2);
  });
});

netnsTest(
  '5.1 encrypted, made while the daemons run: sealed from the first frame on',
  ['ping'],
  async (test) => {
    const key = randomBytes(32).toString('base64');
    const keyring = (host: Host): string[] => {
      const file = join(host.scratch, 'keyring');
      writeFileSync(file, `${key}\n`, { mode: 0o600 });
      return ['--keyring', file];
    };
    const { testbed, daemons } = await startCluster(test, { hosts: 2, argsOf: keyring });
    const [a, b] = daemons as [Daemon, Daemon];
    const args = ['networks', 'create', 'secret', '--encrypted', '--subnet', '10.50.0.0/16'];
    test.match(await a.json<NetworkSummary>(...args), { encrypted: true, mtu: 1418 });
    await until('the other host knows it', 10_000, async () => {
      return (await b.status()).networks.some(({ name }) => name === 'secret');
    });
    test.notOk((await a.status()).sealing, 'nothing is sealed yet');
    for (const daemon of daemons) await daemon.json('networks', 'attach', 'secret', '--tap', 'blue0');
    await until('a session stands', 20_000, async () => (await a.peers()).every(({ sealed }) => sealed));
    const containers = testbed.hosts.map((host) =>
      host.addContainer({ parent: 'blue0', ipv4: `10.50.${host.number}.2` }),
    );
    test.strictSame(await unreachable(containers), []);
    test.match((await a.status()).sealing, /AES-256-GCM/);
    await b.stop('SIGKILL');
    daemons[1] = testbed.hosts[1]!.startDaemon({ args: keyring(testbed.hosts[1]!) });
    await allKnown(daemons[1], 2);
    await until('it works again', 30_000, async () => (await unreachable(containers)).length === 0);
  },
);
