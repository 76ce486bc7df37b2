/** overlayd as a managed plugin, for swarm mode: packed, created, and a service with a replica on each of two nodes. */
import { join } from 'node:path';
import tap from 'tap';
import type { Test } from 'tap';
import { fileURLToPath } from 'node:url';
import { run, until } from '../../agent/demo/process.ts';
import { Testbed } from '../../agent/demo/testbed.ts';
import { dockerTest } from './driver-hosts.ts';
import { Engine, IMAGE } from './engine.ts';

// The machine may be busy.
tap.setTimeout(600_000);

const PACK = fileURLToPath(new URL('../../../agent/docker/managed/pack.sh', import.meta.url));
const MAIN = fileURLToPath(new URL('../../agent/main.js', import.meta.url));
const PLUGIN = 'overlayd:latest';
/** On a busy machine a node takes half a minute to become a manager. */
const LEADER_MS = 90_000;
/** With `sleep` as process 1 a container would take ten seconds to stop. */
const SERVE = 'mkdir -p /www && hostname >/www/index.html && exec httpd -f -p 80 -h /www';

async function install(engine: Engine, folder: string, join_: string): Promise<void> {
  await engine.docker('plugin', 'create', 'overlayd', folder);
  const settings = [
    `docker.source=${engine.socket}`,
    `OVERLAYD_NODE_NAME=${engine.host.name}`,
    `OVERLAYD_JOIN=${join_}`,
    'OVERLAYD_METRICS_ADDR=none',
  ];
  await engine.docker('plugin', 'set', 'overlayd', ...settings);
  await engine.docker('plugin', 'enable', 'overlayd');
}

/** A container of a service on each engine: its id, and its address on the network. */
interface Replica {
  readonly engine: Engine;
  readonly id: string;
  readonly address: string;
}

async function replicas(manager: Engine, engines: readonly Engine[], service: string): Promise<Replica[]> {
  const format = '{{(index .NetworkSettings.Networks "mesh").IPAddress}}';
  return Promise.all(
    engines.map(async (engine) => {
      const filter = `label=com.docker.swarm.service.name=${service}`;
      const id = await until(`${engine.host.name} runs a replica of ${service}`, 40_000, async () => {
        return (await engine.docker('ps', '-q', '-f', filter)) || undefined;
      }).catch(async (error: Error) => {
        throw new Error(`${error.message}: ${await manager.docker('service', 'ps', '--no-trunc', service)}`);
      });
      return { engine, id, address: await engine.docker('inspect', '-f', format, id) };
    }),
  );
}

async function createService(manager: Engine, name: string): Promise<void> {
  // A VIP takes IPVS in the kernel.
  const service = ['--name', name, '--replicas', '2', '--network', 'mesh', '--endpoint-mode', 'dnsrr'];
  const more = ['--no-resolve-image', '--detach', '--replicas-max-per-node', '1', '--stop-signal', 'KILL'];
  await manager.docker('service', 'create', ...service, ...more, IMAGE, 'sh', '-c', SERVE);
}

/** Each fetches a page from each other one. */
async function allReach(t: Test, all: readonly Replica[], what: string): Promise<void> {
  for (const { engine, id } of all) {
    for (const { address } of all.filter((other) => other.id !== id)) {
      const page = ['exec', id, 'timeout', '5', 'wget', '-qO-', `http://${address}/`];
      const served = await until(`${what}: a replica on ${engine.host.name} reaches ${address}`, 10_000, () =>
        engine.docker(...page).catch(() => false as const),
      );
      t.ok(served.length > 0);
    }
  }
}

/** The second node becomes a manager, then the only one: it leads, and gives out addresses from now on. */
async function changeLeader(t: Test, from: Engine, to: Engine): Promise<void> {
  const nodes = (engine: Engine): Promise<string> =>
    engine.docker('node', 'ls', '--format', '{{.Hostname}} {{.ManagerStatus}}');
  await from.docker('node', 'promote', to.host.name);
  await until('there are two managers', LEADER_MS, async () => (await nodes(from)).includes('Reachable'));
  await from.docker('node', 'demote', from.host.name);
  await until('the other one leads', LEADER_MS, async () => {
    return (await nodes(to).catch(() => '')).includes(`${to.host.name} Leader`);
  });
  t.pass(`${to.host.name} leads`);
}

