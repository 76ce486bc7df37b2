/** Three hosts, told nothing but `--join` of one of them, are one Ethernet; on both I/O paths and both underlays. */
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
      const peers = await daemon.peers();
      const others = cluster.testbed.hosts.filter((host) => host !== daemon.host);
      t.strictSame(
        peers.filter((peer) => peer.name !== daemon.host.name).map((peer) => [peer.name, peer.state]),
        others.map((host) => [host.name, 'alive']),
        `${daemon.host.name} lists the others`,
      );
    }
    const containers = cluster.testbed.hosts.map((host) => host.addContainer());
    await checkLan(t, cluster, containers);
    await allLearnt(cluster.daemons, containers);
    t.pass('every host knows on which host each MAC is');
  });
}
