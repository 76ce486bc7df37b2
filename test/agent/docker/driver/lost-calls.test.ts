/** Calls of Docker's that overlayd never heard, or that it died over before it answered: the next run makes up for them. */
import tap from 'tap';
import type { Test } from 'tap';
import { until } from '../../../../agent/demo/process.ts';
import { OverlaydError } from '../../../../agent/errors.ts';
import { PluginScene } from './plugin.ts';

const IP = '10.55.0.77';

async function withBlue(t: Test): Promise<{ scene: PluginScene; blue: string; pool: string }> {
  const scene = new PluginScene();
  t.teardown(() => scene.close());
  const blue = await scene.createNetwork('blue', { subnet: '10.55.0.0/24' });
  await until('blue is there', 2000, () => scene.networks.find('blue') !== undefined);
  return { scene, blue, pool: scene.pools.get(blue)?.[0] ?? '' };
}

/** kill -9 and a new start. */
async function restart(scene: PluginScene): Promise<void> {
  scene.networks.taps.clear();
  scene.start();
  await scene.reconciler.restore();
}

const ask = (scene: PluginScene, PoolID: string): Promise<unknown> =>
  scene.call('IpamDriver.RequestAddress', { PoolID, Address: IP, Options: null });

const createEndpoint = (scene: PluginScene, network: string, id: string, ip = IP): Promise<unknown> =>
  scene.call('NetworkDriver.CreateEndpoint', {
    NetworkID: network,
    EndpointID: id.padStart(64, 'e'),
    Interface: { Address: `${ip}/24`, AddressIPv6: '', MacAddress: '' },
  });

void tap.test('3.15, 5.3: with its address goes an endpoint whose deletion was lost', async (t) => {
  const { scene, blue, pool } = await withBlue(t);
  const container = await scene.startContainer(blue);
  await restart(scene);
  // The next container may have the address and the MAC in this moment.
  await scene.call('IpamDriver.ReleaseAddress', { PoolID: pool, Address: container.address });
  t.equal(scene.networks.taps.size + scene.book.endpoints.size + scene.addresses.held.size, 0);
});

void tap.test('3.15, 5.3: an address whose answer was lost is there for who asks again', async (t) => {
  const { scene, blue, pool } = await withBlue(t);
  await ask(scene, pool);
  await t.rejects(ask(scene, pool), { message: /taken/ }, 'another container may be about to have it');
  await restart(scene);
  t.match(await ask(scene, pool), { Address: `${IP}/24` });
  await t.rejects(ask(scene, pool), { message: /taken/ }, 'once');
  await createEndpoint(scene, blue, 'a');
  await restart(scene);
  await t.rejects(ask(scene, pool), { message: /taken/ }, 'nor while a container has it');
  await scene.call('NetworkDriver.DeleteEndpoint', { NetworkID: blue, EndpointID: 'a'.padStart(64, 'e') });
  await t.rejects(ask(scene, pool), { message: /taken/ }, 'nor before Docker has given it back');
  await scene.call('IpamDriver.ReleaseAddress', { PoolID: pool, Address: IP });
  t.equal(scene.addresses.held.size, 0);
  await ask(scene, pool);
});

void tap.test('3.15, 5.3: of two that got one address over a restart, the first has it', async (t) => {
  const { scene, blue, pool } = await withBlue(t);
  // Answered, and Docker goes on with it; another container is to have the same.
  await ask(scene, pool);
  await restart(scene);
  await ask(scene, pool);
  await createEndpoint(scene, blue, 'a');
  await t.rejects(createEndpoint(scene, blue, 'b'), { message: /was taken by another container.*Choose/ });
  await scene.call('IpamDriver.ReleaseAddress', { PoolID: pool, Address: IP });
  t.equal(
    scene.networks.taps.size,
    1,
    'what Docker gives back for the second is still the address of the first',
  );
  t.strictSame([...scene.addresses.held], [`blue ${IP}`]);
  await scene.call('NetworkDriver.DeleteEndpoint', { NetworkID: blue, EndpointID: 'a'.padStart(64, 'e') });
  await scene.call('IpamDriver.ReleaseAddress', { PoolID: pool, Address: IP });
  t.equal(scene.networks.taps.size + scene.addresses.held.size, 0);
});

void tap.test(
  '3.14, 5.3: what a container has left is not made anew while Docker moves it back',
  async (t) => {
    const { scene, blue } = await withBlue(t);
    const container = await scene.startContainer(blue, { sandbox: '/proc/self/ns/net' });
    const key = { NetworkID: blue, EndpointID: container.endpoint };
    await scene.call('NetworkDriver.Leave', key);
    await restart(scene);
    scene.nowMs += 120_000;
    await scene.reconciler.reconcile([...scene.shown.values()]);
    t.equal(scene.networks.taps.size, 0);
    t.ok(scene.book.endpoints.has(container.endpoint), 'Docker shows it still');
    await scene.call('NetworkDriver.Join', { ...key, SandboxKey: '/proc/self/ns/net' });
    await restart(scene);
    t.match(
      scene.networks.taps.get(container.endpoint),
      { netns: '/proc/self/ns/net' },
      'joined again, it is there',
    );
  },
);

void tap.test("5.3: an address of Docker's own that comes again is free there", async (t) => {
  const scene = new PluginScene();
  t.teardown(() => scene.close());
  const id = await scene.createNetworkOfDocker('blue');
  await until('blue is there', 2000, () => scene.networks.find('blue') !== undefined);
  await createEndpoint(scene, id, 'a');
  await createEndpoint(scene, id, 'b');
  t.strictSame(
    [...scene.networks.taps.keys()],
    ['b'.padStart(64, 'e')],
    'the deletion of the first was lost',
  );
  t.strictSame([...scene.addresses.held], [`blue ${IP}`]);
});

