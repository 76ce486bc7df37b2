/** `overlayd run` up to the point where it would touch the machine, and what stands around the daemon. */
import { spawn } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import tap from 'tap';
import { lockFolder } from '../../../agent/io/folder-lock.ts';
import { dockerLine } from '../../../agent/cli/docker-line.ts';
import { renderReport } from '../../../agent/cli/report.ts';
import type { StartupNetwork } from '../../../agent/status.ts';
import { scratchDirectory, startFakeDaemon } from '../api/fake-view.ts';
import { golden } from '../golden.ts';
import { MAIN, PROCESS_TEST_TIMEOUT_MS, finished, inProcess, overlayd } from './overlayd.ts';

tap.setTimeout(PROCESS_TEST_TIMEOUT_MS);

void tap.test('an unknown key in the file: file, line and the nearest known key', async (t) => {
  const file = join(t.testdir({}), 'o.yaml');
  writeFileSync(file, 'node-name: a\nadvertise-adr: 192.0.2.1\n');
  const { status, stdout, stderr } = await overlayd(['run', '--config', file]);
  t.equal(status, 2);
  t.equal(stdout, '');
  t.equal(
    stderr,
    `overlayd: ${file}:2:1: unknown key "advertise-adr" (did you mean "advertise-addr"?)\n  (OVL_CONFIG_INVALID)\n`,
  );
});

void tap.test('what cannot be kept is refused before anything is touched', async (t) => {
  const cases: [string[], number, RegExp][] = [
    [['--network', 'name=a,vni=1,encrypted', '--advertise-addr', '127.0.0.1'], 2, /OVL_KEYRING_MISSING/],
    [['--gossip-encryption', 'required'], 2, /there is no keyring\n {2}Give --keyring FILE/],
    [['--gossip-port', '99999'], 2, /--gossip-port: expected a whole number, 1 to 65535, got 99999/],
    [['--network', 'name=a,vmi=1'], 2, /unknown key "vmi".*did you mean "vni"/],
    [
      ['--advertise-addr', '203.0.113.99'],
      2,
      /203\.0\.113\.99 is not an address of this machine\n {2}Give --data-path/,
    ],
    [['--data-prot', '1'], 2, /Did you mean --data-port\?/],
    [['--config', '/nowhere/o.yaml'], 2, /Create \/nowhere\/o\.yaml/],
  ];
  for (const [args, status, message] of cases) {
    t.match(await inProcess(['run', ...args]), { status, stderr: message, stdout: '' }, args.join(' '));
  }
});

