/** overlayd as a managed plugin, for swarm mode: packed, created, and a service with a replica on each of two nodes. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run, until } from '../../agent/demo/process.ts';
import { Testbed } from '../../agent/demo/testbed.ts';
import { dockerTest } from './driver-hosts.ts';
import { Engine, IMAGE } from './engine.ts';

const PACK = fileURLToPath(new URL('../../../agent/docker/managed/pack.sh', import.meta.url));
const PLUGIN = 'overlayd:latest';
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

dockerTest('5.3: a swarm service with two replicas on the managed plugin', async (t) => {
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
  const service = ['--name', 'web', '--replicas', '2', '--network', 'mesh', '--endpoint-mode', 'dnsrr'];
  const more = ['--no-resolve-image', '--detach', '--replicas-max-per-node', '1', '--stop-signal', 'KILL'];
  await manager.docker('service', 'create', ...service, ...more, IMAGE, 'sh', '-c', SERVE);
  const ids = await Promise.all(
    engines.map((engine) =>
      until(`${engine.host.name} runs a replica`, 40_000, async () => {
        return (
          (await engine.docker('ps', '-q', '-f', 'label=com.docker.swarm.service.name=web')) || undefined
        );
      }).catch(async (error: Error) => {
        throw new Error(`${error.message}: ${await manager.docker('service', 'ps', '--no-trunc', 'web')}`);
      }),
    ),
  );
  const format = '{{(index .NetworkSettings.Networks "mesh").IPAddress}}';
  const addresses = await Promise.all(
    engines.map((engine, index) => engine.docker('inspect', '-f', format, ids[index] ?? '')),
  );
  t.equal(new Set(addresses).size, 2, `two addresses: ${addresses.join(', ')}`);
  for (const [index, engine] of engines.entries()) {
    const other = addresses[1 - index] ?? '';
    const page = ['exec', ids[index] ?? '', 'timeout', '5', 'wget', '-qO-', `http://${other}/`];
    const served = await until(`replica ${index} reaches ${other}`, 10_000, () =>
      engine.docker(...page).catch(() => false as const),
    );
    t.ok(served.length > 0);
  }
  await manager.docker('service', 'rm', 'web');
  await until('the replicas are gone', 20_000, async () => {
    const left = await Promise.all(engines.map((engine) => engine.docker('ps', '-q')));
    return left.every((text) => text === '');
  });
  await manager.docker('network', 'rm', 'mesh');
  for (const engine of engines) {
    await until('no interface is left', 10_000, () => !engine.host.ip('-o', 'link').includes(' ovl'));
    t.pass(`${engine.host.name}: no interface is left`);
  }
});
