/** Ports that come and go at run time (5.3): one TAP for each container, its descriptor held here, the interface there. */
import type { Test } from 'tap';
import type { Container, Host } from '../../agent/demo/hosts.ts';
import { until } from '../../agent/demo/process.ts';
import { Testbed } from '../../agent/demo/testbed.ts';
import { DataplaneHost, settledBalance } from './dataplane-host.ts';
import { addEndpoint, moveIn, netnsPath } from './endpoints.ts';
import { netnsTest } from './guard.ts';
import { iperf, iperfServer } from './iperf.ts';

interface Setting {
  readonly io: 'batch' | 'dgram';
  readonly workers: number;
}

const ONE: Setting = { io: 'batch', workers: 1 };
const TWO: Setting = { io: 'batch', workers: 2 };
const PORTABLE: Setting = { io: 'dgram', workers: 1 };

const nameOf = ({ io, workers }: Setting): string => `${io}, ${workers} worker(s)`;

async function open(t: Test, setting: Setting): Promise<{ host: Host; dataplane: DataplaneHost }> {
  const testbed = new Testbed();
  t.teardown(() => testbed.close());
  const host = testbed.addHost();
  const dataplane = new DataplaneHost(host);
  await dataplane.open({ ...setting, taps: [] });
  await dataplane.join([]);
  return { host, dataplane };
}

/** `patience`: seconds that three answers are waited for (-W ends long before, at twice the round trip so far). */
async function ping(from: Container, to: Container, patience = 5): Promise<string> {
  return (await from.exec(['ping', '-n', '-c', '3', '-i', '0.2', '-w', `${patience}`, to.ipv4])).stdout;
}

async function checkBalance(t: Test, dataplane: DataplaneHost): Promise<void> {
  const { in: taken, out } = await settledBalance(dataplane);
  t.ok(taken > 0);
  t.equal(
    taken,
    out,
    `every frame ended in exactly one way: ${JSON.stringify((await dataplane.counters()).drops)}`,
  );
}

function rxPackets(container: Container): number {
  const [link] = JSON.parse(container.ip('-s', '-j', 'link', 'show', 'eth0')) as [
    { stats64: { rx: { packets: number } } },
  ];
  return link.stats64.rx.packets;
}

for (const setting of [ONE, TWO, PORTABLE]) {
  netnsTest(
    `5.3 ports come, go, and come back under their number: ${nameOf(setting)}`,
    ['ping'],
    async (t) => {
      const { host, dataplane } = await open(t, setting);
      const [a, b] = [await addEndpoint(host, dataplane, 1), await addEndpoint(host, dataplane, 2)];
      t.match(await ping(a, b), ' 3 received');
      await t.rejects(dataplane.openPort(2), { code: 'OVL_PORT', message: /in use/ });
      await t.rejects(dataplane.openPort(9999), { code: 'OVL_PORT', hint: /at most/ });
      await t.rejects(dataplane.openPort(3, { name: 'eth0' }), { code: 'OVL_TAP_MODE' });
      await t.rejects(
        dataplane.closePort(3),
        { code: 'OVL_PORT' },
        'nothing was left of the one that failed',
      );

      await dataplane.closePort(2);
      t.throws(() => b.ip('link', 'show', 'eth0'), 'the interface went, in the container');
      const gone = (await dataplane.events()).filter((event) => event.type === 'mac-expired');
      t.match(gone, [{ network: 0, port: 2 }], 'its MAC is known to have gone');
      t.equal(gone.length, 1);
      t.notOk((await dataplane.fdb()).some((row) => row.destination === 2));
      const c = await addEndpoint(host, dataplane, 3);
      t.match(await ping(a, c), ' 3 received', 'the others go on');
      b.remove();
      const again = await addEndpoint(host, dataplane, 2);
      a.ip('neigh', 'flush', 'all'); // it has another MAC, and has not said so
      t.match(await ping(a, again), ' 3 received', 'and so does a new one under the old number');
      await checkBalance(t, dataplane);

      await dataplane.call({ call: 'poison' });
      a.ip('neigh', 'flush', 'all'); // the next ping asks by broadcast
      await ping(a, c, 1);
      await until('the worker was replaced', 15_000, async () => {
        return ((await dataplane.counters()).counters['worker-restarts'] ?? 0) > 0;
      });
      t.match(await ping(a, c), ' 3 received', 'a new worker has the ports that are open');
      t.match(await ping(c, again), ' 3 received');
      await dataplane.closePort(2);
      await dataplane.closePort(3, false);
      t.match(c.ip('link', 'show', 'eth0'), 'NO-CARRIER', 'a persistent interface stays when that was asked');
      t.equal(await dataplane.stop(true), 0);
    },
  );
}

