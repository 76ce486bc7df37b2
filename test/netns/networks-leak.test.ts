/** Networks are separate Ethernets, with real daemons (issue 5.1): ten of them on three hosts, all with the same addresses. */
import t from 'tap';
import { until } from '../../agent/demo/process.ts';
import type { Background } from '../../agent/demo/process.ts';
import type { Container } from '../../agent/demo/hosts.ts';
import type { NetworkSummary } from '../../agent/status.ts';
import { startCluster } from './cluster.ts';
import { netnsTest } from './guard.ts';

t.setTimeout(600_000);
const NETWORKS = 10;

interface Listener {
  readonly container: Container;
  readonly network: number;
  readonly listener: Background;
}

/** Broadcasts that came: which network's container sent them. */
function heard({ listener }: Listener): string[] {
  return listener
    .log()
    .split('\n')
    .filter((line) => line.startsWith('net'))
    .sort();
}

netnsTest('2.4, 5.1 what is sent in one network is heard there alone', ['socat', 'ping'], async (test) => {
  const { testbed, daemons } = await startCluster(test, { hosts: 3, args: ['--join-all'] });
  const parents: string[] = [];
  for (let i = 0; i < NETWORKS; i++) {
    const maker = daemons[i % 3]!;
    const args = ['networks', 'create', `net${i}`, '--subnet', '10.60.0.0/16'];
    const { vni } = await maker.json<NetworkSummary>(...args);
    parents.push(`ov${vni}`);
  }
  await until('all hosts are on all of them', 20_000, async () => {
    const all = await Promise.all(daemons.map((daemon) => daemon.status()));
    return all.every(
      ({ networks }) => networks.filter(({ tap, peers }) => tap && peers === 2).length > NETWORKS,
    );
  });
  const listeners: Listener[] = [];
  for (const host of testbed.hosts) {
    for (const [network, parent] of parents.entries()) {
      // One address, and so one MAC, in every network.
      const container = host.addContainer({ parent, ipv4: `10.60.${host.number}.9` });
      const listener = container.spawn(['socat', '-u', 'UDP4-RECV:6767,reuseaddr', 'STDOUT']);
      testbed.record.addProcess(listener.pid);
      listeners.push({ container, network, listener });
    }
  }
  await until('each hears its two others', 30_000, async () => {
    for (const each of listeners) {
      const others = listeners.filter(({ network }) => network === each.network).length - 1;
      if (new Set(heard(each)).size >= others) continue;
      // A listener may not have been there yet: what is heard twice is one line.
      for (const { container, network } of listeners) {
        if (network !== each.network) continue;
        const send = ['socat', '-u', 'STDIN', 'UDP4-DATAGRAM:10.60.255.255:6767,broadcast'];
        await container.exec(send, 5_000, `net${network} from ${container.host.name}\n`);
      }
    }
    return listeners.every((each) => new Set(heard(each)).size >= 2);
  });
  const foreign = listeners.flatMap((each) =>
    heard(each).filter((line) => !line.startsWith(`net${each.network} `)),
  );
  test.strictSame(foreign, [], 'and nothing of any other network');
  const [one, two] = listeners.filter(({ network }) => network === 3);
  const ping = await one!.container.exec(['ping', '-n', '-c2', '-W3', two!.container.ipv4]);
  test.equal(ping.status, 0, 'unicast between the same addresses as everywhere');
  const { drops } = await daemons[0]!.status();
  test.equal(drops['unknown-vni'] ?? 0, 0, 'no frame came to a host that is not on its network');
});