void tap.test('no default route: says so, and which addresses there are', async (t) => {
  // A network namespace of its own has none; who is not root gets one with a user namespace around it.
  const flags = process.geteuid?.() === 0 ? ['-n'] : ['-rn'];
  const child = spawn('unshare', [...flags, process.execPath, MAIN, 'run'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.match(await finished(child), {
    status: 2,
    stderr:
      /there is no default route\n {2}Give --advertise-addr IP; this machine has no address .*OVL_NO_ADVERTISE_ADDR/s,
  });
});

void tap.test('a daemon that is alive on the socket', async (t) => {
  const daemon = await startFakeDaemon();
  t.teardown(() => daemon.close());
  const args = ['run', '--socket', daemon.socket, '--advertise-addr', '127.0.0.1'];
  t.match(await overlayd(args), {
    status: 1,
    stderr: /a daemon is running: it answers on .*\(OVL_ALREADY_RUNNING\)/s,
  });
});

void tap.test('another daemon with the same --state-dir', async (t) => {
  const folder = scratchDirectory();
  t.teardown(() => rmSync(folder, { recursive: true }));
  const unlock = lockFolder(folder);
  t.equal(lockFolder(folder), undefined);
  const flags = ['--state-dir', folder, '--socket', join(folder, 's'), '--advertise-addr', '127.0.0.1'];
  t.match(await overlayd(['run', ...flags]), {
    status: 1,
    stderr: /another overlayd runs with the state in .*\n.* its own --state-dir.*OVL_STATE_DIR_TAKEN/s,
  });
  unlock?.();
  const again = lockFolder(folder);
  t.ok(again, 'free when that one is gone');
  again?.();
});

void tap.test('a machine where koffi does not load', async (t) => {
  const folder = t.testdir({
    'without.mjs': `export const resolve = async (name, context, next) => {
      if (name === 'koffi') throw new Error('no such binding');
      return next(name, context);
    };`,
    'block.mjs': `import { register } from 'node:module'; register('./without.mjs', import.meta.url);`,
  });
  const scratch = scratchDirectory();
  t.teardown(() => rmSync(scratch, { recursive: true }));
  const flags = ['--socket', join(scratch, 's'), '--state-dir', scratch, '--advertise-addr', '127.0.0.1'];
  const done = await overlayd(['run', ...flags], {
    NODE_OPTIONS: `--import=${pathToFileURL(join(folder, 'block.mjs')).href}`,
  });
  t.match(done, { status: 1, stderr: /koffi cannot be loaded: no such binding\n.*npm ci.*\(OVL_FFI\)/s });
  t.notMatch(done.stderr, /^\s+at /m, 'no bare stack');
});

const OVERLAY: StartupNetwork = {
  name: 'overlay',
  vni: 4096,
  tap: 'tap0',
  tapExisted: false,
  mtu: 1450,
  subnet: '10.42.0.0/16',
  gateway: undefined,
  ipRange: undefined,
  encrypted: false,
};

void tap.test('the start-up report', async (t) => {
  const report = {
    node: 'host-a',
    version: '0.1.0',
    advertiseAddr: '192.0.2.1',
    dataPathAddr: '2001:db8::1',
    gossipPort: 7946,
    dataPort: 4789,
    io: 'batch (FFI, TSO, USO, GRO)',
    workers: 2,
    sealing: 'AES-256-GCM by OpenSSL',
    socket: '/run/overlayd/overlayd.sock',
    dockerDriver: { name: 'overlayd', path: '/run/docker/plugins/overlayd.sock' },
    metricsAddr: '127.0.0.1:9472',
    seeds: ['192.0.2.2:7946'],
    gossipEncryption: { mode: 'required', primary: '3f1c000000000001', keys: 1 } as const,
    networks: [
      OVERLAY,
      {
        ...OVERLAY,
        name: 'six',
        vni: 6,
        tap: 'tap1',
        tapExisted: true,
        subnet: 'fd00::/64',
        gateway: 'fd00::1',
        ipRange: 'fd00::1:0/112',
      },
      { ...OVERLAY, name: 'bare', vni: 7, tap: 'tap2', subnet: undefined },
    ],
  };
  const alone = {
    ...report,
    sealing: undefined,
    workers: 1,
    seeds: [],
    dockerDriver: undefined,
    metricsAddr: undefined,
    networks: [OVERLAY],
  };
  const inClear = { ...alone, gossipEncryption: { mode: 'off' } as const };
  const text = `${renderReport(report)}\n${renderReport(inClear)}`;
  t.equal(text, golden('test/agent/cli/golden/report.txt', text), 'UPDATE_GOLDEN=1 writes it anew');
});

void tap.test('the docker line has -d macvlan, always', async (t) => {
  t.equal(
    dockerLine({ ...OVERLAY, subnet: '10.42.0.0/16', gateway: '10.42.0.1', ipRange: '10.42.1.0/24' }),
    'docker network create -d macvlan -o parent=tap0 --subnet 10.42.0.0/16 --gateway 10.42.0.1 --ip-range 10.42.1.0/24 overlay',
  );
});

void tap.test('the first signal asks, the second ends', async (t) => {
  const module = new URL('../../../agent/cli/signals.js', import.meta.url).href;
  const script = (afterwards: string): string => `
    import { StopSignals } from '${module}';
    const signals = new StopSignals((text) => process.stderr.write(text));
    signals.onReload(() => console.log('reload'));
    setInterval(() => {}, 1000);
    console.log('up');
    await signals.stop;
    console.log('stopping');
    ${afterwards}`;
  const child = (afterwards: string) =>
    spawn(process.execPath, ['--input-type=module', '-e', script(afterwards)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });

  const polite = child('signals.dispose(); process.exit(0);');
  polite.stdout.on('data', (chunk: Buffer) => {
    if (chunk.includes('up')) polite.kill('SIGHUP');
    if (chunk.includes('reload')) polite.kill('SIGTERM');
  });
  t.match(await finished(polite), { status: 0, stdout: 'up\nreload\nstopping\n' });

  const stubborn = child('');
  stubborn.stdout.on('data', (chunk: Buffer) => {
    if (chunk.includes('up') || chunk.includes('stopping')) stubborn.kill('SIGINT');
  });
  t.match(await finished(stubborn), { status: 1, stdout: 'up\nstopping\n', stderr: /ended at once/ });
});
