/** Three hosts, told nothing but `--join` of one of them, are one Ethernet; on both I/O paths and both underlays. */
import type { FdbEntry, Peer, Status } from '../../agent/status.ts';
import { until } from '../../agent/demo/process.ts';
import { allLearnt, startCluster } from './cluster.ts';
import { netnsTest } from './guard.ts';
import { checkLan } from './lan-checks.ts';

for (const [title, options] of [
  ['FFI batches', { args: ['--io', 'batch'] }],
  ['one packet per call', { args: ['--io', 'dgram'] }],
  ['an IPv6 underlay', { underlay: 'ipv6' }],
] as const) {
  netnsTest(`three hosts, ${title}`, ['ping'], async (t) => {
    const cluster = await startCluster(t, { hosts: 3, ...options });
    for (const daemon of cluster.daemons) {
      const others = cluster.testbed.hosts.filter((host) => host !== daemon.host);
      const expected = others.map(({ name }) => `${name} alive`).join();
      // A late answer makes a suspicion, which is refuted.
      await until(`${daemon.host.name} lists the others`, 20_000, async () => {
        const peers = (await daemon.peers()).filter(({ name }) => name !== daemon.host.name);
        return peers.map(({ name, state }) => `${name} ${state}`).join() === expected;
      });
    }
    const containers = cluster.testbed.hosts.map((host) => host.addContainer());
    await checkLan(t, cluster, containers);
    await allLearnt(cluster.daemons, containers);
    t.pass('every host knows on which host each MAC is');
  });
}

netnsTest('the client verbs say the same', [], async (t) => {
  const { testbed, daemons } = await startCluster(t, { hosts: 2 });
  const [first] = testbed.hosts;
  const [, asked] = daemons;
  if (first === undefined || asked === undefined) throw new Error('two hosts');
  const container = first.addContainer();
  // Nobody is there to answer, but asking who has them tells who asks.
  for (const absent of ['10.42.2.2', 'fd42::a2a:202']) await container.exec(['ping', '-c1', '-W1', absent]);
  const wait = await asked.client('wait', '--for', `mac=${container.mac}`, '--timeout', '30s');
  t.equal(wait.status, 0, 'wait --for mac ends once the MAC of a container on the other host is known');
  t.equal((await asked.client('wait', '--for', 'peers=1')).status, 0, 'wait --for peers');
  t.equal(
    (await asked.client('wait', '--for', 'peers=2', '--timeout', '1s')).status,
    1,
    'and 1 when it does not hold',
  );

  const status = await asked.json<Status>('status');
  t.match(status, { node: 'h2', ready: true, advertiseAddr: '10.77.0.2', peers: { dead: 0 } });
  t.equal(status.peers.alive + status.peers.suspect, 1);
  const peers = await asked.json<Peer[]>('peers');
  t.match(peers, [{ name: 'h1', state: /alive|suspect/, dataPathAddr: '10.77.0.1' }]);
  t.equal(peers.length, 1);
  const row = (await asked.json<FdbEntry[]>('fdb')).find(({ mac }) => mac === container.mac);
  t.match(row, { network: 'overlay', vni: 4096, owner: 'h1', vtep: '10.77.0.1', local: false });
  t.strictSame([...(row?.ips ?? [])].sort(), [container.ipv4, container.ipv6].sort(), 'with both addresses');
});
