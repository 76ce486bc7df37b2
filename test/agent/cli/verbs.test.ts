/** The client verbs as another process against a fake daemon: tables, JSON, streams, exit codes. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer } from 'node:net';
import tap from 'tap';
import { z } from 'zod';
import { startApi } from '../../../agent/api/server.ts';
import {
  fdbEntrySchema,
  identitySchema,
  networkDetailSchema,
  networkRemovalSchema,
  networkSummarySchema,
  peerSchema,
  revokeResultSchema,
  statusSchema,
} from '../../../agent/status.ts';
import { silentLog, startFakeDaemon } from '../api/fake-view.ts';
import type { FakeDaemon } from '../api/fake-view.ts';
import { golden } from '../golden.ts';
import { PROCESS_TEST_TIMEOUT_MS, inProcess, overlayd, start } from './overlayd.ts';
import type { Finished } from './overlayd.ts';

tap.setTimeout(PROCESS_TEST_TIMEOUT_MS);

let daemon: FakeDaemon;
tap.before(async () => {
  daemon = await startFakeDaemon();
});
tap.teardown(() => daemon.close());

function verb(line: string, environment: Record<string, string> = {}): Promise<Finished> {
  return overlayd(line.split(' '), { OVERLAYD_SOCKET: daemon.socket, ...environment });
}

function here(line: string): Promise<Finished> {
  const args = line.split(' ');
  return inProcess(args.includes('--socket') ? args : [...args, '--socket', daemon.socket]);
}

void tap.test('tables are as they are written down', async (t) => {
  const lines = [
    'status',
    'peers',
    'peers -o wide',
    'networks',
    'networks ls --no-header',
    'networks inspect overlay',
    'networks inspect elsewhere',
    'networks inspect blue',
    'networks -o wide',
    'networks create green --subnet 10.9.0.0/16 --label a=b=c --label d',
    'networks attach blue',
    'networks attach blue --tap blue0',
    'networks detach blue',
    'networks rm green',
    'networks rm blue',
    'networks rm blue --force',
    'fdb',
    'fdb -o wide --network overlay',
    'join 192.0.2.2',
    'leave',
    'keyring ls',
    'keyring -o wide',
    'keyring add --generate',
    'keyring use a9d0',
    'keyring remove 0b77',
    'identities',
    'identities ls -o lines',
    'identities show',
    'identities show host-b',
    'identities show host-c',
    'identities show nobody',
    'keyring --no-header ls',
    'identities --no-header ls',
    'identities -o lines',
    'identities forget host-c',
    'revoke host-c --fingerprint 00000000',
    'revoke --undo host-b',
    'networks ranges overlay',
    'networks ranges overlay -o wide',
    'networks reclaim host-x',
    'networks reclaim host-y',
    'networks reclaim host-y -o json',
    'docker-command overlay',
    'docker-command open',
    'docker-command dual',
    'doctor --docker-socket /nowhere',
    'doctor -o wide --docker-socket /nowhere',
  ];
  let transcript = '';
  for (const line of lines) {
    const { status, stdout, stderr } = await verb(line);
    transcript += `$ overlayd ${line}\n${stdout}${stderr && `--- stderr\n${stderr}`}--- exit ${status}\n\n`;
  }
  t.equal(
    transcript,
    golden('test/agent/cli/golden/tables.txt', transcript),
    'UPDATE_GOLDEN=1 writes it anew',
  );
  t.notMatch(
    transcript.replaceAll('\n', ''),
    /\p{Cc}/u,
    'no control characters, whatever a peer calls itself',
  );
});

void tap.test('JSON is what the schemas say', async (t) => {
  const schemas: Record<string, z.ZodType> = {
    status: statusSchema,
    peers: z.array(peerSchema),
    networks: z.array(networkSummarySchema),
    'networks ls': z.array(networkSummarySchema),
    'networks inspect overlay': networkDetailSchema,
    'networks inspect blue': networkDetailSchema,
    'networks create green': networkDetailSchema,
    'networks rm blue --force': networkRemovalSchema,
    fdb: z.array(fdbEntrySchema),
    'identities ls': z.array(identitySchema),
    'identities show host-c': z.array(identitySchema),
    'revoke host-c': revokeResultSchema,
    'identities forget host-c': revokeResultSchema,
  };
  for (const [line, schema] of Object.entries(schemas)) {
    const { status, stdout, stderr } = await here(`${line} -o json`);
    t.match({ status, stderr }, { status: 0, stderr: '' }, line);
    const parsed = schema.safeParse(JSON.parse(stdout));
    t.ok(parsed.success, line, { error: parsed.error?.message });
  }
  t.strictSame(JSON.parse((await here('join a -o json')).stdout), { joined: 1, errors: [] });
  t.strictSame(JSON.parse((await here('leave -o json')).stdout), { left: true });
  t.match(JSON.parse((await here('version -o json')).stdout), { version: /^\d+\.\d+\.\d+/ });
  t.match(JSON.parse((await here('docker-command overlay -o json')).stdout), {
    command: /^docker network create/,
  });
});

void tap.test('exit codes', async (t) => {
  const cases: [string, number, RegExp][] = [
    [
      'networks inspect nope',
      5,
      /there is no network "nope"\n {2}Networks here: bare,.*\n {2}\(OVL_NETWORK_NOT_FOUND\)/,
    ],
    ['fdb --network nope', 5, /there is no network "nope"/],
    ['networks reclaim host-b', 1, /host "host-b" was heard just now\n {2}Stop overlayd there first/],
    ['networks reclaim', 2, /missing required argument 'HOST'/],
    ['docker-command nope', 5, /there is no network "nope"/],
    ['docker-command bare', 1, /no subnet\n.*subnet=CIDR/],
    ['docker-command elsewhere', 1, /takes no part in network "elsewhere"/],
    ['join down-host ok-host', 1, /down-host: connection refused/],
    ['status --socket /nowhere/x.sock', 3, /cannot reach the daemon.*\n {2}Start it with "overlayd run"/],
    ['statsu', 2, /unknown command 'statsu'\n\(Did you mean status\?\)/],
    ['networks lss', 2, /unknown command 'lss' \(did you mean "ls"\?\)/],
    ['networks creat', 2, /unknown command 'creat' \(did you mean "create"\?\)/],
    ['networks create', 2, /missing required argument 'NAME'/],
    ['networks create -x', 2, /unknown option '-x'/],
    ['networks create a/b', 2, /NAME: expected a name of 1 to 63 letters/],
    ['networks create x --vni 0', 2, /--vni: expected a whole number, 1 to 16777215, got 0/],
    ['networks create x --vni many', 2, /--vni: expected a whole number/],
    ['networks create x --subnet 10.1.2.3/16', 2, /--subnet: .*the subnet is 10.1.0.0\/16/],
    ['networks create x --gateway here', 2, /--gateway: expected an IP address/],
    ['networks attach', 2, /missing required argument 'NAME'/],
    ['networks create x --label =', 2, /--label/],
    ['peers --wide', 2, /unknown option '--wide'/],
    ['peers -o xml', 2, /Allowed choices are table, wide, json/],
    ['join', 2, /missing required argument 'ADDR'/],
    ['join host:99999', 2, /'host:99999' is not HOST or HOST:PORT/],
    ['wait', 2, /required option '--for <CONDITION>'/],
    ['wait --for mac=01:00:5e:00:00:01', 2, /Expected ready, peers=N or mac=MAC/],
    ['wait --for ready --timeout soon', 2, /Expected 500ms, 30s, 2m or 1h/],
  ];
  for (const [line, status, message] of cases) {
    const done = await here(line);
    t.equal(done.status, status, line);
    t.match(done.stderr, message, line);
    if (status !== 1) t.equal(done.stdout, '', `${line}: no data`);
  }
  for (const [line, status] of [cases[0], cases[6], cases[7]].flatMap((one) => (one ? [one] : []))) {
    t.equal((await verb(line)).status, status, `${line}, as a process`);
  }
  for (const [reason, says] of [
    ['alone', /not ready\n[^]*not ready  it has not found another host yet\./],
    ['left', /not ready  it has left the cluster, .*"overlayd join ADDR" brings it back\.\ngossip/],
    ['revoked', /, not ready\n(REVOKED .*\n)?gossip/],
  ] as const) {
    daemon.view.notReadyBy = reason;
    t.match(await here('status'), { status: 1, stdout: says }, `status of a degraded daemon: ${reason}`);
    t.match(JSON.parse((await here('status -o json')).stdout), { ready: false, notReady: reason });
  }
  daemon.view.notReadyBy = undefined;
});

void tap.test('3.33: ranges of more networks than the daemon takes connections', async (t) => {
  const overlay = daemon.view.network('overlay')!;
  for (let n = 0; n < 2000; n++) daemon.view.moreNetworks.push({ ...overlay, id: `${n}`, name: `n${n}` });
  const { status, stdout, stderr } = await verb('networks ranges -o json');
  daemon.view.moreNetworks.length = 0;
  t.match({ status, stderr }, { status: 0, stderr: '' });
  t.ok((JSON.parse(stdout) as unknown[]).length >= 2000);
});

void tap.test('demo without root: exit code 4', async (t) => {
  const { getuid } = process;
  process.getuid = () => 1000;
  t.teardown(() => {
    process.getuid = getuid!;
  });
  t.match(await inProcess(['demo']), { status: 4, stderr: /needs root\n.*sudo/ });
});

void tap.test('colour only for people who want it', async (t) => {
  // A pipe is no terminal, and NO_COLOR is stronger than FORCE_COLOR for us.
  // eslint-disable-next-line no-control-regex
  t.notMatch((await verb('peers')).stdout, /\u001B/);
  // eslint-disable-next-line no-control-regex
  t.notMatch((await verb('status', { NO_COLOR: '1', FORCE_COLOR: '1' })).stdout, /\u001B/);
});

void tap.test('wait', async (t) => {
  t.match(await verb('wait --for ready'), { status: 0, stdout: '' });
  t.match(await here('wait --for mac=02-42-0A-2A-02-02'), { status: 0 });
  daemon.view.aliveAfter = 4;
  t.match(await here('wait --for peers=1'), { status: 0 }, 'asks until it is true');
  const tooLong = await here('wait --for peers=9 --timeout 300ms');
  t.match(tooLong, { status: 1, stderr: /"peers=9" did not come true in 0\.3 s/ });
  const later = `${daemon.socket}.later`;
  const never = await here(`wait --for ready --timeout 300ms --socket ${later}`);
  t.match(never, { status: 3, stderr: /cannot reach the daemon/ });
  const hung = createServer().listen(`${daemon.socket}.hung`);
  const begin = performance.now();
  const silent = await here(`wait --for ready --timeout 300ms --socket ${daemon.socket}.hung`);
  hung.close();
  t.match(silent, { status: 3, stderr: /does not answer/ });
  t.ok(performance.now() - begin < 5_000, 'one that hangs takes no more of the time than there is');
  const patient = here(`wait --for ready --timeout 30s --socket ${later}`);
  await sleep(150); // a try or two that must fail
  const api = await startApi(daemon.view, later, silentLog);
  t.match(await patient, { status: 0 }, 'a daemon that is not up yet is waited for');
  await api.close();
});

void tap.test('a reader that has seen enough', async (t) => {
  const child = start(['fdb'], { OVERLAYD_SOCKET: daemon.socket });
  child.stdout?.destroy();
  const status = await new Promise((resolve) => {
    child.once('close', resolve);
  });
  t.equal(status, 0);
});
