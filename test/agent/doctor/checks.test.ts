/** What the doctor finds in the daemon, its files and its peers; each finding has a cure. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import tap from 'tap';
import type { Test } from 'tap';
import { checkKeyringFile, checkStateDir } from '../../../agent/doctor/file-checks.ts';
import { degraded, sorted } from '../../../agent/doctor/finding.ts';
import type { Finding } from '../../../agent/doctor/finding.ts';
import { checkMtu, checkPathMtus } from '../../../agent/doctor/mtu-checks.ts';
import { checkDefinitions, checkDuplicates, checkKeys } from '../../../agent/doctor/network-checks.ts';
import { checkPeers } from '../../../agent/doctor/peer-checks.ts';
import type { PeerFacts } from '../../../agent/doctor/peer-checks.ts';
import { checkPortsFree, checkSeeds } from '../../../agent/doctor/port-checks.ts';
import { checkLimits, checkOffloads, checkRights, checkTun } from '../../../agent/doctor/process-checks.ts';
import type { Peer } from '../../../agent/status.ts';
import type { EchoStatus } from '../../../proto/tunnel/echo.ts';

const PEER: Peer = { name: 'b', addr: '192.0.2.2', state: 'alive', sealed: false, networks: ['blue'] };
const ECHO: EchoStatus = {
  peer: 'b',
  addr: { ip: '198.51.100.2', port: 4789 },
  state: 'open',
  rttMs: 1,
  clockAheadMs: 0,
  heardMs: 10,
};
const FACTS: PeerFacts = {
  peers: [PEER],
  echoes: [ECHO],
  tcpOnly: [],
  encrypted: new Set(),
  gossipPort: 7946,
  dataPort: 4789,
  expectsPeers: true,
};

/** One finding, with a cure. */
function only(t: Test, findings: readonly Finding[], wanted: object): void {
  t.match(findings, [wanted]);
  t.equal(findings.length, 1);
  t.ok((findings[0]?.cure ?? '').length > 10, 'and a cure');
}

void tap.test('rights: the missing one by name', async (t) => {
  t.strictSame(
    checkRights([4789], () => true),
    [],
  );
  only(
    t,
    checkRights([4789], () => false),
    { check: 'rights', severity: 'error', what: /CAP_NET_ADMIN/ },
  );
  t.match(checkRights([53], () => false)[1], { what: /CAP_NET_BIND_SERVICE.*port 53/ });
});

void tap.test('a worthless identity: the file by its name, and not the one beside it', async (t) => {
  const session = { state: 'idle', rekeys: 0, error: 'unusable identity' } as const;
  const facts = { ...FACTS, peers: [{ ...PEER, session }], encrypted: new Set(['blue']) };
  t.match(
    checkPeers(facts)
      .map(({ cure }) => cure)
      .join(),
    /file "identity" \(not identities\.json\)/,
  );
});

void tap.test('/dev/net/tun, limits, kernel', async (t) => {
  only(t, checkTun('/nowhere/tun'), {
    severity: 'error',
    what: /\/nowhere\/tun is missing/,
    cure: /modprobe tun/,
  });
  t.strictSame(checkTun('/dev/null'), []);
  const limits = (soft: number): string =>
    `Max open files            ${soft}                1048576              files\n`;
  only(t, checkLimits(limits(1024)), { severity: 'warn', what: /1024 files/, cure: /LimitNOFILE/ });
  t.strictSame(checkLimits(limits(65_536)), []);
  t.strictSame(checkOffloads('batch (FFI, TSO, USO, GRO)', '6.18'), []);
  only(t, checkOffloads('batch (FFI, TSO, GRO)', '6.1'), {
    severity: 'info',
    what: /kernel 6\.1 lacks USO/,
    cure: /Linux 6\.2/,
  });
  only(t, checkOffloads('batch (FFI, TSO, USO, GRO, no UDP_SEGMENT)', '6.1'), {
    severity: 'warn',
    what: /one by one/,
  });
  only(t, checkOffloads('dgram (one packet a call)', '6.18'), { severity: 'warn', what: /slow I\/O/ });
});

void tap.test('3.9 the keyring file: what is wrong with it, never what stands in it', async (t) => {
  const file = join(t.testdir({}), 'keyring');
  const secret = Buffer.from('b1a5edb1a5edb1a5edb1a5edb1a5edb1', 'hex').toString('base64');
  t.strictSame(checkKeyringFile(undefined), []);
  only(t, checkKeyringFile(file), { check: 'keyring', severity: 'error', cure: /umask 077/ });
  writeFileSync(file, `${secret}\n`);
  chmodSync(file, 0o644);
  only(t, checkKeyringFile(file), { what: /read by others/, cure: /chmod 600/ });
  chmodSync(file, 0o600);
  t.strictSame(checkKeyringFile(file), []);
  writeFileSync(file, `${secret}x\n`);
  only(t, checkKeyringFile(file), { what: /no base64/ });
  t.notMatch(JSON.stringify(checkKeyringFile(file)), secret.slice(0, 12));
});

