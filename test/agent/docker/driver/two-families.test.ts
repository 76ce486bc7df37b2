/** Networks with IPv4 and IPv6: what is asked for one family says nothing of the other. And gateways that later hosts give. */
import tap from 'tap';
import type { Test } from 'tap';
import { until } from '../../../../agent/demo/process.ts';
import { PluginScene } from './plugin.ts';

function setUp(t: Test): PluginScene {
  const scene = new PluginScene();
  t.teardown(() => scene.close());
  return scene;
}

/** A container with an address of each family; returns the answer to Join. */
async function start(scene: PluginScene, network: string): Promise<object> {
  const addresses: string[] = [];
  for (const PoolID of scene.pools.get(network) ?? []) {
    const given = await scene.call('IpamDriver.RequestAddress', { PoolID, Address: '', Options: null });
    addresses.push(String(given['Address']));
  }
  const key = { NetworkID: network, EndpointID: scene.id() };
  const [Address, AddressIPv6] = addresses;
  await scene.call('NetworkDriver.CreateEndpoint', {
    ...key,
    Interface: { Address, AddressIPv6, MacAddress: '' },
  });
  return scene.call('NetworkDriver.Join', { ...key, SandboxKey: '/run/docker/netns/1' });
}

void tap.test('2.9: a new network with one subnet given has the other family too', async (t) => {
  for (const given of [{ subnet6: 'fd77::/64' }, { subnet: '10.78.0.0/16', subnet6: '' }, { subnet6: '' }]) {
    const scene = setUp(t);
    // What is proposed is that of the one network which this Docker lacks.
    await scene.networks.create({ name: 'blue', subnet: '10.77.0.0/16', subnet6: 'fd99::/64' });
    const green = await scene.createNetwork('green', given);
    await until('there is green', 2000, () => scene.networks.find('green') !== undefined);
    const { subnet = '', subnet6 = '' } = scene.networks.find('green') ?? {};
    t.match(subnet, 'subnet' in given ? /^10\.78\.0\.0/ : /^10\.(?!77\.)/);
    t.match(subnet6, given.subnet6 === '' ? /^fd(?!99)/ : /^fd77::/);
    await start(scene, green);
    t.match([...scene.networks.taps.values()], [{ ips: [/^10\./, /^fd/] }]);
  }
});

void tap.test('2.9: a default route only in the family whose gateway was given', async (t) => {
  const both = { subnet: '10.55.0.0/16', subnet6: 'fd55::/64' };
  for (const [given, Gateway, GatewayIPv6] of [
    [{}, '', ''],
    [{ gateway: '10.55.0.254' }, '10.55.0.254', ''],
    [{ gateway6: 'fd55::fe' }, '', 'fd55::fe'],
    [{ gateway: '10.55.0.254', gateway6: 'fd55::fe' }, '10.55.0.254', 'fd55::fe'],
  ] as const) {
    const scene = setUp(t);
    const blue = await scene.createNetwork('blue', { ...both, ...given });
    t.match(await start(scene, blue), { Gateway, GatewayIPv6 });
    await scene.networks.remove('blue', { force: true });
    t.match(await start(scene, blue), { Gateway, GatewayIPv6 }, 'nor when it was made again');
  }
});

void tap.test('2.9: a network that is made again has the gateway that it had', async (t) => {
  const scene = setUp(t);
  await scene.networks.create({ name: 'blue', subnet: '10.55.0.0/16', gateway: '10.55.0.254' });
  const blue = await scene.createNetwork('blue');
  t.match(await start(scene, blue), { Gateway: '10.55.0.254' });
  await scene.networks.remove('blue', { force: true });
  t.match(await start(scene, blue), { Gateway: '10.55.0.254' }, 'though this host said nothing of it');
});

void tap.test('5.3: a gateway that a later host gives must be the way out already', async (t) => {
  const scene = setUp(t);
  const words = { subnet: '10.55.0.0/16', options: { name: 'blue' } };
  await scene.networks.create({ name: 'blue', subnet: '10.55.0.0/16' });
  const none = { message: /gateway 10\.55\.0\.1 was asked for, it has none/ };
  await t.rejects(scene.createNetwork('blue', { ...words, gateway: '10.55.0.1' }), none);
  await scene.networks.remove('blue', { force: false });

  await scene.createNetwork('blue', words);
  t.match(scene.networks.find('blue'), { gateway: '10.55.0.1' }, 'Docker wants to name one');
  await t.rejects(scene.createNetwork('b', { ...words, gateway: '10.55.0.1' }), none);
  await scene.createNetwork('b', words);
});
