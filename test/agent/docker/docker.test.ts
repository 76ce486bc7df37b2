/** Watcher, driver and reconciler put together, over real sockets; Docker and networks are in memory. */
import { mkdtempSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import tap from 'tap';
import type { Test } from 'tap';
import { Pool } from 'undici';
import { until } from '../../../agent/demo/process.ts';
import { openDocker } from '../../../agent/docker/docker.ts';
import type { DockerSide } from '../../../agent/docker/docker.ts';
import { recordingLog } from '../recording-log.ts';
import { FakeAddresses, FakeNetworks } from './driver/fakes.ts';
import { FakeDocker } from './fake-docker.ts';

interface Scene {
  readonly docker: FakeDocker;
  readonly networks: FakeNetworks;
  readonly plugin: string;
  readonly lines: ReturnType<typeof recordingLog>['lines'];
  readonly open: (options?: { readonly isDefault?: boolean }) => Promise<DockerSide>;
  readonly call: (method: string, request: object) => Promise<Record<string, unknown>>;
}

function setUp(t: Test): Scene {
  const folder = mkdtempSync(join(tmpdir(), 'ovd-docker-'));
  const docker = new FakeDocker();
  const networks = new FakeNetworks();
  const addresses = new FakeAddresses(networks);
  const { log, lines } = recordingLog();
  const plugin = join(folder, 'plugins', 'overlayd.sock');
  const pool = new Pool('http://plugin', { socketPath: plugin });
  t.teardown(async () => {
    await pool.destroy();
    await docker.stop();
  });
  return {
    docker,
    networks,
    plugin,
    lines,
    async open({ isDefault = false } = {}) {
      const side = await openDocker({
        plugin: { path: plugin, isDefault },
        socket: docker.socket,
        scope: 'local',
        stateDir: folder,
        sealingProblem: undefined,
        networks,
        addresses,
        tapNetwork: () => undefined,
        log,
        retryMs: 20,
      });
      t.teardown(() => side.close());
      return side;
    },
    async call(method, request) {
      const { body } = await pool.request({
        method: 'POST',
        path: `/${method}`,
        body: JSON.stringify(request),
      });
      return (await body.json()) as Record<string, unknown>;
    },
  };
}

const NETWORK = 'b'.repeat(64);
const ENDPOINT = 'e'.repeat(64);

/** As Docker creates a network, and shows it when CreateNetwork was answered. */
async function createBlue({ docker, call }: Scene): Promise<string> {
  const local = 'overlayd-local';
  const { PoolID } = await call('IpamDriver.RequestPool', { AddressSpace: local, Pool: '10.55.0.0/24' });
  const gateway = { RequestAddressType: 'com.docker.network.gateway' };
  await call('IpamDriver.RequestAddress', { PoolID, Address: '', Options: gateway });
  const data = [{ AddressSpace: local, Pool: '10.55.0.0/24', Gateway: '10.55.0.1/24' }];
  const answer = await call('NetworkDriver.CreateNetwork', {
    NetworkID: NETWORK,
    Options: {},
    IPv4Data: data,
  });
  if (answer['Err'] !== undefined) throw new Error(JSON.stringify(answer['Err']));
  docker.networks.set(NETWORK, { Id: NETWORK, Name: 'blue', Driver: 'overlayd', Containers: {} });
  docker.emit('network', 'create', NETWORK);
  return String(PoolID);
}

void tap.test(
  '5.3, 5.4: a network by its name, a container with its name, and all of it after a restart',
  async (t) => {
    const scene = setUp(t);
    const { docker, networks, call } = scene;
    await docker.start();
    const first = await scene.open();
    t.equal(statSync(scene.plugin).mode & 0o777, 0o600, 'for root alone');
    const PoolID = await createBlue(scene);
    await until('blue is there', 5000, () => networks.find('blue') !== undefined);

    const { Address } = await call('IpamDriver.RequestAddress', { PoolID, Address: '', Options: null });
    const key = { NetworkID: NETWORK, EndpointID: ENDPOINT };
    const made = await call('NetworkDriver.CreateEndpoint', {
      ...key,
      Interface: { Address, AddressIPv6: '', MacAddress: '' },
    });
    await call('NetworkDriver.Join', { ...key, SandboxKey: '/proc/self/ns/net' });
    const { MacAddress } = made['Interface'] as { MacAddress: string };
    const attachment = {
      Name: 'web',
      EndpointID: ENDPOINT,
      MacAddress,
      IPv4Address: String(Address),
      IPv6Address: '',
    };
    docker.networks.set(NETWORK, {
      Id: NETWORK,
      Name: 'blue',
      Driver: 'overlayd',
      Containers: { c1: attachment },
    });
    docker.emit('network', 'connect', NETWORK, { container: 'c1' });
    await until('the name is told', 5000, () => networks.said.get(MacAddress)?.name === 'web');

    await first.close();
    networks.taps.clear();
    await scene.open();
    t.match(networks.taps.get(ENDPOINT), { netns: '/proc/self/ns/net', mac: MacAddress, ips: ['10.55.0.2'] });
    t.strictSame(await call('NetworkDriver.DeleteEndpoint', key), {});
    t.equal(networks.taps.size, 0);
  },
);

void tap.test('5.3: a socket that somebody else has', async (t) => {
  const scene = setUp(t);
  await scene.open();
  await t.rejects(scene.open(), { code: 'OVL_ALREADY_RUNNING', hint: /--docker-plugin/ });
  await scene.open({ isDefault: true });
  t.match(scene.lines.at(-1), { level: 'warn', message: 'no Docker driver here' });
});

void tap.test('5.3: a socket that cannot be had yet is tried again', async (t) => {
  const scene = setUp(t);
  // Where its folder should be is a file.
  writeFileSync(dirname(scene.plugin), '');
  await t.rejects(scene.open(), { code: 'OVL_SOCKET_FAILED' });
  const side = await scene.open({ isDefault: true });
  t.equal(side.driver, undefined);
  t.match(scene.lines.at(-1), { level: 'warn', message: 'no Docker driver here yet; tried again' });
  unlinkSync(dirname(scene.plugin));
  await until('the driver is there', 5000, () => side.driver !== undefined);
  t.match(scene.lines.at(-1), { level: 'info', message: 'the Docker driver is there' });
  t.match(await scene.call('Plugin.Activate', {}), { Implements: ['NetworkDriver', 'IpamDriver'] });
});

void tap.test('5.3: without a Docker the driver is there and waits', async (t) => {
  const scene = setUp(t);
  await scene.open();
  t.match(await scene.call('Plugin.Activate', {}), { Implements: ['NetworkDriver', 'IpamDriver'] });
  const errors = scene.lines.filter(({ level }) => level === 'warn' || level === 'error');
  t.strictSame(errors, []);
});
