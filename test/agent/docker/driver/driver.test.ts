import tap from 'tap';
import type { Test } from 'tap';
import { OverlaydError } from '../../../../agent/errors.ts';
import { until } from '../../../../agent/demo/process.ts';
import type { Line } from '../../recording-log.ts';
import { PluginScene } from './plugin.ts';
import type { Json } from './plugin.ts';

function setUp(t: Test): PluginScene {
  const scene = new PluginScene();
  t.teardown(() => scene.close());
  return scene;
}

/** After CreateNetwork the name is asked for in the background. */
async function resolved(scene: PluginScene, name: string): Promise<void> {
  await until(`there is ${name}`, 2000, () => scene.networks.find(name) !== undefined);
}

void tap.test('5.3: the first calls of an engine', async (t) => {
  const scene = setUp(t);
  t.strictSame(await scene.raw('Plugin.Activate', ''), {
    status: 200,
    body: { Implements: ['NetworkDriver', 'IpamDriver'] },
  });
  t.strictSame(await scene.call('NetworkDriver.GetCapabilities'), {
    Scope: 'local',
    ConnectivityScope: 'global',
  });
  t.strictSame(await scene.call('IpamDriver.GetCapabilities'), {
    RequiresMACAddress: false,
    RequiresRequestReplay: false,
  });
  t.strictSame(await scene.call('IpamDriver.GetDefaultAddressSpaces'), {
    LocalDefaultAddressSpace: 'overlayd-local',
    GlobalDefaultAddressSpace: 'overlayd-global',
  });
});

void tap.test('5.3: a network and a container from birth to death leave nothing', async (t) => {
  const scene = setUp(t);
  const blue = await scene.createNetwork('blue', {
    subnet: '10.55.0.0/24',
    options: { vni: '42', mtu: '1400' },
  });
  await resolved(scene, 'blue');
  t.match(scene.networks.find('blue'), { subnet: '10.55.0.0/24', gateway: '10.55.0.1', vni: 42, mtu: 1400 });

  const container = await scene.startContainer(blue);
  t.equal(container.address, '10.55.0.2');
  t.equal(container.mac, '02:42:0a:37:00:02', 'as Docker makes them');
  t.match(container.joined, {
    InterfaceName: { SrcName: /^ovl[0-9a-f]{12}$/, DstPrefix: 'eth' },
    // Nobody asked for it, and a default route to nowhere would take the place of one that leads somewhere.
    Gateway: '',
    GatewayIPv6: '',
    DisableGatewayService: true,
  });
  t.match([...scene.networks.taps.values()], [{ ips: ['10.55.0.2'], mac: container.mac }]);
  const key = { NetworkID: blue, EndpointID: container.endpoint };
  t.strictSame(await scene.call('NetworkDriver.EndpointOperInfo', key), { Value: {} });
  t.strictSame(await scene.call('NetworkDriver.ProgramExternalConnectivity', key), {});

  await scene.stopContainer(blue, container);
  t.equal(scene.networks.taps.size, 0);
  t.equal(scene.addresses.held.size, 0);
  await scene.removeNetwork(blue);
  t.equal(scene.networks.find('blue'), undefined, 'it was Docker who wanted it');
  t.equal(scene.book.pools.size + scene.book.networks.size + scene.book.endpoints.size, 0);
});

void tap.test('5.3: the same name on another host is the same network', async (t) => {
  const scene = setUp(t);
  await scene.networks.create({ name: 'blue', subnet: '10.77.0.0/16', vni: 77, gateway: '10.77.255.254' });
  const blue = await scene.createNetwork('blue');
  t.match(scene.shown.get(blue)?.IPAM.Config, [{ Subnet: '10.77.0.0/16', Gateway: '10.77.255.254' }]);
  const container = await scene.startContainer(blue);
  t.equal(container.address, '10.77.0.2');
  t.equal(container.joined['Gateway'], '10.77.255.254');
  await scene.stopContainer(blue, container);
  await scene.removeNetwork(blue);
  t.ok(scene.networks.find('blue'), 'made by somebody else: it stays');
});

