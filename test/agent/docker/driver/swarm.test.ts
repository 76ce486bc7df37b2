/** Swarm's manager, which begins with a new pool whenever it is restarted or another node leads. */
import tap from 'tap';
import type { Test } from 'tap';
import { until } from '../../../../agent/demo/process.ts';
import { PluginScene } from './plugin.ts';

const MESH = 'o5j7uc52yw38njnyreslgsv4i';
const GATEWAY = { RequestAddressType: 'com.docker.network.gateway' };

async function setUp(t: Test): Promise<PluginScene> {
  const scene = new PluginScene();
  t.teardown(() => scene.close());
  scene.scope = 'global';
  scene.start();
  scene.show(MESH, 'mesh', { Driver: 'overlayd:latest', IPAM: { Driver: 'overlayd:latest', Config: [] } });
  return Promise.resolve(scene);
}

/** What a manager asks when it begins to lead; returns its pool. */
async function lead(scene: PluginScene): Promise<string> {
  const pool = { AddressSpace: 'overlayd-global', Pool: '10.60.0.0/16' };
  const { PoolID } = await scene.call('IpamDriver.RequestPool', pool);
  await scene.call('IpamDriver.RequestAddress', { PoolID, Address: '10.60.0.1', Options: GATEWAY });
  await scene.call('NetworkDriver.AllocateNetwork', {
    NetworkID: MESH,
    Options: {},
    IPv4Data: [{ AddressSpace: '', Pool: '10.60.0.0/16', Gateway: '10.60.0.1/16' }],
    IPv6Data: [],
  });
  await until('there is mesh', 2000, () => scene.networks.find('mesh') !== undefined);
  return String(PoolID);
}

const ask = (scene: PluginScene, PoolID: string, Address = ''): Promise<unknown> =>
  scene.call('IpamDriver.RequestAddress', { PoolID, Address, Options: {} });

void tap.test('5.3: a manager that was restarted gets the addresses of its tasks again', async (t) => {
  const scene = await setUp(t);
  const first = await lead(scene);
  t.match(await ask(scene, first), { Address: '10.60.0.2/16' });
  t.match(await ask(scene, first), { Address: '10.60.0.3/16' });
  scene.nowMs += 1000;
  const second = await lead(scene);
  t.match(await ask(scene, second, '10.60.0.2'), { Address: '10.60.0.2/16' });
  await t.rejects(ask(scene, second, '10.60.0.2'), { message: /taken/ }, 'once');
  await scene.reconciler.reconcile([...scene.shown.values()]);
  t.ok(scene.book.pools.has(first), 'it may not be through with asking');
  scene.nowMs += 120_000;
  await scene.reconciler.reconcile([...scene.shown.values()]);
  t.strictSame([...scene.book.pools.keys()], [second]);
  t.strictSame([...scene.addresses.held], ['mesh 10.60.0.2'], 'the other task ended while it was away');
  await scene.call('IpamDriver.ReleaseAddress', { PoolID: second, Address: '10.60.0.2' });
  t.equal(scene.addresses.held.size, 0);
});

void tap.test('5.3: another leader gets the addresses that the last one gave', async (t) => {
  const scene = await setUp(t);
  const pool = await lead(scene);
  scene.addresses.foreign.add('10.60.0.2');
  t.match(
    await ask(scene, pool, '10.60.0.2'),
    { Address: '10.60.0.2/16' },
    'claimed on the host of the last one',
  );
  await t.rejects(ask(scene, pool, '10.60.0.2'), { message: /taken/ });
  t.match(await ask(scene, pool, '10.60.0.9'), { Address: '10.60.0.9/16' });
  t.strictSame([...scene.addresses.held], ['mesh 10.60.0.9']);
  for (const Address of ['10.60.0.2', '10.60.0.9'])
    await scene.call('IpamDriver.ReleaseAddress', { PoolID: pool, Address });
  t.equal(scene.addresses.held.size, 0);
});
