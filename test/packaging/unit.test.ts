/** The systemd unit: what the daemon relies on is in it (issue 5.7, checklist T5, 0.5), and systemd takes it. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tap from 'tap';
import { constant, loadCore } from '../../agent/dataplane/core.ts';

const UNIT = readFileSync(new URL('../../../packaging/overlayd.service', import.meta.url), 'utf8');

const PORTS = constant(loadCore().constants, 'PORT_MAX');

const values = (key: string): string[] =>
  UNIT.split('\n').flatMap((line) => (line.startsWith(`${key}=`) ? [line.slice(key.length + 1)] : []));

void tap.test('5.7 what the daemon relies on', async (t) => {
  t.strictSame(values('Type'), ['notify']);
  t.strictSame(values('Before'), ['docker.service'], 'T5: the TAPs are there before dockerd');
  t.strictSame(values('CapabilityBoundingSet'), ['CAP_NET_ADMIN'], '0.5: and no more');
  t.strictSame(values('AmbientCapabilities'), ['CAP_NET_ADMIN']);
  t.strictSame(values('Restart'), ['always']);
  t.strictSame(values('StartLimitIntervalSec'), ['0'], 'however fast it fails: it is tried again');
  t.ok(UNIT.indexOf('StartLimitIntervalSec=') < UNIT.indexOf('[Service]'), 'a key of [Unit]');
  t.strictSame(values('KillMode'), ['mixed']);
  t.match(values('ExecReload')[0], /HUP/);
  t.ok(Number.parseInt(values('WatchdogSec')[0] ?? '', 10) > 10, 'a worker that hangs is replaced before');
  t.ok(Number.parseInt(values('TimeoutStopSec')[0] ?? '', 10) > 15, 'longer than the daemon takes to leave');
  t.notMatch(UNIT, /^MemoryDenyWriteExecute=/m);
  t.strictSame(values('SystemCallFilter'), ['@system-service @pkey'], 'V8 takes memory protection keys');
  const held = Number(values('FileDescriptorStoreMax')[0]);
  t.ok(held >= PORTS, 'one descriptor for each port of the core');
  // Interface names of 15 characters in LISTEN_FDNAMES; execve(2): MAX_ARG_STRLEN. Longer, the service could not start.
  t.ok('LISTEN_FDNAMES='.length + held * 16 < 128 * 1024);
});

void tap.test('5.7 systemd-analyze verify', async (t) => {
  if (spawnSync('systemd-analyze', ['--version']).error !== undefined) {
    t.comment('systemd-analyze is not installed: the unit was read by this test alone');
    t.match(UNIT, /^\[Unit\]$[^]*^\[Service\]$[^]*^\[Install\]$/m);
    return;
  }
  const file = join(t.testdir({}), 'overlayd.service');
  // It insists on a program that is there.
  writeFileSync(file, UNIT.replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`));
  const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', file], { encoding: 'utf8' });
  t.equal(status, 0, stderr);
  // Of systemd 254; an older one says that it passes it over.
  const passedOver = /^.*Unknown key (?:name )?'FileDescriptorStorePreserve'.*$/m;
  t.notMatch(stderr.replace(passedOver, ''), /overlayd\.service/);
});