void tap.test('5.3: a wrong guess at the subnet costs nothing but what inspect shows', async (t) => {
  const scene = setUp(t);
  await scene.networks.create({ name: 'blue', subnet: '10.77.0.0/16' });
  const green = await scene.createNetwork('green');
  await resolved(scene, 'green');
  const theirs = scene.networks.find('green');
  t.not(theirs?.subnet, '10.77.0.0/16', 'green is new, so it has a subnet of its own');
  const container = await scene.startContainer(green);
  t.equal(container.address, theirs?.subnet?.replace('0.0/16', '0.2'));

  await scene.networks.create({ name: 'red', subnet: '10.78.0.0/16' });
  const blue = await scene.createNetwork('blue', { ipamOptions: { name: 'blue' } });
  t.match(
    scene.shown.get(blue)?.IPAM.Config,
    [{ Subnet: '10.77.0.0/16' }],
    'named for IPAM, nothing is guessed',
  );
});

void tap.test('5.3: what differs from the network that is there is refused with the cure', async (t) => {
  const scene = setUp(t);
  await scene.networks.create({ name: 'blue', subnet: '10.77.0.0/16', vni: 77, encrypted: true });
  await t.rejects(scene.createNetwork('blue', { options: { name: 'blue', vni: '78' } }), {
    message: /"blue" already, and it differs: VNI 78 was asked for, it has 77.*--opt name=NAME/,
  });
  await t.rejects(scene.createNetwork('x', { subnet: '10.1.0.0/16', options: { vni: '77' } }), {
    message: /subnet 10\.1\.0\.0\/16 was asked for, it has 10\.77\.0\.0\/16/,
  });
  await t.rejects(scene.createNetwork('blue', { subnet: '10.1.0.0/16', ipamOptions: { name: 'blue' } }), {
    message: /has the subnet 10\.77\.0\.0\/16/,
  });
  t.equal(scene.book.pools.size + scene.book.networks.size, 0, 'nothing is left of them');

  // The name is known only after the creation: the container's start says it.
  const late = await scene.createNetwork('blue', { subnet: '10.2.0.0/16' });
  await t.rejects(scene.startContainer(late), { message: /subnet 10\.2\.0\.0\/16 was asked for/ });
  await until('the log says it', 2000, () => scene.lines.some(({ level }) => level === 'warn'));
});

