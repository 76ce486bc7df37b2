/**
 * Encrypted networks between real daemons: everything goes sealed, nothing goes or comes in clear, from the first frame
 * on (checklist 2.10 to 2.14, 3.4 to 3.9; GHSA-vwm3-crmr-xfxw, CVE-2026-92542).
 */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import type { Daemon } from '../../agent/demo/daemon.ts';
import type { Container, Host } from '../../agent/demo/hosts.ts';
import { until } from '../../agent/demo/process.ts';
import { CAPTURE_PROGRAMS, Capture } from './capture.ts';
import { allKnown, allLearnt, startCluster, testbedFor, unreachable } from './cluster.ts';
import { netnsTest } from './guard.ts';

const HOSTILE = fileURLToPath(new URL('hostile-child.js', import.meta.url));
const VNI = 4096;
const SPEC = `name=overlay,vni=${VNI},subnet=10.42.0.0/16,tap=tap0`;
const KEY = randomBytes(32).toString('base64');
const SEALED = '04000000';
/** And keepalives; 06 and 07 ask what the path takes, 10 and 11 whether the port is open: they carry nothing. */
const HANDSHAKES = ['01', '02', '03', '05', '06', '07', '10', '11'];

/** Arguments for a host; `key` is what its keyring holds. */
function sealed(host: Host, key = KEY): string[] {
  const keyring = join(host.scratch, 'keyring');
  writeFileSync(keyring, `${key}\n`, { mode: 0o600 });
  return ['--keyring', keyring, '--network', `${SPEC},encrypted`];
}

async function allSealed(daemons: readonly Daemon[]): Promise<void> {
  for (const daemon of daemons) {
    await until(`${daemon.host.name} has a session with every other`, 20_000, async () => {
      const peers = await daemon.peers();
      return peers.length === daemons.length - 1 && peers.every((peer) => peer.sealed);
    });
  }
}

async function hostile(t: Test, host: Host, ...args: string[]): Promise<void> {
  const done = await host.exec([process.execPath, HOSTILE, ...args]);
  t.equal(done.status, 0, `${args.join(' ')}: ${done.stderr}`);
}

async function drops(daemon: Daemon, reason: string): Promise<number> {
  return (await daemon.status()).drops[reason] ?? 0;
}

/** Pings for `seconds` while `work` runs; returns how many went unanswered. */
async function lostDuring(
  from: Container,
  to: Container,
  seconds: number,
  work: () => Promise<void>,
): Promise<{ sent: number; lost: number }> {
  const count = seconds * 50;
  const ping = from.exec(['ping', '-n', '-q', '-i', '0.02', '-c', `${count}`, '-W', '2', to.ipv4]);
  await work();
  const { stdout } = await ping;
  const [, sent = '0', received = '0'] = /(\d+) packets transmitted, (\d+) received/.exec(stdout) ?? [];
  return { sent: Number(sent), lost: Number(sent) - Number(received) };
}

netnsTest(
  'three hosts: all traffic is sealed, from the start of the daemons on',
  ['ping', ...CAPTURE_PROGRAMS],
  async (t) => {
    const { testbed, daemons } = testbedFor(t);
    for (let i = 0; i < 3; i++) testbed.addHost();
    const captures = await Promise.all(testbed.hosts.map((host) => Capture.start(host)));
    for (const host of testbed.hosts) daemons.push(host.startDaemon({ args: sealed(host) }));
    await Promise.all(daemons.map((daemon) => daemon.ready()));
    // The containers speak before any session can stand.
    const containers = testbed.hosts.map((host) => host.addContainer());
    const early = containers.map((c, i) =>
      c.exec(['ping', '-n', '-c20', '-i0.2', '-W1', containers[(i + 1) % 3]?.ipv4 ?? '']),
    );
    await Promise.all(daemons.map((daemon) => allKnown(daemon, 3)));
    await allSealed(daemons);
    await allLearnt(daemons, containers);
    await Promise.all(early);
    t.strictSame(await unreachable(containers), []);
    t.equal((await daemons[0]?.status())?.networks[0]?.mtu, 1418);
    for (const size of ['1390', '600']) {
      const done = await containers[0]?.exec([
        'ping',
        '-n',
        '-c2',
        '-W2',
        '-M',
        'do',
        '-s',
        size,
        containers[1]?.ipv4 ?? '',
      ]);
      t.equal(done?.status, 0, `${size} bytes with DF`);
    }
    const payloads = (await Promise.all(captures.map((capture) => capture.payloads()))).flat();
    const data = payloads.filter((payload) => payload.startsWith(SEALED));
    t.ok(data.length > 50, `${data.length} sealed datagrams`);
    t.strictSame(
      payloads.filter((payload) => !payload.startsWith(SEALED) && !HANDSHAKES.includes(payload.slice(0, 2))),
      [],
      'nothing else on the data port, ever',
    );
    const macs = containers.map(({ mac }) => mac.replaceAll(':', ''));
    t.notOk(
      payloads.some((payload) => macs.some((mac) => payload.includes(mac))),
      'no MAC can be read',
    );
  },
);