void tap.test('5.3: pools whose release was lost go with their network', async (t) => {
  const { scene, blue } = await withBlue(t);
  await restart(scene);
  await scene.call('NetworkDriver.DeleteNetwork', { NetworkID: blue });
  t.equal(scene.book.pools.size + scene.book.networks.size, 0);
  t.equal(scene.networks.find('blue'), undefined);
});

void tap.test(
  '5.3: a network whose pools were given back and whose deletion was lost goes at once',
  async (t) => {
    const { scene, blue, pool } = await withBlue(t);
    await scene.call('IpamDriver.ReleasePool', { PoolID: pool });
    await restart(scene);
    await scene.reconciler.reconcile([...scene.shown.values()]);
    t.ok(scene.networks.find('blue'), 'Docker may still refuse to remove it');
    scene.shown.delete(blue);
    await scene.reconciler.reconcile([]);
    t.equal(scene.book.networks.size, 0);
    t.equal(scene.networks.find('blue'), undefined);
  },
);

void tap.test('5.3: what cannot be taken away, or opened, now is tried again', async (t) => {
  const { scene, blue } = await withBlue(t);
  const [gone, other] = [await scene.startContainer(blue), await scene.startContainer(blue)];
  const kept = await scene.startContainer(blue);
  for (const { endpoint } of [gone, other]) delete scene.shown.get(blue)?.Containers[endpoint];
  const busy = new OverlaydError('OVL_TAP_BUSY', 'in use');
  scene.nowMs += 120_000;
  scene.networks.stuck.set(gone.endpoint, busy);
  const reconcile = (): Promise<object> => scene.reconciler.reconcile([...scene.shown.values()]);
  t.match(await reconcile(), { endpoints: 1 });
  t.ok(scene.book.endpoints.has(gone.endpoint), 'still written down');
  t.notOk(scene.book.endpoints.has(other.endpoint), 'the others are not kept up by it');
  scene.networks.stuck.clear();
  t.match(await reconcile(), { endpoints: 1 });
  t.notOk(scene.book.endpoints.has(gone.endpoint));

  await restart(scene);
  scene.networks.taps.clear();
  scene.networks.failure = busy;
  await reconcile();
  t.match(scene.lines.at(-1)?.message, /interface of a container is lost/);
  await reconcile();
  t.ok(scene.networks.taps.has(kept.endpoint));
});

void tap.test('5.3: what cannot be written down is not kept from others', async (t) => {
  const { scene, pool } = await withBlue(t);
  const isFull = (): never => {
    throw new OverlaydError('OVL_STATE', 'no space left on device');
  };
  const full = { message: /no space left/ };
  scene.book.putAddress = isFull;
  await t.rejects(ask(scene, pool), full);
  t.equal(scene.addresses.held.size, 0);
  Reflect.deleteProperty(scene.book, 'putAddress');

  // Addresses that Docker's own IPAM chose are claimed with the endpoint.
  const green = await scene.createNetworkOfDocker('green');
  scene.book.putEndpoint = isFull;
  await t.rejects(createEndpoint(scene, green, 'b', '10.55.0.5'), full);
  t.equal(scene.addresses.held.size, 0);
  Reflect.deleteProperty(scene.book, 'putEndpoint');
  await createEndpoint(scene, green, 'b', '10.55.0.5');
  t.match(await ask(scene, pool), { Address: `${IP}/24` });
});

/** Stands still from the first call on, until it is opened. */
class Gate {
  isReached = false;
  open!: () => void;
  readonly #opened = new Promise<void>((resolve) => {
    this.open = resolve;
  });

  pass(): Promise<void> {
    this.isReached = true;
    return this.#opened;
  }
}

void tap.test('5.3: a network that is removed while its name is asked for is not made', async (t) => {
  const scene = new PluginScene();
  t.teardown(() => scene.close());
  const gate = new Gate();
  scene.pace = () => gate.pass();
  const blue = await scene.createNetwork('blue', { subnet: '10.55.0.0/24' });
  await until('the name is asked for', 2000, () => gate.isReached);
  const shown = scene.shown.get(blue);
  await scene.removeNetwork(blue);
  // Docker's answer is on its way.
  if (shown !== undefined) scene.shown.set(blue, shown);
  gate.open();
  await new Promise((resolve) => setImmediate(resolve));
  t.strictSame(scene.networks.list(), []);
  t.notOk(scene.lines.some(({ level }) => level === 'warn'));
});

void tap.test('5.3: an endpoint that is deleted while it is opened again is gone', async (t) => {
  const { scene, blue } = await withBlue(t);
  const container = await scene.startContainer(blue);
  await restart(scene);
  scene.nowMs += 120_000;
  // Not come by gossip yet.
  scene.networks.definitions.clear();
  const gate = new Gate();
  const create = scene.networks.create.bind(scene.networks);
  scene.networks.create = async (spec) => {
    await gate.pass();
    return create(spec);
  };
  const reconciled = scene.reconciler.reconcile([...scene.shown.values()]);
  await until('it is opened', 2000, () => gate.isReached);
  const deleted = scene.call('NetworkDriver.DeleteEndpoint', {
    NetworkID: blue,
    EndpointID: container.endpoint,
  });
  // Long enough for the call to have arrived.
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  gate.open();
  await Promise.all([reconciled, deleted]);
  t.equal(scene.book.endpoints.size + scene.networks.taps.size, 0);
});
