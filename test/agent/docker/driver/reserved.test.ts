/** `--aux-address`: kept off on all hosts, whoever made the network and however often; and never taken for a container's. */
import tap from 'tap';
import type { Test } from 'tap';
import { until } from '../../../../agent/demo/process.ts';
import { PluginScene } from './plugin.ts';
import type { CreateOptions } from './plugin.ts';

const LATER_MS = 120_000;
const ROUTER = '10.55.0.254';
const WORDS: CreateOptions = { subnet: '10.55.0.0/24', aux: { router: ROUTER } };

function setUp(t: Test): PluginScene {
  const scene = new PluginScene();
  t.teardown(() => scene.close());
  return scene;
}

const reconcile = (scene: PluginScene): Promise<object> =>
  scene.reconciler.reconcile([...scene.shown.values()]);

const held = (scene: PluginScene, network: string): Promise<unknown> =>
  until(`${network} keeps it off`, 2000, () => scene.addresses.held.has(`${network} ${ROUTER}`));

/** As the address of a starting container. */
function ask(scene: PluginScene, network: string, Address = ''): Promise<{ readonly Address?: unknown }> {
  const [PoolID] = scene.pools.get(network) ?? [];
  return scene.call('IpamDriver.RequestAddress', { PoolID, Address, Options: null });
}

void tap.test('2.9: the second host says the very words of the first', async (t) => {
  const scene = setUp(t);
  await scene.networks.create({ name: 'blue', subnet: '10.55.0.0/24' });
  scene.addresses.foreign.add(ROUTER);
  const blue = await scene.createNetwork('blue', WORDS);
  const told = (): unknown[] => scene.lines.filter(({ message }) => message.includes('--aux-address'));
  await until('it was tried', 2000, () => told().length > 0);
  t.match(told(), [{ level: 'info', fields: { network: 'blue', ip: ROUTER } }]);
  await t.rejects(scene.startContainer(blue, { ip: ROUTER }), { message: /a reserved address/ });
  // The first host's Docker gives its network up.
  scene.addresses.foreign.clear();
  await reconcile(scene);
  await held(scene, 'blue');
  t.equal(told().length, 1, 'said once');
  await scene.removeNetwork(blue);
  t.equal(scene.addresses.held.size, 0);
});

void tap.test('2.9: of a network that is there already it is kept off, and stays so', async (t) => {
  for (const driver of [undefined, 'macvlan']) {
    const scene = setUp(t);
    await scene.networks.create({ name: 'blue', subnet: '10.55.0.0/24' });
    const words = { ...WORDS, ...(driver !== undefined && { driver }) };
    const blue = await scene.createNetwork('blue', words);
    await reconcile(scene);
    await held(scene, 'blue');
    scene.nowMs += LATER_MS;
    await reconcile(scene);
    t.ok(scene.addresses.held.has(`blue ${ROUTER}`), `${driver}: no container has it, nor is one to have it`);
    await t.rejects(ask(scene, blue, ROUTER), { message: /a reserved address/ });
    t.match(await ask(scene, blue), { Address: '10.55.0.2/24' });
  }
});

void tap.test('2.9: another network that happens to have the subnet is left alone', async (t) => {
  const scene = setUp(t);
  await scene.networks.create({ name: 'other', subnet: '10.55.0.0/24' });
  await scene.createNetwork('blue', WORDS);
  await held(scene, 'blue');
  t.strictSame([...scene.addresses.held], [`blue ${ROUTER}`]);
});

void tap.test('2.9: a network that was made again keeps it off anew', async (t) => {
  const scene = setUp(t);
  const blue = await scene.createNetwork('blue', WORDS);
  await held(scene, 'blue');
  await scene.networks.remove('blue', { force: true });
  t.equal(scene.addresses.held.size, 0);
  await scene.startContainer(blue);
  await held(scene, 'blue');
});

void tap.test('2.9: a router that the network has as its gateway is no matter', async (t) => {
  const scene = setUp(t);
  await scene.networks.create({ name: 'blue', subnet: '10.55.0.0/24', gateway: ROUTER });
  await scene.createNetwork('lan', { ...WORDS, driver: 'macvlan', gateway: '10.55.0.253' });
  await reconcile(scene);
  t.notOk(scene.lines.some(({ message }) => message.includes('--aux-address')));
});

void tap.test('T8: --ip on a young macvlan network is claimed as what it is', async (t) => {
  const scene = setUp(t);
  await scene.networks.create({ name: 'blue', subnet: '10.55.0.0/24' });
  const lan = await scene.createNetwork('lan', { ...WORDS, driver: 'macvlan' });
  t.match(await ask(scene, lan, '10.55.0.77'), { Address: '10.55.0.77/24' });
  t.ok(scene.addresses.held.has('blue 10.55.0.77'));
  scene.addresses.foreign.add('10.55.0.78');
  await t.rejects(ask(scene, lan, '10.55.0.78'), { message: /is taken/ });
});

void tap.test('T8: macvlan networks whose subnet more networks have, or a name that none has', async (t) => {
  const scene = setUp(t);
  const lan = await scene.createNetwork('lan', { ...WORDS, driver: 'macvlan' });
  await t.rejects(ask(scene, lan, '10.55.0.77'), { message: /no network of overlayd has the subnet/ });
  await scene.networks.create({ name: 'blue', subnet: '10.55.0.0/24' });
  await scene.networks.create({ name: 'red', subnet: '10.55.0.0/24' });
  const which = { message: /^blue and red have the subnet 10\.55\.0\.0\/24\. .*--ipam-opt name=NAME/ };
  await t.rejects(ask(scene, lan), which);
  await t.rejects(ask(scene, lan, '10.55.0.77'), which);
  const words = { subnet: '10.55.0.0/24', driver: 'macvlan' };
  const red = await scene.createNetwork('lan2', { ...words, ipamOptions: { name: 'red' } });
  t.match(await ask(scene, red, '10.55.0.77'), { Address: '10.55.0.77/24' });
  t.strictSame([...scene.addresses.held], ['red 10.55.0.77']);
  const rad = await scene.createNetwork('lan3', { ...words, ipamOptions: { name: 'rad' } });
  await t.rejects(ask(scene, rad), { message: /there is no network "rad"/ });
});

void tap.test('T8: Docker shows the subnet of a macvlan network as the user wrote it', async (t) => {
  const scene = setUp(t);
  await scene.networks.create({ name: 'blue', subnet: '10.50.0.0/16', subnet6: 'fd50::/64' });
  const lan = await scene.createNetwork('lan', {
    driver: 'macvlan',
    subnet: '10.50.0.1/16',
    subnet6: 'FD50::/64',
  });
  const Config = [{ Subnet: '10.50.0.1/16' }, { Subnet: 'FD50::/64' }];
  const given = String((await ask(scene, lan))['Address']);
  const Containers = { c1: { EndpointID: 'e1', IPv4Address: given } };
  scene.show(lan, 'lan', { Driver: 'macvlan', IPAM: { Driver: 'overlayd', Config }, Containers });
  scene.nowMs += LATER_MS;
  await reconcile(scene);
  t.equal(scene.book.pools.size, 2);
  t.strictSame([...scene.addresses.held], ['blue 10.50.0.2']);
});
