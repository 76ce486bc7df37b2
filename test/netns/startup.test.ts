/** How `overlayd run` ends when it cannot start, what it leaves behind, and what a restart keeps. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Daemon, DaemonOptions } from '../../agent/demo/daemon.ts';
import type { Host } from '../../agent/demo/hosts.ts';
import { until } from '../../agent/demo/process.ts';
import { allLearnt, startCluster, testbedFor, unreachable } from './cluster.ts';
import { netnsTest } from './guard.ts';

const ELSEWHERE = ['--gossip-port', '7947', '--data-port', '4790', '--metrics-addr', 'none'];

function hasTap(host: Host): boolean {
  return / tap0[:@]/.test(host.ip('-o', 'link', 'show'));
}

/** Starts a daemon that must end by itself with `status` and say all of `patterns`. */
async function refused(
  t: Test,
  host: Host,
  status: number,
  patterns: readonly RegExp[],
  options: DaemonOptions,
): Promise<Daemon> {
  const daemon = host.startDaemon(options);
  const timer = setTimeout(() => void daemon.stop('SIGKILL'), 30_000);
  const ended = await daemon.process.exited;
  clearTimeout(timer);
  t.strictSame(ended, { status, signal: undefined }, `it ends by itself with exit code ${status}`);
  for (const pattern of patterns) t.match(daemon.log(), pattern);
  t.notMatch(daemon.log(), /\n\s+at .*\(.*:\d+:\d+\)/, 'without a stack trace');
  return daemon;
}

function nothingLeft(t: Test, host: Host, daemon: Daemon): void {
  t.notOk(hasTap(host), 'no TAP is left behind');
  t.notOk(existsSync(daemon.socket), 'no socket is left behind');
}

netnsTest('a configuration with a mistake', ['ip'], async (t) => {
  const host = testbedFor(t).testbed.addHost();
  const file = join(host.scratch, 'overlayd.yaml');
  writeFileSync(file, 'log-level: info\nadvertise-adr: 10.77.0.1\n');
  const patterns = [/overlayd\.yaml:2/, /advertise-adr/, /advertise-addr/];
  nothingLeft(t, host, await refused(t, host, 2, patterns, { args: ['--config', file] }));
});

netnsTest('1.12: an underlay that gets its carrier after the start, as at boot', ['ip'], async (t) => {
  const host = testbedFor(t).testbed.addHost();
  host.ip('link', 'add', 'late0', 'type', 'veth', 'peer', 'name', 'late1');
  host.ip('addr', 'add', '10.88.0.1/24', 'dev', 'late0');
  host.ip('link', 'set', 'late0', 'up');
  const daemon = host.startDaemon({ args: ['--advertise-addr', '10.88.0.1'] });
  await until('it says what it waits for', 20_000, () =>
    /waiting for the carrier .*10\.88\.0\.1/.test(daemon.log()),
  );
  t.notOk(hasTap(host), 'nothing is touched before');
  host.ip('link', 'set', 'late1', 'up');
  await daemon.ready();
  t.ok(hasTap(host));
});

netnsTest('T3, 3.27: a port that is taken', ['socat'], async (t) => {
  const host = testbedFor(t).testbed.addHost();
  for (const [port, listen] of [
    ['4789', 'UDP4-RECV:4789'],
    ['7946', 'UDP4-RECV:7946'],
    ['7946', 'TCP4-LISTEN:7946'],
  ] as const) {
    const holder = host.spawn(['socat', '-u', listen, 'OPEN:/dev/null']);
    await until('the port is held', 5000, async () =>
      (await host.exec(['ss', '-Hlnut'])).stdout.includes(`:${port} `),
    );
    const patterns = [new RegExp(`\\b${port}\\b`), /socat/, new RegExp(`\\b${holder.pid}\\b`)];
    nothingLeft(t, host, await refused(t, host, 1, patterns, {}));
    await holder.stop('SIGKILL');
  }
});

netnsTest('a TAP that is busy', ['ip'], async (t) => {
  const { testbed, daemons } = await startCluster(t, { hosts: 1 });
  const [host] = testbed.hosts;
  const [running] = daemons;
  if (host === undefined || running === undefined) throw new Error('one host');
  const other = join(host.scratch, 'other');
  const args = ['--socket', `${other}.sock`, '--state-dir', other, ...ELSEWHERE];
  await refused(t, host, 1, [/tap0/, /busy/, new RegExp(`\\b${running.process.pid}\\b`)], { args });
  t.notOk(existsSync(`${other}.sock`), 'no socket is left behind');
  t.ok(hasTap(host), 'the TAP of the running daemon is still there');
  t.equal((await running.status()).ready, true, 'and it goes on');
});

netnsTest('not enough rights', ['setpriv'], async (t) => {
  const host = testbedFor(t).testbed.addHost();
  const wrapper = ['setpriv', '--inh-caps', '-net_admin', '--bounding-set', '-net_admin'];
  nothingLeft(t, host, await refused(t, host, 4, [/CAP_NET_ADMIN/], { wrapper }));
});

netnsTest('the end of a daemon keeps or removes its TAP', ['ip'], async (t) => {
  const { testbed } = testbedFor(t);
  for (const [signal, args, kept] of [
    ['SIGTERM', [], true],
    ['SIGINT', [], true],
    ['SIGKILL', [], true],
    ['SIGTERM', ['--remove-taps-on-exit'], false],
  ] as const) {
    const host = testbed.addHost();
    const daemon = host.startDaemon({ args, join: [] });
    await daemon.ready();
    t.ok(hasTap(host), 'a running daemon has its TAP');
    await daemon.stop(signal);
    const ended = await daemon.process.exited;
    if (signal !== 'SIGKILL') t.strictSame(ended, { status: 0, signal: undefined }, `${signal}: exit code 0`);
    t.equal(hasTap(host), kept, `${signal} ${args.join(' ')}: the TAP ${kept ? 'stays' : 'goes'}`);
  }
});

netnsTest('T5: a restart finds the TAP, and containers notice nothing but a pause', ['ping'], async (t) => {
  const { testbed, daemons } = await startCluster(t, { hosts: 2 });
  const containers = testbed.hosts.map((host) => host.addContainer());
  await allLearnt(daemons, containers);
  const [, second] = testbed.hosts;
  const container = containers[1];
  if (second === undefined || container === undefined) throw new Error('two hosts');
  const link = (): string => container.ip('-o', 'link', 'show', 'dev', 'eth0').replace(/<.*>.*state \w+/, '');
  const before = link();
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    await daemons[1]?.stop(signal);
    const daemon = second.startDaemon();
    daemons[1] = daemon;
    await daemon.ready(1);
    t.equal(link(), before, `${signal} and a start: the container has the same interface`);
    await until('the path is back', 15_000, async () => (await unreachable(containers)).length === 0);
    t.pass('and answers again');
  }
});