/** Docker starts it again by itself. */
async function killPlugin(t: Test, engine: Engine): Promise<void> {
  // Nothing else in the engine's PID namespace is Node.
  const pid = async (): Promise<string> => (await run(engine.inside(['pidof', 'node']))).stdout.trim();
  const before = await pid();
  await run(engine.inside(['kill', '-KILL', before]));
  await until('the plugin runs again', 20_000, async () => {
    const now = await pid();
    return now !== '' && now !== before;
  });
  t.pass(`${engine.host.name}: the plugin was killed and runs again`);
}

/** Names of the networks that the plugin knows. Its socket's path is too long to be used from here. */
async function networksOf(engine: Engine): Promise<string[]> {
  const plugins = `${engine.host.scratch}/docker/data/plugins`;
  const found = await run(engine.inside(['find', plugins, '-path', '*/run/overlayd', '-type', 'd']));
  const verb = [process.execPath, MAIN, 'networks', 'ls', '-o', 'json', '--socket', './overlayd.sock'];
  const script = 'cd "$1" && shift && exec "$@"';
  const { stdout } = await run(engine.inside(['sh', '-c', script, 'sh', found.stdout.trim(), ...verb]));
  return (JSON.parse(stdout) as { name: string }[]).map(({ name }) => name);
}

dockerTest(
  '2.26, 5.3: swarm services on the managed plugin, over a change of the leader and kill -9 of the plugin',
  async (t) => {
    const testbed = new Testbed();
    t.teardown(() => testbed.close());
    const [a, b] = [testbed.addHost(), testbed.addHost()];
    const folder = join(testbed.scratch, 'managed');
    const packed = await run(['bash', PACK, folder], 60_000);
    t.equal(packed.status, 0, packed.stderr);
    const engines = await Promise.all([Engine.start(a), Engine.start(b)]);
    const [manager, worker] = engines;
    if (manager === undefined || worker === undefined) throw new Error('two engines');
    await Promise.all([install(manager, folder, ''), install(worker, folder, a.ipv4)]);

    await manager.docker('swarm', 'init', '--advertise-addr', a.ipv4);
    const token = await manager.docker('swarm', 'join-token', '-q', 'worker');
    await worker.docker('swarm', 'join', '--token', token, '--advertise-addr', b.ipv4, `${a.ipv4}:2377`);

    const driver = ['-d', PLUGIN, '--ipam-driver', PLUGIN, '--subnet', '10.60.0.0/16'];
    await manager.docker('network', 'create', ...driver, 'mesh');
    await createService(manager, 'web');
    const before = await replicas(manager, engines, 'web');
    t.equal(new Set(before.map(({ address }) => address)).size, 2, 'two addresses');
    await allReach(t, before, 'at first');

    await changeLeader(t, manager, worker);
    t.strictSame(
      await replicas(worker, engines, 'web'),
      before,
      'the containers are the same, with their addresses',
    );
    await createService(worker, 'more');
    const all = [...before, ...(await replicas(worker, engines, 'more'))];
    t.equal(
      new Set(all.map(({ address }) => address)).size,
      4,
      `no two have one address: ${all.map(({ address }) => address).join()}`,
    );
    await allReach(t, all, 'under the new leader');

    const dockerd = `${worker.host.scratch}/docker/dockerd.log`;
    const failed = await run(worker.inside(['grep', 'failed allocating task', dockerd]));
    t.equal(failed.stdout, '', 'the new leader has taken over all addresses');
    await killPlugin(t, manager);
    await killPlugin(t, worker);
    await allReach(t, all, 'after kill -9 of the plugin');

    await worker.docker('service', 'rm', 'web', 'more');
    await until('the replicas are gone', 20_000, async () => {
      const left = await Promise.all(engines.map((engine) => engine.docker('ps', '-q')));
      return left.every((text) => text === '');
    });
    await worker.docker('network', 'rm', 'mesh');
    for (const engine of engines) {
      await until('no interface is left', 10_000, () => !engine.host.ip('-o', 'link').includes(' ovl'));
      t.pass(`${engine.host.name}: no interface is left`);
      await until(`${engine.host.name}: the network is gone`, 25_000, async () => {
        return !(await networksOf(engine)).includes('mesh');
      });
      t.strictSame(await networksOf(engine), ['overlay'], `${engine.host.name}: the network is gone`);
    }
  },
);
