/**
 * The shipped unit under a real systemd, with the Docker driver (issue 5.7, T5): whatever happens to the daemon, containers
 * are connected again, and CAP_NET_ADMIN is all that it has.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import tap from 'tap';
import type { Test } from 'tap';
import { ApiClient } from '../../agent/api/client.ts';
import type { Host } from '../../agent/demo/hosts.ts';
import { ip, ipBatch, run, runNow, until } from '../../agent/demo/process.ts';
import { Testbed, testbedProblem } from '../../agent/demo/testbed.ts';
import { DockerSpeaker } from '../../bench/endpoints/docker-speaker.ts';
import type { SpokenEndpoint } from '../../bench/endpoints/docker-speaker.ts';
import { missing, rootTest } from './guard.ts';
import { SystemdHost, systemdProblem } from './systemd-host.ts';

tap.setTimeout(180_000);

const UNIT = 'overlayd.service';
const SHIPPED = readFileSync(new URL('../../../packaging/overlayd.service', import.meta.url), 'utf8');
const MAIN = fileURLToPath(new URL('../../agent/main.js', import.meta.url));
const NET_ADMIN = 1n << 12n;
const ROUNDS = 3;

/** What is not as on a host where it is installed: where the program and its files are. */
function dropIn(folder: string): string {
  return `[Service]
ExecStart=
ExecStart=${process.execPath} ${MAIN} run --config ${folder}/overlayd.yaml
StandardOutput=append:${folder}/overlayd.log
StandardError=inherit
ReadWritePaths=${folder}
PrivateTmp=no
ProtectHome=no
`;
}

class Service {
  readonly systemd: SystemdHost;
  readonly speaker: DockerSpeaker;
  #mainPid = '0';

  constructor(systemd: SystemdHost) {
    this.systemd = systemd;
    this.speaker = new DockerSpeaker(systemd.path('/run/docker/plugins/overlayd.sock'), 4);
  }