for (const setting of [ONE, PORTABLE]) {
  netnsTest(
    `5.3 the interface of one port is deleted, the others go on: ${nameOf(setting)}`,
    ['ping'],
    async (t) => {
      const { host, dataplane } = await open(t, setting);
      const [a, b] = [await addEndpoint(host, dataplane, 1), await addEndpoint(host, dataplane, 2)];
      const c = await addEndpoint(host, dataplane, 3);
      b.ip('link', 'delete', 'eth0');
      c.remove(); // the whole namespace
      await until('both losses are told', 5000, async () => {
        const told = (await dataplane.events()).filter((event) => event.type === 'tap-gone');
        return told.length === 2 && told.every((event) => /^ov[23]$/.test(event.name));
      });
      t.notOk((await dataplane.events()).some((event) => event.type === 'failed'));
      await dataplane.closePort(2);
      await dataplane.closePort(3);
      const again = await addEndpoint(host, dataplane, 2 + 4);
      t.match(await ping(a, again), ' 3 received');
      await checkBalance(t, dataplane);
      t.equal(await dataplane.stop(true), 0);
    },
  );
}

for (const setting of [TWO, PORTABLE]) {
  netnsTest(
    `3.14 after kill -9 a port is taken up again in the container: ${nameOf(setting)}`,
    ['ping'],
    async (t) => {
      const { host, dataplane } = await open(t, setting);
      const [a, b] = [await addEndpoint(host, dataplane, 1), await addEndpoint(host, dataplane, 2)];
      t.match(await ping(a, b), ' 3 received');
      await dataplane.kill();
      t.match(a.ip('link', 'show', 'eth0'), 'NO-CARRIER');
      t.match(a.ip('addr', 'show', 'eth0'), a.ipv4);

      const next = new DataplaneHost(host);
      await next.open({ ...setting, taps: [] });
      await next.join([]);
      await t.rejects(next.openPort(1, { netns: '/run/netns/no-such' }), { code: 'OVL_NETNS' });
      await t.rejects(next.openPort(1, { netns: netnsPath(a), name: 'eth7' }), { code: 'OVL_TAP_GONE' });
      t.notOk(a.ip('link').includes('eth7'), 'nothing was made in the container');
      const byName = await next.openPort(1, { netns: netnsPath(a), name: 'eth0' });
      t.match(byName, { name: 'eth0', existed: true });
      const binding = { mac: Number.parseInt(b.mac.replaceAll(':', ''), 16), ips: [b.ipv4, b.ipv6] };
      const byMac = await next.openPort(2, { netns: netnsPath(b), binding });
      t.match(byMac, { name: 'eth0', existed: true }, 'whatever it is called there');
      t.match(await ping(a, b), ' 3 received');
      t.notOk(host.ip('link').includes('ov1'), 'nothing was made on the host');
      await next.call({ call: 'mtu', port: 2, mtu: 1399 });
      t.match(b.ip('link', 'show', 'eth0'), 'mtu 1399', 'its MTU is set in the container');
      t.match(host.ip('link', 'show', 'eth0'), 'mtu 1500', 'not that of the namesake on the host');
      t.strictSame(
        await next.call({ call: 'namespaces' }),
        [await hostNamespace(host)],
        'every thread is home',
      );
      t.equal(await next.stop(true), 0);
    },
  );
}

