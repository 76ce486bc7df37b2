import t from 'tap';
import type { NetworkOrigin, NetworkValue, MadeNetwork } from '../../../proto/state/values/network.ts';
import { configuredId, resolveNetworks } from '../../../proto/networks/resolve.ts';
import type { ConfiguredNetwork, HostUse, NetworkResolution } from '../../../proto/networks/resolve.ts';

const BLUE: NetworkValue = {
  name: 'blue',
  vni: 100,
  subnet: '10.1.0.0/16',
  gateway: '10.1.0.1',
  mtu: 1_450,
  encrypted: false,
};
const [A, B] = ['aa', 'bb'].map((pair) => pair.repeat(16)) as [string, string];

function made(
  id: string,
  hlc: bigint,
  value: Partial<NetworkValue> = {},
  origin: Partial<NetworkOrigin> = {},
): MadeNetwork {
  return {
    ...BLUE,
    gateway: '',
    ...value,
    made: {
      id,
      creator: `host-${id[0]}`,
      hlc,
      revision: 0,
      subnet6: '',
      gateway6: '',
      internal: false,
      labels: {},
      chosen: { vni: true, subnet: true, mtu: true },
      ...origin,
    },
  };
}

const chosen = (vni: boolean, subnet: boolean): Pick<NetworkOrigin, 'chosen'> => {
  return { chosen: { vni, subnet, mtu: true } };
};

function use(owner: string, id: string, vni: number): HostUse {
  return { owner, vni, id, isAttached: false, endpoints: 1, names: [] };
}

function configured(owner: string, hlc: bigint, value: NetworkValue): ConfiguredNetwork {
  return { owner, hlc, value };
}

function resolve(
  networks: readonly MadeNetwork[],
  inConfig: readonly ConfiguredNetwork[] = [],
  uses: readonly HostUse[] = [],
): NetworkResolution {
  return resolveNetworks({ made: networks, configured: inConfig, uses });
}

const ids = ({ networks }: NetworkResolution): string[] => networks.map(({ id }) => id);
const reasons = ({ conflicts }: NetworkResolution): string[] =>
  conflicts.map(({ reason, owner, standing }) => `${owner} ${reason} ${standing.value.name}`);

void t.test('hosts that configure a network alike are its definers', async (test) => {
  const green = { ...BLUE, name: 'green', vni: 101, subnet: '', gateway: '', encrypted: true };
  const found = resolve(
    [],
    [configured('b', 1n, BLUE), configured('a', 2n, BLUE), configured('a', 3n, green)],
  );
  test.same(
    found.networks.map(({ id, value, definers, made: none }) => [id, value, definers, none]),
    [
      [configuredId(BLUE), BLUE, ['a', 'b'], undefined],
      [configuredId(green), green, ['a'], undefined],
    ],
  );
  test.same(found.conflicts, []);
});

void t.test('among configurations the earlier stands; the later is a conflict', async (test) => {
  const found = resolve(
    [],
    [
      configured('z', 1n, BLUE),
      configured('a', 2n, { ...BLUE, vni: 200 }),
      configured('b', 3n, { ...BLUE, name: 'navy' }),
    ],
  );
  test.same(
    found.networks.map(({ value, definers }) => [value.name, value.vni, definers]),
    [
      ['blue', 100, ['z']],
      ['navy', 100, ['b']],
    ],
  );
  test.same(reasons(found), ['a same-name blue', 'b same-vni blue']);
});

void t.test('5.1 an equal network of the same name is the same, whichever comes first', async (test) => {
  const [early, late] = [made(A, 1n), made(B, 2n)];
  for (const order of [
    [early, late],
    [late, early],
  ]) {
    const found = resolve(order);
    test.same(ids(found), [A]);
    test.same(found.networks[0]?.aliases, [B]);
    test.same([found.conflicts, found.apart, found.renumberings], [[], [], []]);
  }
});

void t.test('5.1 it is the same too where it would have taken what the earlier has', async (test) => {
  const found = resolve([made(A, 1n, { vni: 7, subnet: '10.9.0.0/16' }, chosen(false, false)), made(B, 2n)]);
  test.same([ids(found), found.networks[0]?.value.vni], [[A], 7], 'chosen numbers give way');
  const other = resolve([made(A, 1n), made(B, 2n, { vni: 7 }, chosen(false, false))]);
  test.same(
    other.apart.map(({ id }) => id),
    [B],
    'one that was asked for does not',
  );
  test.same(reasons(other), ['host-b same-name blue']);
});

