/** TAPs in containers over kill -9 with CAP_NET_ADMIN alone: the service manager holds their descriptors. */
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Container, Host } from '../../agent/demo/hosts.ts';
import { Testbed } from '../../agent/demo/testbed.ts';
import { FakeManager } from '../agent/fake-manager.ts';
import { DataplaneHost, settledBalance } from './dataplane-host.ts';
import { addEndpoint, moveIn, netnsPath } from './endpoints.ts';
import { netnsTest } from './guard.ts';

interface Setting {
  readonly io: 'batch' | 'dgram';
  readonly workers: number;
}

const SETTINGS: readonly Setting[] = [
  { io: 'batch', workers: 1 },
  { io: 'batch', workers: 2 },
  { io: 'dgram', workers: 1 },
];
const NET_ADMIN_ALONE = [
  'setpriv',
  '--bounding-set=-all,+net_admin',
  '--inh-caps=-all',
  '--no-new-privs',
  '--',
];

function begin(t: Test): { host: Host; manager: FakeManager } {
  const testbed = new Testbed();
  const host = testbed.addHost();
  const manager = new FakeManager(join(host.scratch, 'notify'));
  t.teardown(() => testbed.close());
  t.teardown(() => manager.close());
  return { host, manager };
}

async function open(host: Host, manager: FakeManager, setting: Setting): Promise<DataplaneHost> {
  const dataplane = new DataplaneHost(host, NET_ADMIN_ALONE, manager);
  await dataplane.open({ ...setting, taps: [] });
  await dataplane.join([]);
  return dataplane;
}

async function ping(from: Container, to: Container): Promise<string> {
  return (await from.exec(['ping', '-n', '-c', '3', '-i', '0.2', '-w', '5', to.ipv4])).stdout;
}

for (const setting of SETTINGS) {
  const name = `${setting.io}, ${setting.workers} worker(s)`;
  netnsTest(`3.14 kill -9 with CAP_NET_ADMIN alone: ${name}`, ['ping', 'setpriv'], async (t) => {
    const { host, manager } = begin(t);
    const first = await open(host, manager, setting);
    const [a, b] = [await addEndpoint(host, first, 1), await addEndpoint(host, first, 2)];
    t.match(await ping(a, b), ' 3 received');
    const queues = Array.from({ length: setting.workers });
    t.strictSame(
      manager.stored,
      ['ov1', 'ov2'].flatMap((tap) => queues.map(() => tap)),
    );
    await t.rejects(
      first.call({ call: 'mtu', port: 2, mtu: 1399 }),
      { code: 'OVL_CAPABILITY', message: /CAP_SYS_ADMIN/ },
      'another namespace: only its descriptor is in reach',
    );
    await first.kill();
    t.notMatch(a.ip('link', 'show', 'eth0'), 'NO-CARRIER', 'the carrier stays');
    // More than its queue holds, to be thrown away.
    a.ip('neigh', 'replace', b.ipv4, 'lladdr', b.mac, 'dev', 'eth0', 'nud', 'permanent');
    await a.exec(['ping', '-n', '-q', '-l', '3000', '-c', '3000', '-W', '1', b.ipv4]);

    const next = await open(host, manager, setting);
    t.equal((await next.openPort(1)).existed, true);
    const there = await next.openPort(2, { mtu: 1399 });
    t.match(there, { name: 'eth0', mtu: 1450, existed: true }, 'whatever it is called there');
    const notes = (await next.call({ call: 'notes' })) as string[];
    t.match(notes.at(-1), /^ov2: MTU stays 1450 instead of 1399 until its container is restarted/);
    const { counters } = await next.counters();
    t.ok((counters['from-tap'] ?? NaN) < 100, `what is stale is gone: ${counters['from-tap']} frames came`);
    t.match(await ping(a, b), ' 3 received');
    t.match(await ping(b, a), ' 3 received');
    const { in: taken, out } = await settledBalance(next);
    t.equal(taken, out);
    t.notMatch(host.ip('link'), /ov[12]/, 'nothing was made on the host');

    await next.closePort(1);
    t.strictSame([...new Set(manager.stored)], ['ov2'], 'a TAP that goes is not held');
    t.throws(() => a.ip('link', 'show', 'eth0'), 'nor is it there');
    t.equal(await next.stop(false), 0);
    t.strictSame([...new Set(manager.stored)], ['ov2'], 'one that stays is');
    const last = await open(host, manager, setting);
    await last.openPort(2);
    t.equal(await last.stop(true), 0);
    t.strictSame(manager.stored, []);
    t.throws(() => b.ip('link', 'show', 'eth0'));
  });
}

netnsTest('3.14 what is held and of no use is let go', ['setpriv'], async (t) => {
  const { host, manager } = begin(t);
  const first = await open(host, manager, { io: 'batch', workers: 1 });
  const b = await addEndpoint(host, first, 2);
  await addEndpoint(host, first, 1);
  await first.openPort(3);
  await first.kill();
  b.ip('link', 'delete', 'eth0');
  t.strictSame(manager.stored, ['ov2', 'ov1', 'ov3']);

  const next = await open(host, manager, { io: 'batch', workers: 2 });
  const made = await next.openPort(2);
  t.match(made, { name: 'ov2', existed: false }, 'its interface is gone: made anew, on the host');
  await t.rejects(next.openPort(3), { code: 'OVL_TAP_MODE' }, 'it has one queue');
  t.strictSame(manager.stored, ['ov1', 'ov2', 'ov2']);
  t.equal(await next.stop(true), 0);
  t.strictSame(manager.stored, ['ov1'], 'nobody has asked for it');
});

netnsTest('3.14 where namespaces can be entered, an MTU reaches a held TAP', [], async (t) => {
  const { host, manager } = begin(t);
  const setting = { io: 'batch', workers: 1, taps: [] } as const;
  const first = new DataplaneHost(host, [], manager);
  await first.open(setting);
  const { name } = await first.openPort(1);
  const a = moveIn(host, name, 1);
  await first.kill();
  const next = new DataplaneHost(host, [], manager);
  await next.open(setting);
  const there = await next.openPort(1, { mtu: 1399, netns: netnsPath(a) });
  t.match(there, { name: 'eth0', mtu: 1399, existed: true });
  t.match(a.ip('link', 'show', 'eth0'), 'mtu 1399');
  await next.call({ call: 'mtu', port: 1, mtu: 1380 });
  t.match(a.ip('link', 'show', 'eth0'), 'mtu 1380');
  t.equal(await next.stop(true), 0);
});

netnsTest('3.14 that nobody holds a descriptor is said when its TAP is made', [], async (t) => {
  const { host, manager } = begin(t);
  const dataplane = new DataplaneHost(host, [], manager);
  await dataplane.open({ taps: [] });
  manager.close();
  t.match(await dataplane.openPort(1), { name: 'ov1', existed: false });
  t.match(await dataplane.call({ call: 'notes' }), [
    /^ov1: the service manager could not be given its descriptor/,
  ]);
  t.equal(await dataplane.stop(true), 0);
});
