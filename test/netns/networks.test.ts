/** Several networks on the same hosts are separate Ethernets, even with the same addresses and MACs in both. */
import { until } from '../../agent/demo/process.ts';
import { startCluster, unreachable } from './cluster.ts';
import { netnsTest } from './guard.ts';
import { serve, traffic } from './traffic.ts';

const RED = ['--network', 'name=red,vni=101,subnet=10.42.0.0/16,tap=red0'];
const BLUE = ['--network', 'name=blue,vni=102,subnet=10.42.0.0/16,tap=blue0'];

netnsTest('two networks do not see each other', ['ping'], async (t) => {
  const { testbed, daemons } = await startCluster(t, { hosts: 2, args: [...RED, ...BLUE] });
  const red = testbed.hosts.map((host) =>
    host.addContainer({ parent: 'red0', ipv4: `10.42.${host.number}.9` }),
  );
  const blue = testbed.hosts.map((host) =>
    host.addContainer({ parent: 'blue0', ipv4: `10.42.${host.number}.9` }),
  );
  t.strictSame(await unreachable(red), [], 'red reaches red');
  t.strictSame(await unreachable(blue), [], 'blue reaches blue');

  const [redSender, redListener] = red;
  const [blueSender, blueListener] = blue;
  if (redSender === undefined || redListener === undefined) throw new Error('two in red');
  if (blueSender === undefined || blueListener === undefined) throw new Error('two in blue');
  const inRed = await serve(redListener, 'udp-listen', '6767');
  const inBlue = await serve(blueListener, 'udp-listen', '6767');
  await traffic(redSender, 'udp-send', '10.42.255.255', '6767', 'from-red');
  await until('red hears red', 5000, () => inRed.log().includes('from-red'));
  await traffic(blueSender, 'udp-send', '10.42.255.255', '6767', 'from-blue');
  await until('blue hears blue', 5000, () => inBlue.log().includes('from-blue'));
  t.notMatch(inRed.log(), 'from-blue', 'red never hears blue');
  t.notMatch(inBlue.log(), 'from-red', 'blue never hears red');

  const mac = redListener.mac;
  for (const daemon of daemons) {
    const rows = (await daemon.fdb()).filter((row) => row.mac === mac).map((row) => row.network);
    t.strictSame(rows.sort(), ['blue', 'red'], `${daemon.host.name} knows the same MAC once in each network`);
  }
});

netnsTest('a network lives only where it is configured, and is known everywhere', ['ping'], async (t) => {
  const { testbed, daemons } = await startCluster(t, { hosts: 2, args: RED });
  const third = testbed.addHost();
  daemons.push(third.startDaemon({ args: BLUE }));
  await daemons[2]?.ready(2);
  const red = testbed.hosts.slice(0, 2).map((host) => host.addContainer({ parent: 'red0' }));
  t.strictSame(await unreachable(red), [], 'red works between the hosts that have it');
  await until('the third host lists both networks', 10_000, async () => {
    const listed = await daemons[2]?.json<{ name: string; tap?: string }[]>('networks', 'ls');
    const names = listed?.map((network) => network.name).sort();
    return names?.join() === 'blue,red' && listed?.find(({ name }) => name === 'red')?.tap === undefined;
  });
  const { drops } = (await daemons[2]?.status()) ?? {};
  t.equal(drops?.['unknown-vni'], 0, 'and no frame of red ever came there');
});
