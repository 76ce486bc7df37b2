/**
 * The wire is RFC 7348: a kernel vxlan device is the other end, in both directions. With offloads on, a veth carries its
 * frames uncut and with unfinished inner checksums, which a wire would not; a peer that learns is taken for such a one.
 */
import { Testbed } from '../../agent/demo/testbed.ts';
import { DATA_PORT, DataplaneHost, VNI, settledBalance } from './dataplane-host.ts';
import { netnsTest } from './guard.ts';
import { iperf } from './iperf.ts';

for (const [io, offload] of [
  ['batch', 'off'],
  ['batch', 'on'],
  ['dgram', 'off'],
  ['dgram', 'on'],
] as const) {
  netnsTest(
    `a kernel vxlan device with offloads ${offload} at the other end, ${io}`,
    ['ping', 'iperf3', 'ethtool'],
    async (t) => {
      const testbed = new Testbed();
      t.teardown(() => testbed.close());
      const [ours, kernel] = [testbed.addHost(), testbed.addHost()];
      const dataplane = new DataplaneHost(ours);
      await dataplane.open({ io });
      await dataplane.join([kernel.ipv4]);
      ours.ip('addr', 'add', '10.42.0.1/16', 'dev', 'tap0');
      ours.ip('addr', 'add', 'fd42::1/64', 'dev', 'tap0', 'nodad');

      const vxlan = ['type', 'vxlan', 'id', `${VNI}`, 'dstport', `${DATA_PORT}`];
      kernel.ip('link', 'add', 'vx0', ...vxlan, 'local', kernel.ipv4, 'remote', ours.ipv4);
      kernel.ip('link', 'set', 'vx0', 'mtu', '1450', 'up');
      kernel.ip('addr', 'add', '10.42.0.2/16', 'dev', 'vx0');
      kernel.ip('addr', 'add', 'fd42::2/64', 'dev', 'vx0', 'nodad');
      t.equal((await kernel.exec(['ethtool', '-K', 'eth0', 'tx', offload])).status, 0);

      const ping = ['ping', '-n', '-c', '3', '-i', '0.2', '-w', '5', '-M', 'do', '-s'];
      t.match((await ours.exec([...ping, '1422', '10.42.0.2'])).stdout, ' 3 received');
      t.match((await kernel.exec([...ping, '1422', '10.42.0.1'])).stdout, ' 3 received');
      t.match((await ours.exec([...ping, '1402', 'fd42::2'])).stdout, ' 3 received');

      for (const address of ['10.42.0.1', 'fd42::1']) {
        for (const direction of [[], ['-R']]) {
          const done = await iperf(kernel, ours, address, ...direction);
          t.equal(
            done.status,
            0,
            `iperf3 ${address} ${direction.join()}: ${/(\S+ \S+\/sec).*receiver/.exec(done.stdout)?.[1]}`,
          );
        }
      }
      const udp = await iperf(kernel, ours, '10.42.0.1', '-u', '-b', '20M', '-l', '1000', '-R');
      t.equal(udp.status, 0);
      const { in: taken, out } = await settledBalance(dataplane);
      t.equal(taken, out, 'every frame ended in exactly one way');
      t.equal(await dataplane.stop(true), 0);
    },
  );
}
