/** Networks made at run time, with real daemons (issue 5.1): made on one host, seen on all, whoever dies or restarts. */
import { until } from '../../agent/demo/process.ts';
import type { Daemon } from '../../agent/demo/daemon.ts';
import type { NetworkSummary } from '../../agent/status.ts';
import { allKnown, startCluster } from './cluster.ts';
import { netnsTest } from './guard.ts';

/** What a host shows of networks: name, id, VNI, subnet. */
async function shown(daemon: Daemon): Promise<string> {
  const { networks } = await daemon.status();
  const line = ({ name, id, vni, subnet, status }: NetworkSummary): string =>
    [name, id, vni, subnet, status].join(' ');
  return networks.map(line).join('\n');
}

/** All show the same networks, `names` beside the one of the configuration. */
async function allShow(daemons: readonly Daemon[], names: readonly string[]): Promise<string> {
  let first = '';
  await until(`all show ${names.join(', ') || 'none'}`, 15_000, async () => {
    const texts = await Promise.all(daemons.map(shown));
    first = texts[0] ?? '';
    const found = first.split('\n').map((line) => line.split(' ')[0]);
    return texts.every((text) => text === first) && found.join() === [...names, 'overlay'].sort().join();
  });
  return first;
}

netnsTest('2.7, 4.6, 5.1 made on one host, known on all, over restarts and deaths', [], async (t) => {
  const { testbed, daemons } = await startCluster(t, { hosts: 3 });
  const [a, b, c] = daemons as [Daemon, Daemon, Daemon];
  const created = await c.json<NetworkSummary>('networks', 'create', 'blue');
  t.match(created, { name: 'blue', status: 'ok', id: /^[0-9a-f]{32}$/, subnet: /^10\.\d+\.\d+\.0\/20$/ });
  t.equal((await a.client('networks', 'create', 'red', '--subnet', '10.9.0.0/16', '--vni', '77')).status, 0);
  const before = await allShow(daemons, ['blue', 'red']);
  const again = await b.client('networks', 'create', 'blue');
  t.match(again, { status: 0, stdout: /network blue: VNI \d+/ }, 'it is there, and it fits');
  const other = await b.client('networks', 'create', 'red', '--vni', '78');
  t.match(other, { status: 1, stderr: /vni is 77, not 78/ });

  await Promise.all(daemons.map((daemon) => daemon.stop('SIGKILL')));
  testbed.hosts.forEach((host, i) => (daemons[i] = host.startDaemon()));
  await Promise.all(daemons.map((daemon) => allKnown(daemon, 3)));
  t.equal(await allShow(daemons, ['blue', 'red']), before, 'the very same after kill -9 of all at once');

  await daemons[2]!.stop('SIGKILL');
  const rest = daemons.slice(0, 2);
  const removed = await rest[1]!.client('networks', 'rm', 'blue');
  t.match(removed, { status: 0 }, 'its maker is dead, and it can be removed');
  await allShow(rest, ['red']);
  daemons[2] = testbed.hosts[2]!.startDaemon();
  await allKnown(daemons[2], 3);
  await allShow(daemons, ['red']);
  t.match(await rest[0]!.client('networks', 'rm', 'blue'), {
    status: 5,
    stderr: /Networks here: overlay, red/,
  });
  t.match(await rest[0]!.client('networks', 'rm', 'overlay'), { status: 1, stderr: /configuration of h1/ });
});
