/** What a killed daemon left, or missed, is put right when it is back: nothing leaks, nothing is lost. */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import tap from 'tap';
import type { Test } from 'tap';
import { until } from '../../../../agent/demo/process.ts';
import { PluginScene } from './plugin.ts';

const LATER_MS = 120_000;

async function withBlue(t: Test): Promise<{ scene: PluginScene; blue: string }> {
  const scene = new PluginScene();
  t.teardown(() => scene.close());
  const blue = await scene.createNetwork('blue', { subnet: '10.55.0.0/24' });
  await until('blue is there', 2000, () => scene.networks.find('blue') !== undefined);
  return { scene, blue };
}

/** kill -9 and a new start: what is on disk is all there is; networks forget their endpoints, addresses do not. */
async function restart(scene: PluginScene): Promise<void> {
  scene.networks.taps.clear();
  scene.start();
  await scene.reconciler.restore();
}

const reconcile = (scene: PluginScene): Promise<object> =>
  scene.reconciler.reconcile([...scene.shown.values()]);

void tap.test('5.3: after kill -9 endpoints are there again, with their container', async (t) => {
  const { scene, blue } = await withBlue(t);
  const container = await scene.startContainer(blue);
  await restart(scene);
  t.equal(scene.networks.taps.size, 0, 'its namespace is not on this machine: left to Docker to tell');
  t.ok(scene.book.endpoints.has(container.endpoint));
  scene.nowMs += LATER_MS;
  await reconcile(scene);
  t.match(scene.networks.taps.get(container.endpoint), { netns: '/run/docker/netns/1089eac5f408' });
  t.ok(scene.addresses.held.has(`blue ${container.address}`));
  await scene.stopContainer(blue, container);
  t.equal(scene.networks.taps.size + scene.addresses.held.size, 0);
});

void tap.test('5.3: kill -9 at each step of a start: nothing leaks once Docker has gone on', async (t) => {
  for (const steps of [1, 2, 3]) {
    const { scene, blue } = await withBlue(t);
    const [PoolID] = scene.pools.get(blue) ?? [];
    const key = { NetworkID: blue, EndpointID: scene.id() };
    const given = await scene.call('IpamDriver.RequestAddress', { PoolID, Address: '', Options: null });
    const create = { ...key, Interface: { Address: given['Address'], AddressIPv6: '', MacAddress: '' } };
    if (steps > 1) await scene.call('NetworkDriver.CreateEndpoint', create);
    if (steps > 2) await scene.call('NetworkDriver.Join', { ...key, SandboxKey: '/run/docker/netns/none' });
    await restart(scene);
    await reconcile(scene);
    t.equal(
      scene.addresses.held.size,
      1,
      `${steps}: what is young is left alone, Docker may be about to repeat`,
    );
    scene.nowMs += LATER_MS;
    await reconcile(scene);
    t.equal(scene.addresses.held.size, 0, `${steps}: the address is back`);
    t.equal(scene.book.endpoints.size + scene.networks.taps.size, 0, `${steps}: the endpoint is gone`);
    t.ok(scene.networks.find('blue'), `${steps}: the network stays`);
  }
});

void tap.test('5.3: kill -9 between the calls of a stop', async (t) => {
  for (const missed of ['Leave', 'DeleteEndpoint', 'ReleaseAddress']) {
    const { scene, blue } = await withBlue(t);
    const container = await scene.startContainer(blue);
    const key = { NetworkID: blue, EndpointID: container.endpoint };
    if (missed !== 'Leave') await scene.call('NetworkDriver.Leave', key);
    if (missed === 'ReleaseAddress') await scene.call('NetworkDriver.DeleteEndpoint', key);
    delete scene.shown.get(blue)?.Containers[container.endpoint];
    await restart(scene);
    scene.nowMs += LATER_MS;
    await reconcile(scene);
    t.equal(scene.addresses.held.size + scene.book.endpoints.size + scene.networks.taps.size, 0, missed);
  }
});

void tap.test('5.3: networks and pools that Docker dropped in our absence', async (t) => {
  const { scene, blue } = await withBlue(t);
  await scene.startContainer(blue);
  scene.shown.delete(blue);
  await restart(scene);
  scene.nowMs += LATER_MS;
  await reconcile(scene);
  t.equal(scene.book.networks.size + scene.book.pools.size + scene.book.endpoints.size, 0);
  t.equal(scene.networks.find('blue'), undefined);
  t.equal(scene.addresses.held.size, 0);
  t.match(scene.lines.at(-1)?.message, /Docker no longer has/);
});