void tap.test('the state folder', async (t) => {
  const folder = join(t.testdir({}), 'state');
  t.strictSame(checkStateDir(folder), [], 'made at the start');
  mkdirSync(folder, { mode: 0o700 });
  chmodSync(folder, 0o700);
  t.strictSame(checkStateDir(folder), []);
  chmodSync(folder, 0o755);
  only(t, checkStateDir(folder), { severity: 'warn', what: /mode 0755/, cure: /chmod 700/ });
  const file = join(t.testdir({ file: '' }), 'file');
  only(t, checkStateDir(file), { severity: 'error', what: /is no folder/ });
});

void tap.test('T3 ports taken, and by whom; seeds that do not answer', async (t) => {
  const udp = createSocket('udp4');
  await new Promise<void>((resolve) => udp.bind(0, '127.0.0.1', resolve));
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: tcpPort } = server.address() as { port: number };
  const ports = {
    advertiseAddr: '127.0.0.1',
    dataPathAddr: '127.0.0.1',
    gossipPort: tcpPort,
    dataPort: udp.address().port,
  };
  const findings = await checkPortsFree(ports);
  t.match(findings, [
    {
      check: 'port',
      severity: 'error',
      what: new RegExp(`UDP port ${ports.dataPort} is taken by .*pid ${process.pid}`),
      cure: /--data-port/,
    },
    { what: new RegExp(`TCP port ${tcpPort} is taken by .*pid ${process.pid}`), cure: /--gossip-port/ },
  ]);
  t.strictSame(await checkSeeds([{ host: '127.0.0.1', port: tcpPort }]), []);
  udp.close();
  server.close();
  t.strictSame(await checkPortsFree(ports), []);
  only(t, await checkSeeds([{ host: '127.0.0.1', port: tcpPort }]), {
    check: 'seed',
    what: /ECONNREFUSED/,
    cure: /Start overlayd on 127\.0\.0\.1/,
  });
});

