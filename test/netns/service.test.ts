/** The daemon as a service manager runs it: told of, reloaded, with CAP_NET_ADMIN and nothing else (issue 5.7). */
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tap from 'tap';
import type { Daemon } from '../../agent/demo/daemon.ts';
import type { Container, Host } from '../../agent/demo/hosts.ts';
import { until } from '../../agent/demo/process.ts';
import type { KeyringEntry, NetworkDetail } from '../../agent/status.ts';
import { UnixReceiver } from '../agent/unix-receiver.ts';
import { allLearnt, startCluster, testbedFor, unreachable } from './cluster.ts';
import { netnsTest } from './guard.ts';

tap.setTimeout(600_000);

const NET_ADMIN = 1n << 12n;
const newKey = (): string => randomBytes(32).toString('base64');

netnsTest(
  '0.5, 5.7 with CAP_NET_ADMIN and no more: an encrypted cluster runs',
  ['ping', 'setpriv'],
  async (t) => {
    const key = newKey();
    const argsOf = (host: Host): string[] => {
      const keyring = join(host.scratch, 'keyring');
      writeFileSync(keyring, `${key}\n`, { mode: 0o600 });
      return [
        '--keyring',
        keyring,
        '--network',
        'name=overlay,vni=4096,subnet=10.42.0.0/16,tap=tap0,encrypted',
      ];
    };
    const wrapper = ['setpriv', '--bounding-set=-all,+net_admin', '--inh-caps=-all', '--no-new-privs', '--'];
    const { testbed, daemons } = await startCluster(t, { hosts: 2, argsOf, wrapper });
    for (const {
      process: { pid },
    } of daemons) {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      for (const set of ['CapEff', 'CapPrm', 'CapBnd'])
        t.equal(BigInt(`0x${new RegExp(`^${set}:\\s*(\\w+)`, 'm').exec(status)?.[1]}`), NET_ADMIN, set);
    }
    const [a, b] = testbed.hosts.map((host) => host.addContainer()) as [Container, Container];
    await until('sessions stand', 20_000, async () =>
      (await Promise.all(daemons.map((daemon) => daemon.peers()))).flat().every(({ sealed }) => sealed),
    );
    await allLearnt(daemons, [a, b]);
    t.strictSame(await unreachable([a, b]), []);
    t.match((await daemons[0]?.status())?.io, 'batch');
  },
);

netnsTest('5.7 the manager is told: ready, watchdog, reloading, stopping', [], async (t) => {
  const { testbed, daemons } = testbedFor(t);
  const host = testbed.addHost();
  const name = join(host.scratch, 'notify');
  const receiver = new UnixReceiver(name);
  t.teardown(() => receiver.close());
  const wrapper = ['env', `NOTIFY_SOCKET=${name}`, 'WATCHDOG_USEC=2000000'];
  const config = join(host.scratch, 'overlayd.yaml');
  writeFileSync(config, '');
  const daemon = host.startDaemon({ wrapper, args: ['--config', config] });
  daemons.push(daemon);
  const heard: string[] = [];
  const hears = (what: RegExp): Promise<unknown> =>
    until(`the manager hears ${what}`, 30_000, () => {
      heard.push(...receiver.take());
      return heard.some((message) => what.test(message));
    });
  await hears(/^READY=1\nSTATUS=h1 is up$/);
  t.strictSame(
    heard
      .slice(
        0,
        heard.findIndex((message) => message.startsWith('READY')),
      )
      .filter((message) => message.startsWith('WATCHDOG')),
    [],
    'not before it is ready',
  );
  await daemon.ready();
  await hears(/^WATCHDOG=1$/);
  heard.length = 0;
  process.kill(daemon.process.pid, 'SIGHUP');
  await hears(/^READY=1\nSTATUS=reloaded: nothing changed$/);
  const order = heard.filter((message) => !message.startsWith('WATCHDOG'));
  t.match(order[0], /^RELOADING=1\nMONOTONIC_USEC=\d+$/);
  // A process that does not run feeds no watchdog.
  process.kill(daemon.process.pid, 'SIGSTOP');
  await new Promise((resolve) => setTimeout(resolve, 300));
  receiver.take();
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  t.strictSame(receiver.take(), []);
  process.kill(daemon.process.pid, 'SIGCONT');
  heard.length = 0;
  await hears(/^WATCHDOG=1$/);
  writeFileSync(config, 'metric-addr: none\n');
  process.kill(daemon.process.pid, 'SIGHUP');
  await hears(
    /^READY=1\nSTATUS=reload refused; everything stays as it was: .*unknown key "metric-addr".*\(OVL_CONFIG_INVALID\)$/,
  );
  await daemon.stop();
  heard.push(...receiver.take());
  t.equal(heard.filter((message) => !message.startsWith('WATCHDOG')).at(-1), 'STOPPING=1');
  t.match(host.ip('link', 'show', 'tap0'), /tap0/, 'T5: the TAP stays');
});