void tap.test('5.3: options are read strictly', async (t) => {
  const scene = setUp(t);
  const create = (options: Record<string, string>): Promise<string> => scene.createNetwork('x', { options });
  await t.rejects(create({ encryptd: '' }), {
    message: /unknown --opt encryptd \(did you mean "encrypted"\?\)/,
  });
  await t.rejects(create({ vni: '0' }), { message: /--opt vni is a whole number, 1 to 16777215/ });
  await t.rejects(create({ mtu: 'big' }), { message: /--opt mtu/ });
  await t.rejects(create({ encrypted: 'maybe' }), { message: /true or false/ });
  await t.rejects(create({ name: '-x' }), { message: /cannot be a network's name/ });
  await t.rejects(scene.createNetwork('x', { ipamOptions: { nam: 'x' } }), {
    message: /did you mean "name"/,
  });
  await t.rejects(scene.createNetwork('x', { subnet: '10.0.0.0/31' }), { message: /no room/ });
  await t.rejects(scene.createNetwork('x', { subnet: 'fd00::/64' }), { message: /no IPv4 subnet/ });
  await t.rejects(scene.createNetwork('x', { subnet: '10.0.0.0/24', gateway: '10.1.0.1' }), {
    message: /not in/,
  });
  await t.rejects(
    scene.call('IpamDriver.RequestPool', {
      AddressSpace: 'overlayd-local',
      Pool: '10.0.0.0/16',
      SubPool: '10.0.1.0/24',
    }),
    { message: /--ip-range is not for the overlayd IPAM driver/ },
  );
  await create({ encrypted: '', 'com.docker.network.driver.mtu': '1300' });
  await resolved(scene, 'x');
  t.match(scene.networks.find('x'), { encrypted: true, mtu: 1300 });
  scene.sealingProblem = 'there is no keyring';
  scene.start();
  await t.rejects(create({ encrypted: '' }), { message: /there is no keyring\. .*--keyring FILE/ });
});

void tap.test('5.3: --ip, --mac-address, --internal, --aux-address, --ipv6', async (t) => {
  const scene = setUp(t);
  const blue = await scene.createNetwork('blue', {
    subnet: '10.55.0.0/24',
    aux: { router: '10.55.0.2' },
    internal: true,
    subnet6: 'fd99::/64',
  });
  await resolved(scene, 'blue');
  await until('the router is kept off', 2000, () => scene.addresses.held.has('blue 10.55.0.2'));
  const first = await scene.startContainer(blue, { ip: '10.55.0.9', mac: '02:11:22:33:44:55' });
  t.equal(first.address, '10.55.0.9');
  t.equal([...scene.networks.taps.values()][0]?.mac, '02:11:22:33:44:55');
  t.match(first.joined, { Gateway: '', GatewayIPv6: '', DisableGatewayService: true }, 'no way out');
  t.match(scene.networks.find('blue'), { internal: true, subnet6: 'fd99::/64', gateway6: 'fd99::1' });
  await t.rejects(scene.startContainer(blue, { ip: '10.55.0.9' }), { message: /taken/ });
  await t.rejects(scene.startContainer(blue, { ip: '10.55.0.1' }), { message: /a gateway address/ });
  await t.rejects(scene.startContainer(blue, { ip: '10.55.0.2' }), { message: /a reserved address/ });
  const second = await scene.startContainer(blue);
  t.equal(second.address, '10.55.0.3');

  const [, pool6] = scene.pools.get(blue) ?? [];
  const six = await scene.call('IpamDriver.RequestAddress', { PoolID: pool6, Address: '', Options: null });
  t.equal(six['Address'], 'fd99::2/64');
  await t.rejects(scene.call('IpamDriver.RequestAddress', { PoolID: pool6, Address: '10.0.0.1' }), {
    message: /no IPv6 address/,
  });
  await t.rejects(scene.startContainer(blue, { mac: '01:00:5e:00:00:01' }), { message: /no unicast MAC/ });
});

void tap.test('5.3: a gateway that the user gave is the way out', async (t) => {
  const scene = setUp(t);
  const blue = await scene.createNetwork('blue', { subnet: '10.55.0.0/24', gateway: '10.55.0.254' });
  const { joined } = await scene.startContainer(blue);
  t.equal(joined['Gateway'], '10.55.0.254');
  await t.rejects(scene.createNetwork('b', { subnet6: 'fd99::/64', options: { name: 'blue' } }), {
    message: /IPv6 was asked for, it has no IPv6 subnet/,
  });
  await t.rejects(
    scene.createNetwork('b', { gateway: '10.55.0.7', options: { name: 'blue' }, subnet: '10.55.0.0/24' }),
    {
      message: /gateway 10\.55\.0\.7 was asked for, it has 10\.55\.0\.254/,
    },
  );
});

void tap.test('T6: that -p does nothing is said, with the cure, and the container starts', async (t) => {
  const scene = setUp(t);
  const blue = await scene.createNetwork('blue', { subnet: '10.55.0.0/24' });
  await scene.startContainer(blue);
  const warnings = (): Line[] => scene.lines.filter(({ level }) => level === 'warn');
  t.strictSame(warnings(), []);
  const port = { IP: '', HostIP: '', HostPortEnd: 0 };
  await scene.startContainer(blue, {
    ports: [
      { ...port, Proto: 6, Port: 80, HostPort: 8080 },
      { ...port, Proto: 17, Port: 53, HostPort: 0 },
      { ...port, Proto: 99, Port: 1, HostPort: 1 },
    ],
  });
  t.match(warnings(), [
    {
      message:
        /published ports \(-p\) do nothing .*: 8080:80\/tcp, 53\/udp, 1:1\/99; start .* on a bridge network/,
      fields: { network: 'blue', ip: '10.55.0.3' },
    },
  ]);
  const ports = Array.from({ length: 40 }, (_, i) => ({ ...port, Proto: 6, Port: i + 1, HostPort: i + 1 }));
  await scene.startContainer(blue, { ports });
  t.match(warnings().at(-1)?.message, /8:8\/tcp and 32 more; /);
  const range = Array.from({ length: 65_535 }, (_, i) => ({
    ...port,
    Proto: 6,
    Port: i + 1,
    HostPort: i + 1,
    HostPortEnd: i + 1,
  }));
  await scene.startContainer(blue, { ports: range });
  t.match(warnings().at(-1)?.message, /8:8\/tcp and 65527 more; /, 'all that there are');
  await scene.startContainer(blue, { ports: [{ Proto: 'strange' }] });
  t.equal(warnings().length, 3);
});

void tap.test('5.3: a call that comes twice has one effect', async (t) => {
  const scene = setUp(t);
  const blue = await scene.createNetwork('blue', { subnet: '10.55.0.0/24' });
  await resolved(scene, 'blue');
  const container = await scene.startContainer(blue);
  const key = { NetworkID: blue, EndpointID: container.endpoint };
  const again = await scene.call('NetworkDriver.CreateEndpoint', {
    ...key,
    Interface: { Address: `${container.address}/24`, AddressIPv6: '', MacAddress: '' },
  });
  t.strictSame(again, { Interface: { MacAddress: container.mac } });
  t.equal(scene.networks.taps.size, 1);
  for (let twice = 0; twice < 2; twice++) await scene.stopContainer(blue, container).catch(() => undefined);
  t.equal(scene.networks.taps.size + scene.addresses.held.size, 0);
  t.strictSame(await scene.call('NetworkDriver.DeleteEndpoint', key), {});
  t.strictSame(await scene.call('NetworkDriver.Leave', key), {});
  await t.rejects(scene.call('NetworkDriver.Join', { ...key, SandboxKey: '/x' }), { message: /not known/ });
});

void tap.test('5.3: an endpoint whose TAP cannot be had leaves nothing', async (t) => {
  const scene = setUp(t);
  const blue = await scene.createNetwork('blue', { subnet: '10.55.0.0/24' });
  await resolved(scene, 'blue');
  scene.networks.failure = new OverlaydError('OVL_TUN_MISSING', 'cannot open /dev/net/tun', {
    hint: 'Load it.',
  });
  await t.rejects(scene.startContainer(blue), { message: 'cannot open /dev/net/tun. Load it.' });
  t.equal(scene.book.endpoints.size, 0);
});

void tap.test('T8: addresses that another IPAM driver chose are claimed, or refused', async (t) => {
  const scene = setUp(t);
  const id = await scene.createNetworkOfDocker('blue');
  await resolved(scene, 'blue');
  const create = (last: number): Promise<unknown> =>
    scene.call('NetworkDriver.CreateEndpoint', {
      NetworkID: id,
      EndpointID: `${last}`.padStart(64, 'e'),
      Interface: { Address: `10.55.0.${last}/24`, AddressIPv6: '', MacAddress: '' },
    });
  await create(5);
  t.ok(scene.addresses.held.has('blue 10.55.0.5'));
  scene.addresses.foreign.add('10.55.0.6');
  await t.rejects(create(6), { message: /not this host's to give.*--ipam-driver overlayd/ });
  await scene.call('NetworkDriver.DeleteEndpoint', { NetworkID: id, EndpointID: '5'.padStart(64, 'e') });
  t.equal(scene.addresses.held.size, 0);
});

void tap.test('T8: a macvlan network may have its addresses from us', async (t) => {
  const scene = setUp(t);
  await t.rejects(
    scene
      .createNetwork('lan', { subnet: '10.42.0.0/16', driver: 'macvlan' })
      .then((id) => scene.startContainer(id)),
    { message: /no network of overlayd has the subnet 10\.42\.0\.0\/16.*overlayd networks create/ },
  );
  // Without a gateway, as networks of the configuration may be; Docker wants to name one all the same.
  await scene.networks.create({ name: 'overlay', subnet: '10.42.0.0/16' });
  scene.addresses.first = 1;
  const lan = await scene.createNetwork('lan2', { subnet: '10.42.0.0/16', driver: 'macvlan' });
  const [PoolID] = scene.pools.get(lan) ?? [];
  const given = await scene.call('IpamDriver.RequestAddress', { PoolID, Address: '', Options: null });
  t.equal(given['Address'], '10.42.0.2/16');
  t.ok(scene.addresses.held.has('overlay 10.42.0.2'));
});

void tap.test('5.3: swarm gives out networks and addresses on its manager, for all nodes', async (t) => {
  const scene = setUp(t);
  scene.scope = 'global';
  scene.start();
  t.match(await scene.call('NetworkDriver.GetCapabilities'), { Scope: 'global' });
  // On the manager: pool, gateway, network, then an address for each container wherever it will run.
  const id = 'o5j7uc52yw38njnyreslgsv4i';
  const pool = await scene.call('IpamDriver.RequestPool', {
    AddressSpace: 'overlayd-global',
    Pool: '10.60.0.0/16',
    Options: { 'com.docker.network.ipam.serial': 'true' },
  });
  const { PoolID } = pool;
  const gateway = { RequestAddressType: 'com.docker.network.gateway' };
  await scene.call('IpamDriver.RequestAddress', { PoolID, Address: '', Options: gateway });
  const allocated = await scene.call('NetworkDriver.AllocateNetwork', {
    NetworkID: id,
    Options: { vni: '9' },
    IPv4Data: [{ AddressSpace: '', Pool: '10.60.0.0/16', Gateway: '10.60.0.1/16' }],
    IPv6Data: null,
  });
  t.strictSame(allocated, { Options: { vni: '9' } }, 'every node is given the options');
  scene.show(id, 'mesh');
  const given = await scene.call('IpamDriver.RequestAddress', { PoolID, Address: '', Options: null });
  t.equal(given['Address'], '10.60.0.2/16');
  t.match(scene.networks.find('mesh'), { vni: 9, subnet: '10.60.0.0/16' });

  // On a node: the same network, and an address that the manager has chosen from what is its own.
  const local = await scene.call('IpamDriver.RequestPool', {
    AddressSpace: 'overlayd-local',
    Pool: '10.60.0.0/16',
  });
  await scene.call('IpamDriver.RequestAddress', {
    PoolID: local['PoolID'],
    Address: '10.60.0.1',
    Options: gateway,
  });
  await scene.call('NetworkDriver.CreateNetwork', {
    NetworkID: id,
    Options: { 'com.docker.network.generic': { vni: '9' } },
    IPv4Data: [{ AddressSpace: 'overlayd-local', Pool: '10.60.0.0/16', Gateway: '10.60.0.1/16' }],
    IPv6Data: [],
  });
  scene.pools.set(id, [String(local['PoolID'])]);
  const container = await scene.startContainer(id, { ip: '10.60.0.2' });
  t.equal(container.address, '10.60.0.2');
  await scene.stopContainer(id, container);
  scene.nowMs += 3_600_000;
  await scene.reconciler.reconcile([...scene.shown.values()]);
  t.ok(scene.addresses.held.has('mesh 10.60.0.2'), 'the manager holds it until swarm lets go');
  await scene.call('NetworkDriver.DeleteNetwork', { NetworkID: id });
  t.ok(scene.networks.find('mesh'), 'the last container of a node is not the end of the network');

  await scene.call('NetworkDriver.FreeNetwork', { NetworkID: id });
  await scene.call('IpamDriver.ReleasePool', { PoolID });
  await until('mesh is gone', 2000, () => scene.networks.find('mesh') === undefined);
  t.equal(scene.book.networks.size, 0);
});

void tap.test('5.3: without a way to learn the name the cure is said', async (t) => {
  const scene = setUp(t);
  const blue = await scene.createNetwork('blue', { subnet: '10.55.0.0/24' });
  scene.shown.clear();
  await t.rejects(scene.startContainer(blue), { message: /cannot learn the name.*--docker-socket/ });
  const named = await scene.createNetwork('green', { options: { name: 'green' } });
  scene.shown.clear();
  const container = await scene.startContainer(named);
  t.ok(scene.networks.taps.has(container.endpoint));
});

void tap.test('5.3: hostile and broken requests are refused, none is fatal', async (t) => {
  const scene = setUp(t);
  for (const method of [
    'IpamDriver.RequestPool',
    'IpamDriver.RequestAddress',
    'NetworkDriver.CreateNetwork',
    'NetworkDriver.CreateEndpoint',
    'NetworkDriver.Join',
    'NetworkDriver.DeleteEndpoint',
  ]) {
    for (const payload of ['{', 'null', '[]', '5', '"x"', '{"NetworkID":5,"PoolID":{},"Pool":[]}']) {
      const { status, body } = await scene.raw(method, payload);
      t.equal(status, 500, `${method} ${payload}`);
      t.match(body['Err'], /request/);
    }
  }
  const { body: hollow } = await scene.raw('NetworkDriver.CreateEndpoint', '');
  t.match(hollow['Err'], /repeated NetworkDriver\.CreateEndpoint without its content.*Do it again/);
  const odd = { NetworkID: '../../etc', EndpointID: 'x'.repeat(65), SandboxKey: '/x' };
  await t.rejects(scene.call('NetworkDriver.Join', odd), {
    message: /NetworkID: expected an ID; EndpointID/,
  });
  await t.rejects(scene.call('IpamDriver.RequestAddress', { PoolID: 'local ../ 1' }), {
    message: /no address pool/,
  });
  for (const [method, bytes] of [
    ['NetworkDriver.Join', 9 << 20],
    ['IpamDriver.RequestPool', 2 << 20],
  ] as const) {
    const large = await scene.raw(method, 'x'.repeat(bytes));
    t.equal(large.status, 500);
    t.match(large.body['Err'], /too large.*Publish fewer ports/);
  }
  t.equal((await scene.raw('NetworkDriver.Nonsense', '{}')).status, 404);
});

void tap.test('5.3: proposals that overlap with routes of the host end with the cure', async (t) => {
  const scene = setUp(t);
  const seen = new Set<string>();
  const ask = async (): Promise<void> => {
    const pool = await scene.call('IpamDriver.RequestPool', { AddressSpace: 'overlayd-local' });
    t.notOk(seen.has(String(pool['Pool'])), 'never the same again');
    seen.add(String(pool['Pool']));
  };
  await t.rejects(
    (async () => {
      for (let i = 0; i < 500; i++) await ask();
    })(),
    { message: /overlaps with a route of this host\. Give one with --subnet/ },
  );
  t.ok(seen.size >= 16);
});

void tap.test(
  '5.3: a named subnet that overlaps with a route of the host is not asked for without end',
  async (t) => {
    const scene = setUp(t);
    await scene.networks.create({ name: 'blue', subnet: '10.77.0.0/16' });
    const ask = (): Promise<Json> =>
      scene.call('IpamDriver.RequestPool', { AddressSpace: 'overlayd-local', Options: { name: 'blue' } });
    const { PoolID } = await ask();
    const overlaps = {
      message: /network "blue" overlaps with a route .* of this host\. Give --subnet 10\.77\.0\.0\/16/,
    };
    await t.rejects(ask(), overlaps);
    await t.rejects(ask(), overlaps, 'nor is the refusal itself in the way of anything');
    // Docker gives it back then, and the user may do it again at once.
    await scene.call('IpamDriver.ReleasePool', { PoolID });
    await ask();
    await t.rejects(ask(), overlaps);
    // Or overlayd died, and with it the answer.
    scene.start();
    t.match(await ask(), { Pool: '10.77.0.0/16' });
    await t.rejects(ask(), overlaps);
    scene.nowMs += 60_000;
    t.match(await ask(), { Pool: '10.77.0.0/16' }, 'or Docker died: nothing stands in the way for ever');
  },
);

void tap.test('5.3: networks of other drivers do not count as proposals that overlap', async (t) => {
  const scene = setUp(t);
  await scene.networks.create({ name: 'blue', subnet: '10.77.0.0/16' });
  for (let i = 0; i < 70; i++) {
    const more = i % 2 === 0 ? {} : { ipamOptions: { name: 'blue' } };
    await scene.createNetwork(`lan${i}`, { driver: 'macvlan', ...more });
  }
  t.equal(scene.book.pools.size, 70);
});