void tap.test('T2 another program of this name has the port: it is not taken for this one', async (t) => {
  const program = join(t.testdir({ overlayd: t.fixture('symlink', process.execPath) }), 'overlayd');
  const script = `const s = require('dgram').createSocket('udp4');
    s.bind(0, '127.0.0.1', () => console.log(s.address().port));`;
  const holder = spawn(program, ['-e', script]);
  t.teardown(() => holder.kill());
  const [line] = (await once(holder.stdout, 'data')) as [Buffer];
  const dataPort = Number(String(line));
  const address = '127.0.0.1';
  const ports = { advertiseAddr: address, dataPathAddr: address, gossipPort: 0, dataPort };
  only(t, await checkPortsFree(ports), {
    check: 'port',
    severity: 'error',
    what: new RegExp(`UDP port ${dataPort} is taken by overlayd \\(pid ${holder.pid}\\)`),
    cure: /not this one \(Junos.*--data-port/,
  });
});

void tap.test('1.9, T6: MTUs that do not fit', async (t) => {
  const of = (mtu: number | undefined, encrypted = false) =>
    checkMtu({
      dataPathAddr: '192.0.2.1',
      underlayMtu: 1500,
      taps: [{ network: 'blue', tap: 'tap0', encrypted, mtu }],
    });
  t.strictSame(of(1450), []);
  t.strictSame(of(1418, true), []);
  t.strictSame(of(1418), [], 'a little less is no matter');
  only(t, of(1450, true), { check: 'tap-mtu', severity: 'error', what: /carries 1418/ });
  only(t, of(1460), { severity: 'error', what: /carries 1450/ });
  only(t, of(1200), { severity: 'info', what: /would carry 1450/ });
  only(t, of(undefined), { check: 'tap', severity: 'error', what: /is not there/ });
  const path = (pathMtu: number | undefined, state: Peer['state'] = 'alive') =>
    checkPathMtus([{ name: 'b', state, ...(pathMtu === undefined ? {} : { pathMtu }) }], 1500);
  t.strictSame([path(1500), path(undefined), path(1400, 'dead')], [[], [], []]);
  only(t, path(1400), { check: 'path-mtu', severity: 'info', what: /to b takes packets of 1400 bytes/ });
});

void tap.test('peers: gone, shut ports by name, clocks', async (t) => {
  t.strictSame(checkPeers(FACTS), []);
  only(t, checkPeers({ ...FACTS, peers: [{ ...PEER, state: 'dead' }], expectsPeers: false }), {
    check: 'peer',
    severity: 'warn',
    what: /^b \(192\.0\.2\.2\) is down/,
  });
  only(t, checkPeers({ ...FACTS, peers: [] }), { severity: 'error', what: /no other host is reachable/ });
  only(t, checkPeers({ ...FACTS, tcpOnly: ['b'] }), {
    check: 'gossip-port',
    severity: 'error',
    what: /UDP 7946 is shut/,
  });
  const echo = (more: Partial<EchoStatus>) => checkPeers({ ...FACTS, echoes: [{ ...ECHO, ...more }] });
  only(t, echo({ state: 'silent', heardMs: undefined }), {
    check: 'data-port',
    severity: 'error',
    what: /UDP 4789 of b/,
    cure: /198\.51\.100\.2/,
  });
  only(t, echo({ state: 'silent' }), { what: /though its own datagrams arrive here/ });
  only(t, echo({ state: 'shut-here' }), {
    check: 'data-port',
    what: /reaches UDP 4789 of this host/,
    cure: /incoming/,
  });
  only(t, echo({ clockAheadMs: -7_000 }), { check: 'clock', severity: 'warn', what: /7\.0 s behind/ });
  only(t, echo({ clockAheadMs: 2_000 }), { check: 'clock', severity: 'info', what: /2\.0 s ahead/ });
  t.strictSame(echo({ clockAheadMs: 2_000, rttMs: 3_000 }), [], 'not known so well');
});

void tap.test('4.6 a peer without a sealed session, and why', async (t) => {
  const encrypted = new Set(['blue']);
  const of = (more: Partial<Peer>, echo: EchoStatus = ECHO) =>
    checkPeers({ ...FACTS, encrypted, peers: [{ ...PEER, ...more }], echoes: [echo] });
  const session = (error: string) => ({ session: { state: 'handshake', rekeys: 0, error } as const });
  only(t, of({}), { check: 'session', severity: 'warn', what: /no sealed session with b on "blue" yet/ });
  only(t, of(session('no answer')), { severity: 'error', what: /get no answer/ });
  only(t, of(session('no common cluster key')), { severity: 'error', cure: /keyring ls/ });
  only(t, of(session('identity unknown')), { severity: 'error', cure: /forgotten/ });
  only(t, of(session('wrong address')), { severity: 'error', cure: /--data-path-addr/ });
  t.match(of(session('no answer'), { ...ECHO, state: 'silent' })[1], { cure: /line about its data port/ });
  t.strictSame(of({ sealed: true, session: { state: 'established', rekeys: 0 } }), []);
  only(t, of({ sealed: true, session: { state: 'silent', rekeys: 0 } }), {
    severity: 'warn',
    what: /silent/,
  });
  t.strictSame(of({ networks: ['red'] }), [], 'no encrypted network is shared');
});

void tap.test('networks that differ, keys that lack, addresses that are there twice', async (t) => {
  const value = { name: 'blue', vni: 7, subnet: '10.0.0.0/8', gateway: '', mtu: 1450, encrypted: false };
  const standing = { id: '', aliases: [], value, made: undefined, definers: ['a'] };
  const conflict = (rejected: object, reason: 'same-name' | 'same-vni' = 'same-name') =>
    checkDefinitions([{ owner: 'b', rejected: { ...value, ...rejected }, rejectedId: '', standing, reason }]);
  only(t, conflict({ encrypted: true }), {
    severity: 'error',
    what: /"blue" is encrypted on b and in clear on a/,
  });
  only(t, conflict({ mtu: 1400 }), { severity: 'warn', what: /mtu 1400 and 1450/ });
  only(t, conflict({ name: 'red' }, 'same-vni'), { what: /b has VNI 7 for network "red", a for "blue"/ });
  const key = { fingerprint: '3f1c000000000001', bits: 256, origin: 'file' as const, primaryOf: [] };
  only(t, checkKeys([{ ...key, state: 'next', missing: ['b'] }]), {
    check: 'keyring',
    severity: 'warn',
    what: /3f1c000000000001 \(next\) is missing on b/,
  });
  t.strictSame(checkKeys([{ ...key, state: 'primary', missing: [] }]), []);
  const entry = { network: 'blue', vni: 7, ips: ['10.0.0.5'], local: false };
  const twice = [
    { ...entry, mac: '02:00:00:00:00:01', owner: 'a' },
    { ...entry, mac: '02:00:00:00:00:02', owner: 'b' },
  ];
  only(t, checkDuplicates(twice, []), {
    check: 'duplicate-ip',
    severity: 'error',
    what: /10\.0\.0\.5.*02:00:00:00:00:01 on a and 02:00:00:00:00:02 on b/,
  });
  t.strictSame(checkDuplicates([twice[0]!, { ...twice[1]!, vni: 8 }], []), [], 'of different networks');
  only(t, checkDuplicates([], [{ network: 'blue', mac: '02:00:00:00:00:01', owners: ['a', 'b'] }]), {
    check: 'duplicate-mac',
    what: /claimed by a and b/,
  });
});

void tap.test('order and verdict', async (t) => {
  const finding = (check: string, severity: Finding['severity']): Finding => ({ check, severity, what: 'x' });
  t.strictSame(
    sorted([finding('b', 'info'), finding('a', 'error')]).map(({ check }) => check),
    ['a', 'b'],
  );
  t.notOk(degraded([finding('a', 'info')]));
  t.ok(degraded([finding('a', 'warn')]));
});
