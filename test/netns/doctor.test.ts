/** `overlayd doctor` against real daemons and real firewalls (checklist 3.6, 3.27, T3; issue 4.6). */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import tap from 'tap';
import type { Test } from 'tap';
import type { Daemon } from '../../agent/demo/daemon.ts';
import type { Host } from '../../agent/demo/hosts.ts';
import { until } from '../../agent/demo/process.ts';
import type { Finding } from '../../agent/doctor/finding.ts';
import { startCluster, testbedFor } from './cluster.ts';
import { netnsTest } from './guard.ts';

tap.setTimeout(600_000);

const NO_DOCKER = ['--docker-socket', '/nowhere'];
const MAIN = fileURLToPath(new URL('../../agent/main.js', import.meta.url));
const KEY = randomBytes(32).toString('base64');

async function doctor(daemon: Daemon): Promise<{ status: number | undefined; findings: Finding[] }> {
  const { status, stdout, stderr } = await daemon.client('doctor', ...NO_DOCKER, '-o', 'json');
  if (stdout === '') throw new Error(stderr);
  return { status, findings: JSON.parse(stdout) as Finding[] };
}

const trouble = (findings: readonly Finding[]): Finding[] =>
  findings.filter(({ severity }) => severity !== 'info');

/** Waits until the doctor of `daemon` says `what`, and returns how long that took. */
async function says(t: Test, daemon: Daemon, check: string, what: RegExp): Promise<number> {
  const before = performance.now();
  await until(`the doctor of ${daemon.host.name} says ${what}`, 30_000, async () => {
    const { findings } = await doctor(daemon);
    return findings.some((finding) => finding.check === check && what.test(finding.what));
  });
  const { status } = await doctor(daemon);
  t.equal(status, 1, 'exit code 1');
  return performance.now() - before;
}

const drop = (host: Host, ...rule: string[]): Promise<unknown> =>
  host.exec(['iptables', '-w', '-A', 'INPUT', '-p', 'udp', ...rule, '-j', 'DROP']);

netnsTest('3.6 a blocked port is named, in the log and by the doctor', ['iptables'], async (t) => {
  const { testbed, daemons } = await startCluster(t, { hosts: 3 });
  const [first, second, third] = daemons as [Daemon, Daemon, Daemon];
  const [, h2, h3] = testbed.hosts as [Host, Host, Host];
  await until('all data ports answer', 20_000, async () => {
    const all = await Promise.all(daemons.map((daemon) => doctor(daemon)));
    return all.every(({ status, findings }) => status === 0 && trouble(findings).length === 0);
  });

  const before = performance.now();
  await drop(h2, '--dport', '4789');
  await until('the log names it', 20_000, () => /UDP port 4789 of h2 does not answer/.test(first.log()));
  const tookMs = performance.now() - before;
  // Ten seconds are the promise; a busy machine may need more, so test/proto/tunnel/echo.test.ts counts them.
  t.comment(`named after ${Math.round(tookMs)} ms`);
  await says(t, first, 'data-port', /^UDP 4789 of h2/);
  await says(t, second, 'data-port', /reaches UDP 4789 of this host/);
  t.strictSame(trouble((await doctor(first)).findings).length, 1, 'h3 is not blamed');
  const [peer] = (await first.peers()).filter(({ name }) => name === 'h2');
  t.equal(peer?.state, 'alive', 'gossip saw nothing of it');
  await h2.exec(['iptables', '-w', '-F', 'INPUT']);
  await until('and that it is open again', 20_000, () => /between h2 and this host again/.test(first.log()));
  t.strictSame(trouble((await doctor(first)).findings), []);

  // Gossip by TCP only, from the start of a host on.
  await third.stop();
  await drop(h3, '--dport', '7946');
  daemons[2] = h3.startDaemon();
  await daemons[2].ready(1);
  await says(t, daemons[2], 'gossip-port', /^gossip with h[12] .* UDP 7946 is shut/);
});

netnsTest('4.6 a peer without a session, and why: another key, another definition', [], async (t) => {
  const argsOf = (host: Host): string[] => {
    const keyring = join(host.scratch, 'keyring');
    writeFileSync(keyring, `${KEY}\n`, { mode: 0o600 });
    const spec = 'name=overlay,vni=4096,subnet=10.42.0.0/16';
    return ['--keyring', keyring, '--network', host.number === 1 ? `${spec},encrypted` : spec];
  };
  const { daemons } = await startCluster(t, { hosts: 2, argsOf });
  for (const daemon of daemons as [Daemon, Daemon])
    await says(t, daemon, 'network', /"overlay" is encrypted on h1 and in clear on h2/);
});

netnsTest(
  'T3, 3.27: no daemon: who has its port, which right is missing, what the file says',
  [],
  async (t) => {
    const { testbed } = testbedFor(t);
    const host = testbed.addHost();
    const config = join(host.scratch, 'overlayd.yaml');
    writeFileSync(
      config,
      `advertise-addr: ${host.ipv4}\nstate-dir: ${host.scratch}/state\njoin: [${host.ipv4.replace(/1$/, '9')}]\n`,
    );
    const script = `require('dgram').createSocket('udp4').bind(4789, () => console.log('bound'))`;
    const holder = host.spawn([process.execPath, '-e', script]);
    await until('the port is held', 10_000, () => holder.log().includes('bound'));
    const run = async (
      ...wrapper: string[]
    ): Promise<{ status: number | undefined; findings: Finding[] }> => {
      const verb = [
        process.execPath,
        MAIN,
        'doctor',
        '--socket',
        join(host.scratch, 'none.sock'),
        '--config',
        config,
      ];
      const done = await host.exec([...wrapper, ...verb, ...NO_DOCKER, '-o', 'json']);
      return { status: done.status, findings: JSON.parse(done.stdout) as Finding[] };
    };
    const { status, findings } = await run();
    t.equal(status, 1);
    const of = (check: string): Finding | undefined => findings.find((finding) => finding.check === check);
    t.match(of('daemon'), { severity: 'error', what: /there is no such socket/, cure: /overlayd run/ });
    t.match(of('port'), {
      severity: 'error',
      what: /UDP port 4789 is taken by node \(pid \d+\)/,
      cure: /--data-port/,
    });
    t.match(of('seed'), { severity: 'error', what: /10\.77\.0\.9:7946 takes no TCP connection/ });
    t.notOk(of('rights'));
    await holder.stop();
    const weak = await run('setpriv', '--bounding-set=-net_admin', '--inh-caps=-all');
    t.match(
      weak.findings.find(({ check }) => check === 'rights'),
      { severity: 'error', what: /lacks CAP_NET_ADMIN/ },
    );
    t.notOk(weak.findings.some(({ check }) => check === 'port'));
    writeFileSync(config, 'advertise-adr: 192.0.2.1\n');
    t.match(
      (await run()).findings.find(({ check }) => check === 'config'),
      { severity: 'error', what: /unknown key "advertise-adr"/ },
    );
  },
);