netnsTest('5.3 ports come and go by the hundred; what stays loses nothing', ['ping', 'iperf3'], async (t) => {
  const { host, dataplane } = await open(t, TWO);
  const other = host.testbed.addHost();
  const far = new DataplaneHost(other);
  await far.open({ ...TWO, taps: [] });
  await far.join([host.ipv4]);
  await dataplane.join([other.ipv4]);
  const remote = await addEndpoint(other, far, 1);
  // More ports than a worker polls one by one.
  const containers: Container[] = [];
  for (let port = 1; port <= 6; port++) containers.push(await addEndpoint(host, dataplane, port));
  const [a, b, c, d] = containers as [Container, Container, Container, Container];
  t.match(await ping(a, b), ' 3 received');
  t.match(await ping(c, d), ' 3 received');
  const stream = a.exec(['ping', '-n', '-q', '-i', '0.01', '-c', '150', '-W', '2', b.ipv4]);
  for (let round = 0; round < 10; round++) {
    const ports = Array.from({ length: 10 }, (_, i) => 100 + ((round * 3 + i) % 17));
    await Promise.all(ports.map((port) => dataplane.openPort(port)));
    await Promise.all(ports.map((port) => dataplane.closePort(port)));
  }
  t.match((await stream).stdout, /\b1(4[5-9]|50) received/);

  await iperfServer(b);
  const flood = a.exec(['iperf3', '-c', b.ipv4, '-u', '-b', '0', '-l', '64', '-t', '2'], 20_000);
  await until('the flood has begun', 10_000, async () => {
    return ((await dataplane.counters()).counters['from-tap'] ?? 0) > 5000;
  });
  const patient = ['ping', '-n', '-q', '-i', '0.05', '-c', '20', '-W', '2'];
  const [beside, afar] = await Promise.all([c.exec([...patient, d.ipv4]), remote.exec([...patient, c.ipv4])]);
  t.match(beside.stdout, /\b(1[5-9]|20) received/, 'one busy port does not starve the others');
  t.match(afar.stdout, /\b(1[5-9]|20) received/, 'nor the tunnel');
  await flood;
  await checkBalance(t, dataplane);
  t.equal(await far.stop(true), 0);
  t.equal(await dataplane.stop(true), 0);
});

async function hostNamespace(host: Host): Promise<string> {
  return (await host.exec(['readlink', '/proc/self/ns/net'])).stdout.trim();
}

netnsTest('5.6 the limit of open files is met by an error with its cure', ['prlimit'], async (t) => {
  const testbed = new Testbed();
  t.teardown(() => testbed.close());
  const host = testbed.addHost();
  const dataplane = new DataplaneHost(host, ['prlimit', '--nofile=96:96', '--']);
  await dataplane.open({ taps: [] });
  await dataplane.join([]);
  let port = 0;
  const openAll = async (): Promise<void> => {
    for (;;) await dataplane.openPort(++port);
  };
  await t.rejects(openAll(), { message: /EMFILE/, hint: /LimitNOFILE/ });
  t.ok(port > 10, `at the ${port}th`);
  t.equal(
    host.ip('-o', 'link', 'show', 'type', 'tun').trim().split('\n').length,
    port - 1,
    'nothing is left of it',
  );
  await dataplane.closePort(1);
  await dataplane.openPort(1);
  t.equal(await dataplane.stop(true), 0);
});

netnsTest('5.3 same-host traffic is not cut, not sent, and not given back', ['iperf3', 'ping'], async (t) => {
  const { host, dataplane } = await open(t, ONE);
  // A peer that is not there: whatever is sent to it is counted.
  await dataplane.join([host.ipv4.replace(/\d+$/, '77')]);
  const [a, b] = [await addEndpoint(host, dataplane, 1), await addEndpoint(host, dataplane, 2)];
  const c = await addEndpoint(host, dataplane, 3);
  // So that nobody says anything unasked.
  for (const each of [a, b, c]) await each.exec(['sysctl', '-w', 'net.ipv6.conf.all.disable_ipv6=1']);
  t.match(await ping(a, b), ' 3 received');

  const before = (await dataplane.counters()).counters;
  const done = await iperf(a, b, b.ipv4, '-J');
  t.equal(done.status, 0, done.stdout.slice(0, 300));
  const after = (await dataplane.counters()).counters;
  const grown = (counter: string): number => (after[counter] ?? 0) - (before[counter] ?? 0);
  t.ok(grown('from-tap-bytes') / grown('from-tap') > 5000, 'frames are larger than the MTU on the average');
  t.equal(grown('cut'), 0);
  t.equal(grown('to-tunnel'), 0, 'no frame of the flow left the host');
  const segments = /gso_max_segs (\d+)/.exec(a.ip('-d', 'link', 'show', 'eth0'))?.[1];
  t.equal(segments, '44', 'the interface itself makes super-frames that fit one send');

  const received = rxPackets(a);
  const heard = rxPackets(c);
  await a.exec(['ping', '-n', '-c', '2', '-i', '0.2', '-W', '1', '10.42.200.200']);
  t.equal(rxPackets(a), received, 'its own broadcasts do not come back');
  t.ok(rxPackets(c) > heard, 'but reach the others');
  t.ok(((await dataplane.counters()).counters['to-tunnel'] ?? 0) > (after['to-tunnel'] ?? 0), 'and the peer');
  await checkBalance(t, dataplane);
  t.equal(await dataplane.stop(true), 0);
});