netnsTest(
  'clear and forged datagrams do not get in, also from members and from the host itself',
  ['ping'],
  async (t) => {
    const { testbed, daemons } = await startCluster(t, { hosts: 2, argsOf: (host) => sealed(host) });
    const [a, b] = testbed.hosts as [Host, Host];
    const [first, second] = daemons as [Daemon, Daemon];
    const containers = [a.addContainer(), b.addContainer()];
    await allSealed(daemons);
    await allLearnt(daemons, containers);
    t.strictSame(await unreachable(containers), []);
    const before = (await first.status()).frames.toTap;
    await hostile(t, b, 'datagrams', a.ipv4, `valid:${VNI}`, '500');
    await until('they are counted', 10_000, async () => (await drops(first, 'clear-refused')) >= 500);
    // CVE-2026-92542: a process without rights on the host itself.
    const unprivileged = ['setpriv', '--reuid=65534', '--clear-groups', '--'];
    const local = await a.exec([
      ...unprivileged,
      process.execPath,
      HOSTILE,
      'datagrams',
      a.ipv4,
      `valid:${VNI}`,
      '100',
    ]);
    t.equal(local.status, 0, local.stderr);
    await until('they are counted too', 10_000, async () => (await drops(first, 'not-a-member')) >= 100);
    t.ok((await first.status()).frames.toTap - before < 100, 'nothing of it reached the TAP');
    t.equal(await drops(second, 'clear-refused'), 0);
    t.strictSame(await unreachable(containers), [], 'and traffic goes on');
  },
);

netnsTest('keys are replaced under traffic, and no packet is lost to it', ['ping'], async (t) => {
  const argsOf = (host: Host): string[] => [...sealed(host), '--rekey-interval', '1s'];
  const { testbed, daemons } = await startCluster(t, { hosts: 2, argsOf });
  const [a, b] = testbed.hosts.map((host) => host.addContainer()) as [Container, Container];
  await allSealed(daemons);
  await allLearnt(daemons, [a, b]);
  const rekeys = async (): Promise<number> => (await daemons[0]?.peers())?.[0]?.session?.rekeys ?? 0;
  const { sent, lost } = await lostDuring(a, b, 12, () =>
    until('ten sessions follow each other', 30_000, async () => (await rekeys()) >= 10).then(() => undefined),
  );
  t.ok(sent >= 600);
  t.equal(lost, 0, `of ${sent}`);
});

for (const { mtu, underlay, inner } of [
  { mtu: 1450, underlay: 'ipv4', inner: 1368 },
  { mtu: 1400, underlay: 'ipv6', inner: 1298 },
  { mtu: 9000, underlay: 'ipv4', inner: 8918 },
] as const) {
  netnsTest(
    `an underlay of ${mtu} bytes, ${underlay}: full packets pass, longer ones are refused at home`,
    ['ping'],
    async (t) => {
      const { testbed, daemons } = await startCluster(t, {
        hosts: 2,
        mtu,
        underlay,
        argsOf: (host) => sealed(host),
      });
      const [a, b] = testbed.hosts.map((host) => host.addContainer()) as [Container, Container];
      await allSealed(daemons);
      await allLearnt(daemons, [a, b]);
      t.equal((await daemons[0]?.status())?.networks[0]?.mtu, inner, 'and that is the MTU of the TAP');
      const ping = (size: number) =>
        a.exec(['ping', '-n', '-c3', '-i0.2', '-w5', '-M', 'do', '-s', `${size}`, b.ipv4]);
      t.match((await ping(inner - 28)).stdout, ' 3 received');
      t.match((await ping(inner - 27)).stderr, /too long/);
    },
  );
}

netnsTest('a host that dies and comes back is sealed again', ['ping'], async (t) => {
  const { testbed, daemons } = await startCluster(t, { hosts: 2, argsOf: (host) => sealed(host) });
  const [a, b] = testbed.hosts as [Host, Host];
  const containers = [a.addContainer(), b.addContainer()];
  await allSealed(daemons);
  await allLearnt(daemons, containers);
  await daemons[1]?.stop('SIGKILL');
  daemons[1] = b.startDaemon({ args: sealed(b) });
  await allKnown(daemons[1], 2);
  await until('both directions work', 20_000, async () => (await unreachable(containers)).length === 0);
  await allSealed(daemons);
});

netnsTest('one host encrypted, the other not: an error on both, and no traffic', ['ping'], async (t) => {
  const argsOf = (host: Host): string[] => {
    const args = sealed(host);
    return host.number === 1 ? args : [...args.slice(0, 2), '--network', SPEC];
  };
  const { testbed, daemons } = await startCluster(t, { hosts: 2, argsOf });
  const containers = testbed.hosts.map((host) => host.addContainer());
  t.equal((await unreachable(containers)).length, 4, 'neither way');
  for (const daemon of daemons) {
    await until(`${daemon.host.name} says so`, 10_000, () => /"overlay".*encrypt/.test(daemon.log()));
  }
  const [encrypted] = daemons as [Daemon];
  t.ok((await drops(encrypted, 'clear-refused')) > 0, 'what the other sent in clear was refused');
});