void tap.test('5.3: a Docker that is not the one whose containers run here takes nothing away', async (t) => {
  const { scene, blue } = await withBlue(t);
  const container = await scene.startContainer(blue, { sandbox: '/proc/self/ns/net' });
  scene.shown.delete(blue);
  scene.nowMs += LATER_MS;
  await reconcile(scene);
  t.ok(scene.networks.taps.has(container.endpoint));
  t.ok(scene.addresses.held.has(`blue ${container.address}`));
  t.ok(scene.networks.find('blue'));
});

void tap.test('5.3: while Docker is away nothing is judged', async (t) => {
  const { scene, blue } = await withBlue(t);
  const container = await scene.startContainer(blue);
  scene.nowMs += LATER_MS;
  scene.isDockerThere = false;
  await t.rejects(reconcile(scene), { message: 'Docker is away' });
  t.ok(scene.networks.taps.has(container.endpoint));
});

void tap.test('5.3: our own state may be lost: Docker knows the rest', async (t) => {
  const { scene, blue } = await withBlue(t);
  writeFileSync(scene.file, '');
  await restart(scene);
  const container = await scene.startContainer(blue);
  t.equal(container.address, '10.55.0.2');
  t.equal(scene.networks.list().length, 1);
  await scene.stopContainer(blue, container);
  await scene.removeNetwork(blue);
  t.equal(scene.book.pools.size + scene.book.networks.size, 0);
});

void tap.test('5.3: a network that another host took away is made again as it was', async (t) => {
  const { scene, blue } = await withBlue(t);
  const vni = scene.networks.find('blue')?.vni;
  await scene.networks.remove('blue', { force: false });
  const container = await scene.startContainer(blue);
  t.equal(container.address, '10.55.0.2');
  t.match(scene.networks.find('blue'), { vni, subnet: '10.55.0.0/24' });
});

void tap.test('5.3: what an operator removed by force stays removed, while its containers run', async (t) => {
  const { scene, blue } = await withBlue(t);
  const old = await scene.startContainer(blue, { sandbox: '/proc/self/ns/net' });
  scene.nowMs += LATER_MS;
  await scene.networks.remove('blue', { force: true });
  const warnings = (): unknown[] => scene.lines.filter(({ level }) => level === 'warn');
  for (let again = 0; again < 2; again++) {
    await reconcile(scene);
    t.equal(scene.networks.list().length, 0, 'nobody asked for it again');
    t.match(warnings(), [{ message: /interface of a container is lost; .*restart it/ }], 'said once');
  }
  await restart(scene);
  t.equal(scene.networks.list().length, 0, 'nor does a start of overlayd ask for it');

  const container = await scene.startContainer(blue);
  t.ok(scene.networks.find('blue'), 'a container that is started does');
  t.equal(container.address, '10.55.0.3', 'and gets no address that a container here has had from Docker');
  await reconcile(scene);
  t.strictSame([...scene.networks.taps.keys()], [container.endpoint], 'what was cut off stays so');
  await scene.stopContainer(blue, old);
  t.strictSame([...scene.networks.taps.keys()], [container.endpoint]);
  await scene.stopContainer(blue, container);
  t.equal(scene.addresses.held.size, 0);
});

void tap.test('5.3: a record cut short by a crash, and records that make no sense', async (t) => {
  const { scene, blue } = await withBlue(t);
  appendFileSync(
    scene.file,
    '["endpoint","x",{"id":5}]\n["what","y",{}]\nnonsense\n["network","z",{"id":"z"',
  );
  await restart(scene);
  t.ok(scene.book.networks.has(blue));
  t.equal(scene.book.endpoints.size, 0);
  t.match(scene.lines.at(-1), { level: 'warn', fields: { rows: 2 } });
  const container = await scene.startContainer(blue);
  await restart(scene);
  t.ok(scene.book.endpoints.has(container.endpoint));
});

void tap.test('5.3: the file stays small over many starts and stops', async (t) => {
  const { scene, blue } = await withBlue(t);
  for (let i = 0; i < 300; i++) await scene.stopContainer(blue, await scene.startContainer(blue));
  t.ok(readFileSync(scene.file).length < 150_000, `${readFileSync(scene.file).length} bytes`);
});