  /** Waits until another process than before serves. */
  async up(): Promise<void> {
    await until('the service is up', 30_000, async () => {
      const pid = await this.systemd.property(UNIT, 'MainPID');
      if (pid === '0' || pid === this.#mainPid) return false;
      if ((await this.systemd.property(UNIT, 'ActiveState')) !== 'active') return false;
      this.#mainPid = pid;
      return true;
    });
  }

  async held(): Promise<number> {
    return Number(await this.systemd.property(UNIT, 'NFileDescriptorStore'));
  }

  async kill(): Promise<void> {
    await this.systemd.run('systemctl', 'kill', '-s', 'KILL', '--kill-whom=main', UNIT);
  }

  /** Of the kernel, not of the unit. */
  async capabilities(): Promise<bigint[]> {
    const status = await this.systemd.run('cat', `/proc/${this.#mainPid}/status`);
    return ['CapEff', 'CapPrm', 'CapBnd', 'CapAmb'].map((set) => {
      return BigInt(`0x${new RegExp(`^${set}:\\s*(\\w+)`, 'm').exec(status)?.[1]}`);
    });
  }
}

async function startService(t: Test, host: Host): Promise<Service> {
  const folder = join(host.scratch, 'systemd');
  const systemd = await SystemdHost.start(host, {
    [UNIT]: SHIPPED,
    [`${UNIT}.d/test.conf`]: dropIn(folder),
  });
  t.teardown(async () => {
    if (!t.passing()) {
      const status = await systemd.run('systemctl', 'status', UNIT);
      const log = readFileSync(join(folder, 'overlayd.log'), 'utf8');
      process.stderr.write(`--- systemd\n${systemd.log()}\n${status}\n--- overlayd\n${log.slice(-8_000)}\n`);
    }
    await systemd.close();
  });
  const config = { 'node-name': host.name, 'advertise-addr': host.ipv4, 'docker-socket': 'none' };
  writeFileSync(join(folder, 'overlayd.yaml'), JSON.stringify(config));
  await systemd.run('systemctl', 'start', UNIT);
  const service = new Service(systemd);
  await service.up();
  return service;
}

interface Inside extends SpokenEndpoint {
  readonly namespace: string;
}

/** What Docker does with the interface after Join. */
function enter(host: Host, endpoint: SpokenEndpoint): Inside {
  const { id, source, address, prefix } = endpoint;
  const namespace = host.testbed.namespaceName(id.slice(0, 8));
  host.testbed.record.addNamespaces([namespace]);
  ip('netns', 'add', namespace);
  host.ip('link', 'set', source, 'netns', namespace, 'name', 'eth0');
  ipBatch(
    [
      ['addr', 'add', `${address}/${prefix}`, 'dev', 'eth0'],
      ['link', 'set', 'eth0', 'up'],
    ],
    namespace,
  );
  return { ...endpoint, namespace };
}

async function reaches(from: Inside, to: Inside): Promise<boolean> {
  const argv = [
    'nsenter',
    `--net=/run/netns/${from.namespace}`,
    '--',
    'ping',
    '-n',
    '-c1',
    '-W1',
    to.address,
  ];
  return (await run(argv)).status === 0;
}

function carrier(endpoint: Inside): boolean {
  return !ip('-n', endpoint.namespace, 'link', 'show', 'eth0').includes('NO-CARRIER');
}

rootTest(
  '5.7, T5: the unit, with CAP_NET_ADMIN alone, over kill -9, restart, stop and start',
  testbedProblem()?.message ?? systemdProblem() ?? missing(['ping', 'findmnt']),
  async (t) => {
    const testbed = new Testbed();
    t.teardown(() => testbed.close());
    const host = testbed.addHost();
    const service = await startService(t, host);
    const { systemd, speaker } = service;
    t.teardown(() => speaker.close());
    const flows = (from: Inside, to: Inside): Promise<boolean> =>
      until(`${to.address} is reached from ${from.address}`, 20_000, () => reaches(from, to));
    t.strictSame(await service.capabilities(), [NET_ADMIN, NET_ADMIN, NET_ADMIN, NET_ADMIN]);
    await speaker.createNetwork('blue', '10.64.0.0/16');
    const start = (): Promise<SpokenEndpoint> =>
      speaker.startEndpoint(`/run/netns/${testbed.namespaceName('box')}`);
    const one = enter(host, await start());
    const two = enter(host, await start());
    await flows(one, two);
    t.equal(await service.held(), 2);

    await service.kill();
    t.ok(carrier(one) && carrier(two), 'the containers notice nothing');
    await service.up();
    await flows(one, two);
    t.strictSame(await service.capabilities(), [NET_ADMIN, NET_ADMIN, NET_ADMIN, NET_ADMIN]);

    // In the moment after a TAP was made, before Docker moves it.
    for (let round = 0; round < ROUNDS; round++) {
      const made = await start();
      await service.kill();
      const last = enter(host, made);
      await service.up();
      await flows(last, two);
      t.equal(await service.held(), 3 + round);
    }

    await systemd.run('systemctl', 'restart', UNIT);
    await service.up();
    await flows(one, two);
    const before = ROUNDS + 2;
    t.equal(await service.held(), before);

    await speaker.stopEndpoint(one);
    await until('its TAP is gone', 10_000, () => !ip('-n', one.namespace, 'link').includes('eth0'));
    t.equal(await service.held(), before - 1);
    const four = enter(host, await start());
    await flows(four, two);

    await systemd.run('systemctl', 'stop', UNIT);
    await systemd.run('systemctl', 'start', UNIT);
    await service.up();
    // FileDescriptorStorePreserve= is of systemd 254; before it, what is stopped keeps nothing.
    const version = Number(/systemd (\d+)/.exec(runNow(['systemctl', '--version']))?.[1]);
    t.equal(await service.held(), version >= 254 ? before : 0, `systemd ${version}`);
    t.equal(carrier(two), version >= 254);
    const status = await new ApiClient(systemd.path('/run/overlayd/overlayd.sock')).status();
    t.equal(status.node, host.name);
  },
);