netnsTest('5.7 SIGHUP: what may change is taken over, a refused reload changes nothing', [], async (t) => {
  const { testbed, daemons } = testbedFor(t);
  const [host, other] = [testbed.addHost(), testbed.addHost()];
  const keyring = join(host.scratch, 'keyring');
  const [key, second] = [newKey(), newKey()];
  writeFileSync(keyring, `${key}\n`, { mode: 0o600 });
  const config = join(host.scratch, 'overlayd.yaml');
  const write = (more: Record<string, unknown>): void => {
    const base = { keyring, networks: ['name=overlay,vni=4096,subnet=10.42.0.0/16,tap=tap0'] };
    writeFileSync(config, JSON.stringify({ ...base, ...more }));
  };
  write({ 'log-format': 'json' });
  const daemon = host.startDaemon({ args: ['--config', config], metrics: 'of the file' });
  daemons.push(daemon);
  await daemon.ready();
  const reload = async (said: RegExp): Promise<void> => {
    const before = daemon.log().length;
    process.kill(daemon.process.pid, 'SIGHUP');
    await until(`the log says ${said}`, 20_000, () => said.test(daemon.log().slice(before)));
  };
  const metricsAt = async (port: number): Promise<boolean> => {
    const script = `fetch('http://127.0.0.1:${port}/readyz').then(() => process.exit(0), () => process.exit(1))`;
    return (await host.exec([process.execPath, '-e', script])).status === 0;
  };
  const staticPeers = async (): Promise<string[]> =>
    (await daemon.json<NetworkDetail>('networks', 'inspect', 'overlay')).staticPeers.map(({ ip }) => ip);
  t.ok(await metricsAt(9472));

  // Everything that may change, at once. The other host is found by its new seed.
  const peer = other.startDaemon({ join: [], args: ['--keyring', keyring] });
  daemons.push(peer);
  await until(
    'the other is up',
    30_000,
    async () => (await peer.status().catch(() => undefined)) !== undefined,
  );
  writeFileSync(keyring, `${key}\n${second}\n`, { mode: 0o600 });
  write({
    join: [other.ipv4],
    'static-peers': [`${testbed.addHost().ipv4},network=overlay`],
    'log-level': 'debug',
    'log-format': 'text',
    'metrics-addr': '127.0.0.1:9999',
    'rekey-interval': '1h',
    'gossip-rekey-interval': '20m',
    'remove-taps-on-exit': true,
  });
  await reload(
    /info {2}"?reloaded: join, gossip-rekey-interval, rekey-interval, static-peers, metrics-addr, log-level, log-format, remove-taps-on-exit/,
  );
  t.ok((await metricsAt(9999)) && !(await metricsAt(9472)), 'metrics have moved');
  t.strictSame(await staticPeers(), ['10.77.0.3']);
  await daemon.ready(1);
  await until('the new key is everywhere', 20_000, async () =>
    (
      await Promise.all([daemon, peer].map((each: Daemon) => each.json<KeyringEntry[]>('keyring', 'ls')))
    ).every((keys) => keys.length === 2 && keys.every(({ missing }) => missing.length === 0)),
  );

  // One thing cannot be had: nothing is taken over.
  const script = `require('net').createServer().listen(9998, '127.0.0.1', () => console.log('bound'))`;
  const holder = host.spawn([process.execPath, '-e', script]);
  await until('a port is taken', 10_000, () => holder.log().includes('bound'));
  write({ 'metrics-addr': '127.0.0.1:9998', 'static-peers': [], 'log-format': 'json' });
  await reload(
    /error reload refused; everything stays as it was.*9998 on 127\.0\.0\.1 \(metrics\) is taken by node/,
  );
  t.ok(await metricsAt(9999));
  t.strictSame(await staticPeers(), ['10.77.0.3']);
  write({ 'gossip-port': 7947, 'log-format': 'json' });
  await reload(/reload refused: [^"]*gossip-port[^"]* changed/);
  write({ 'metric-addr': 'none' });
  await reload(/unknown key \\"metric-addr\\"/);
  writeFileSync(keyring, `${key}\n${second}\n!!!\n`, { mode: 0o600 });
  write({ join: [other.ipv4], 'metrics-addr': 'none' });
  await reload(/keyring:3: this is no base64/);
  t.ok(await metricsAt(9999), 'the listener that was there is still there');
  t.strictSame(await staticPeers(), ['10.77.0.3']);
  // Asked for by the reload: the TAP goes with the daemon.
  await daemon.stop();
  t.notMatch(host.ip('link'), /tap0/);
});