netnsTest('4 a bound port speaks in no other name, whatever its container does', ['ping'], async (t) => {
  const { host, dataplane } = await open(t, ONE);
  const mac = 0x02_42_0a_2a_01_01;
  const binding = { mac, ips: [`10.42.${host.number}.1`, `fd42::${host.number}:1`] };
  await dataplane.openPort(1, { binding });
  const a = moveIn(host, 'ov1', 1);
  const b = await addEndpoint(host, dataplane, 2);
  t.equal(a.mac, '02:42:0a:2a:01:01', 'the interface has the MAC from the start');
  t.match(await ping(a, b), ' 3 received');
  t.match(await ping(b, a), ' 3 received');
  const pinged = (await a.exec(['ping', '-6', '-n', '-c', '1', '-W', '2', b.ipv6])).stdout;
  t.match(pinged, ' 1 received');
  const dropped = async (reason: string): Promise<number> => (await dataplane.counters()).drops[reason] ?? 0;
  for (const reason of ['guard-mac', 'guard-ip', 'guard-ra', 'guard-dhcp', 'arp-mismatch']) {
    t.equal(await dropped(reason), 0, `an honest container meets no ${reason}`);
  }

  const stolen = `10.42.${host.number}.99`;
  a.ip('addr', 'add', `${stolen}/16`, 'dev', 'eth0');
  t.match((await a.exec(['ping', '-n', '-c', '1', '-W', '1', '-I', stolen, b.ipv4])).stdout, ' 0 received');
  t.ok((await dropped('guard-ip')) > 0);
  await dataplane.call({ call: 'bind', port: 1, binding: { mac, ips: [...binding.ips, stolen] } });
  t.match((await a.exec(['ping', '-n', '-c', '1', '-W', '1', '-I', stolen, b.ipv4])).stdout, ' 1 received');

  a.ip('link', 'set', 'eth0', 'address', '02:42:0a:2a:01:63');
  t.match(await ping(a, b, 1), ' 0 received');
  t.ok((await dropped('guard-mac')) > 0);
  await dataplane.call({ call: 'poison' });
  b.ip('neigh', 'flush', 'all');
  await ping(b, a, 1);
  await until('the worker was replaced', 15_000, async () => {
    return ((await dataplane.counters()).counters['worker-restarts'] ?? 0) > 0;
  });
  t.match(await ping(a, b, 1), ' 0 received', 'a new worker knows the binding');
  await dataplane.call({ call: 'bind', port: 1 });
  b.ip('neigh', 'flush', 'all'); // it knows the first MAC
  t.match(await ping(a, b), ' 3 received', 'and so it does when it ends');

  const ips = Array.from({ length: 9 }, (_, i) => `10.42.9.${i}`);
  await t.rejects(dataplane.openPort(7, { binding: { mac, ips } }), {
    code: 'OVL_BINDING',
    hint: /At most 8/,
  });
  await t.rejects(dataplane.openPort(7, { binding: { mac: 2 ** 40, ips: [] } }), { code: 'OVL_BINDING' });
  await t.rejects(dataplane.openPort(7, { binding: { mac, ips: ['10.42.0.0/16'] } }), {
    code: 'OVL_ADDRESS',
  });
  t.notOk(host.ip('link').includes('ov7'));
  await checkBalance(t, dataplane);
  t.equal(await dataplane.stop(true), 0);
});