void t.test('5.1 in use it keeps its subnet, and stays apart', async (test) => {
  const networks = [made(A, 1n), made(B, 2n, { vni: 101, subnet: '10.2.0.0/16' })];
  test.same(resolve(networks).apart, [], 'unused: one network');
  const found = resolve(networks, [], [use('h', B, 101)]);
  test.same(
    found.apart.map(({ id }) => id),
    [B],
  );
  const equal = [made(A, 1n), made(B, 2n, { vni: 101 })];
  test.same(resolve(equal, [], [use('h', B, 101)]).apart, [], 'with one subnet it only moves to the VNI');
});

void t.test('5.1 differences that keep networks of one name apart', async (test) => {
  const cases: [Partial<NetworkValue>, Partial<NetworkOrigin>][] = [
    [{ encrypted: true }, {}],
    [{}, { internal: true }],
    [{}, { labels: { team: 'web' } }],
    [{}, { subnet6: 'fd00::/64' }],
    [{ gateway: '10.1.0.9' }, {}],
    [{ mtu: 1_300 }, { chosen: { vni: true, subnet: true, mtu: false } }],
  ];
  for (const [value, origin] of cases) {
    const found = resolve([made(A, 1n), made(B, 2n, value, origin)]);
    test.same(
      found.apart.map(({ id }) => id),
      [B],
      JSON.stringify([value, Object.keys(origin)]),
    );
  }
});

void t.test(
  '5.1 two networks on one VNI: the later is to choose again, when it chose and nobody uses it',
  async (test) => {
    const red = made(B, 2n, { name: 'red', subnet: '10.2.0.0/16' });
    const found = resolve([made(A, 1n), red]);
    test.same(found.renumberings, [{ network: red, vni: true, subnet: false }]);
    test.same(reasons(found), ['host-b same-vni blue']);
    test.same(resolve([made(A, 1n), red], [], [use('h', B, 100)]).renumberings, [], 'in use');
    const asked = { ...red, made: { ...red.made, ...chosen(false, true) } };
    test.same(resolve([made(A, 1n), asked]).renumberings, [], 'asked for');
    const attached = { ...use('h', B, 100), endpoints: 0, isAttached: true };
    test.same(resolve([made(A, 1n), red], [], [attached]).renumberings, [], 'attached by hand');
    const joined = { ...use('h', B, 100), endpoints: 0 };
    test.equal(
      resolve([made(A, 1n), red], [], [joined]).renumberings.length,
      1,
      'joined and empty is unused',
    );
  },
);

void t.test('5.1 overlapping subnets are a conflict only where one was chosen', async (test) => {
  const red = { name: 'red', vni: 101, subnet: '10.1.64.0/20' };
  test.same(resolve([made(A, 1n), made(B, 2n, red, chosen(true, false))]).conflicts, [], 'asked for');
  const found = resolve([made(A, 1n), made(B, 2n, red)]);
  test.same(reasons(found), ['host-b same-subnet blue']);
  test.equal(found.renumberings[0]?.subnet, true);
  test.same(resolve([made(A, 1n), made(B, 2n, red)], [], [use('h', B, 101)]).renumberings, [], 'in use');
});

void t.test('5.1 made and configured: one network, under the id that was made', async (test) => {
  for (const hlc of [1n, 3n]) {
    const found = resolve([made(A, 2n)], [configured('z', hlc, { ...BLUE, gateway: '' })]);
    test.same(ids(found), [A], `configured at ${hlc}`);
    test.same(found.networks[0]?.definers, ['z']);
    test.same(found.networks[0]?.aliases, [configuredId(BLUE)]);
    test.equal(found.networks[0]?.made?.made.id, A);
  }
  const other = resolve([made(A, 2n)], [configured('z', 1n, { ...BLUE, name: 'navy' })]);
  test.equal(other.renumberings[0]?.network.made.id, A, 'a VNI that a configuration takes is given up');
});
