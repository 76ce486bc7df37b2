/** Taken ports, busy TAPs, missing rights: what a person is told (contract.md; checklist T3), and nothing left behind. */
import type { Test } from 'tap';
import { Testbed } from '../../agent/demo/testbed.ts';
import type { Host } from '../../agent/demo/hosts.ts';
import { DATA_PORT, DataplaneHost, settledBalance } from './dataplane-host.ts';
import { netnsTest } from './guard.ts';

const SPARE_TAP = {
  network: 0,
  port: 0,
  name: 'tap9',
  mtu: 1450,
  macQuota: 16,
  persist: true,
  reflect: true,
};

function newHost(t: Test): Host {
  const testbed = new Testbed();
  t.teardown(() => testbed.close());
  return testbed.addHost();
}

function links(host: Host): string[] {
  return [...host.ip('-o', 'link').matchAll(/^\d+: ([^:@]+)/gm)].map((match) => match[1] ?? '');
}

for (const io of ['batch', 'dgram'] as const) {
  netnsTest(`a second data plane is refused, ${io}`, [], async (t) => {
    const host = newHost(t);
    const first = new DataplaneHost(host);
    await first.open({ io });
    const holder = new RegExp(`node.* \\(pid ${first.pid}\\)`);
    const second = new DataplaneHost(host);
    await t.rejects(second.open({ io }), { code: 'OVL_TAP_BUSY', message: holder });
    await t.rejects(second.open({ io, taps: [SPARE_TAP] }), { code: 'OVL_PORT_TAKEN', message: holder });
    t.strictSame(links(host), ['lo', 'eth0', 'tap0'], 'the TAP made on the way is gone again');
    await t.rejects(second.open({ io, workers: 2, taps: [] }), { code: 'OVL_PORT_TAKEN' });
    await t.rejects(second.open({ io, workers: 2 }), {
      code: 'OVL_TAP_MODE',
      message: /tap0 exists with one queue/,
    });
    t.equal(await first.stop(true), 0, 'the first was not disturbed and ends by itself');
    t.match(
      (await second.open({ io })).taps,
      [{ name: 'tap0', existed: false }],
      'the port and the name are free again',
    );
    t.equal(await second.stop(true), 0);
  });
}

for (const io of ['batch', 'dgram'] as const) {
  netnsTest(`a frame that no peer can be sent is lost once, ${io}`, ['ping'], async (t) => {
    const host = newHost(t);
    const dataplane = new DataplaneHost(host);
    await dataplane.open({ io });
    host.ip('route', 'add', 'unreachable', '192.0.2.0/24');
    await dataplane.join(['192.0.2.1', '192.0.2.2', '192.0.2.3']);
    host.ip('addr', 'add', '10.42.0.1/16', 'dev', 'tap0');
    await host.exec(['ping', '-n', '-c', '2', '-i', '0.2', '-w', '1', '10.42.0.9']);
    host.ip('link', 'set', 'tap0', 'down');
    const { in: taken, out } = await settledBalance(dataplane);
    t.equal(taken, out);
    const { counters, drops } = await dataplane.counters();
    t.ok((counters['from-tap'] ?? 0) > 0, 'there were broadcasts');
    t.match(counters, { sent: 0, 'to-tunnel': 0 });
    const lost = Object.values(drops).reduce((sum, count) => sum + count, 0);
    t.equal(lost, counters['from-tap']);
    t.ok((drops['send-failed'] ?? 0) > 0);
    t.equal(await dataplane.stop(true), 0);
  });
}

netnsTest('a port that the kernel holds', [], async (t) => {
  const host = newHost(t);
  host.ip('link', 'add', 'vx0', 'type', 'vxlan', 'id', '9', 'dstport', `${DATA_PORT}`, 'local', host.ipv4);
  host.ip('link', 'set', 'vx0', 'up');
  const dataplane = new DataplaneHost(host);
  await t.rejects(dataplane.open(), { code: 'OVL_PORT_TAKEN', message: /kernel itself/, hint: /vxlan/ });
  await dataplane.kill();
});

netnsTest('a name that is no TAP, an MTU out of range, an address of another host', [], async (t) => {
  const host = newHost(t);
  const dataplane = new DataplaneHost(host);
  await t.rejects(dataplane.open({ taps: [{ ...SPARE_TAP, name: 'eth0' }] }), {
    code: 'OVL_TAP_MODE',
    message: /no TAP/,
  });
  await t.rejects(dataplane.open({ mtu: 70_000 }), { code: 'OVL_LINK', message: /MTU of tap0 to 70000/ });
  await t.rejects(dataplane.open({ dataPathAddr: '192.0.2.1' }), { code: 'OVL_ADDRESS_UNAVAILABLE' });
  t.strictSame(links(host), ['lo', 'eth0']);
  await dataplane.kill();
});

netnsTest('without CAP_NET_ADMIN', [], async (t) => {
  const host = newHost(t);
  const prefix = ['setpriv', '--bounding-set', '-net_admin', '--inh-caps', '-net_admin', '--'];
  const dataplane = new DataplaneHost(host, prefix);
  await t.rejects(dataplane.open(), {
    code: 'OVL_CAPABILITY',
    message: /lacks CAP_NET_ADMIN/,
    hint: /--cap-add NET_ADMIN/,
  });
  await dataplane.kill();
});

netnsTest('without /dev/net/tun', [], async (t) => {
  const host = newHost(t);
  const hide = [
    'unshare',
    '-m',
    '--propagation',
    'slave',
    '--',
    'sh',
    '-c',
    'mount -t tmpfs none /dev/net && exec "$@"',
    'sh',
  ];
  const dataplane = new DataplaneHost(host, hide);
  await t.rejects(dataplane.open(), {
    code: 'OVL_TUN_MISSING',
    hint: /modprobe tun.*--device \/dev\/net\/tun/,
  });
  await dataplane.kill();
});

netnsTest('a TAP that stayed is taken over with another MTU', [], async (t) => {
  const host = newHost(t);
  const first = new DataplaneHost(host);
  t.match((await first.open({ workers: 2 })).taps, [{ existed: false, mtu: 1450 }]);
  await first.stop();
  const second = new DataplaneHost(host);
  const opened = await second.open({ workers: 2, mtu: 1400 });
  t.match(opened.taps, [{ existed: true, mtu: 1400 }]);
  t.strictSame(opened.notes, ['tap0: MTU changed from 1450 to 1400']);
  t.match(host.ip('link', 'show', 'tap0'), 'mtu 1400');
  await second.stop(true);
  t.strictSame(links(host), ['lo', 'eth0']);
});
