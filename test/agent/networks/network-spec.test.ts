import t from 'tap';
import { networkCreateSchema } from '../../../agent/config/schema.ts';
import { OverlaydError } from '../../../agent/errors.ts';
import type { NetworkDefinition, NetworkSpec } from '../../../agent/networks/interface.ts';
import { localRoutes } from '../../../agent/networks/local-routes.ts';
import { checkSpec, differences, specOf } from '../../../agent/networks/network-spec.ts';

const LIMITS = { largestMtu: (encrypted: boolean) => (encrypted ? 1_418 : 1_450), hasKeyring: false };

function refusal(spec: NetworkSpec, hasKeyring = false): string {
  try {
    checkSpec(spec, { ...LIMITS, hasKeyring });
    return '';
  } catch (error) {
    if (!(error instanceof OverlaydError) || error.exitCode !== 2) throw error;
    return `${error.message} ${error.hint ?? ''}`;
  }
}

void t.test('5.1 families are told apart, and there is one of each', async (test) => {
  const given = { name: 'blue', subnets: ['fd00::/64', '10.1.0.0/16'], gateways: ['fd00::1'] };
  test.same(specOf(given), {
    name: 'blue',
    subnet: '10.1.0.0/16',
    subnet6: 'fd00::/64',
    gateway6: 'fd00::1',
  });
  test.throws(() => specOf({ name: 'blue', subnets: ['10.1.0.0/16', '10.2.0.0/16'] }), {
    code: 'OVL_NETWORK_INVALID',
  });
});

void t.test('5.1 what can never be is refused, with the reason', async (test) => {
  const cases: [NetworkSpec, RegExp | ''][] = [
    [{ name: 'blue' }, ''],
    [{ name: 'blue', subnet: '10.1.0.0/16', gateway: '10.1.0.1' }, ''],
    [{ name: 'a/b' }, /name: expected a name/],
    [{ name: 'blue', vni: 0 }, /vni: expected a whole number/],
    [{ name: 'blue', subnet: '10.1.2.3/16' }, /subnets: .*10\.1\.0\.0\/16/],
    [{ name: 'blue', gateway: '10.1.0.1' }, /needs an IPv4 subnet/],
    [{ name: 'blue', subnet: '10.1.0.0/16', gateway: '10.2.0.1' }, /not in subnet 10.1.0.0\/16/],
    [{ name: 'blue', subnet: '10.1.0.0/16', gateway: '10.1.255.255' }, /broadcast/],
    [{ name: 'blue', subnet6: 'fd00::/64', gateway6: 'fd01::1' }, /not in subnet/],
    [{ name: 'blue', mtu: 1_451 }, /at most 1450/],
    [{ name: 'blue', mtu: 1_000, subnet6: 'fd00::/64' }, /at least 1280/],
    [{ name: 'blue', labels: { a: 'x'.repeat(500) } }, /labels/],
    [{ name: 'blue', encrypted: true }, /no keyring.*--keyring FILE/],
  ];
  for (const [spec, expected] of cases) test.match(refusal(spec), expected, JSON.stringify(spec));
  test.equal(refusal({ name: 'blue', encrypted: true }, true), '');
  test.match(refusal({ name: 'blue', encrypted: true, mtu: 1_450 }, true), /at most 1418/);
});

void t.test('the schema refuses by name', async (test) => {
  const bad: object[] = [
    { name: '-x' },
    { name: 'x', vni: 2 ** 24 },
    { name: 'x', subnets: ['10.1.2.3/16'] },
    { name: 'x', gateways: ['10.1'] },
    { name: 'x', mtu: 10 },
    { name: 'x', colour: 'red' },
  ];
  for (const each of bad) test.notOk(networkCreateSchema.safeParse(each).success, JSON.stringify(each));
});

void t.test('5.1 what differs from what is there is said', async (test) => {
  const standing: NetworkDefinition = {
    id: 'ab'.repeat(16),
    name: 'blue',
    vni: 7,
    subnet: '10.1.0.0/16',
    mtu: 1_450,
    encrypted: false,
    internal: false,
    labels: { team: 'web' },
    createdBy: 'a',
  };
  test.same(differences({ name: 'blue' }, standing), []);
  test.same(differences({ name: 'blue', vni: 7, labels: { team: 'web' }, encrypted: false }, standing), []);
  test.same(
    differences({ name: 'blue', vni: 8, gateway: '10.1.0.1', labels: { team: 'db', x: '' } }, standing),
    [
      'gateway is not set, not 10.1.0.1',
      'vni is 7, not 8',
      'label team is web, not db',
      'label x is not set, not ',
    ],
  );
});

void t.test('5.1 routes of this host', async (test) => {
  const text = [
    'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT',
    'eth0\t00000000\tFE4D4D0A\t0003\t0\t0\t0\t00000000\t0\t0\t0',
    'eth0\t00004D0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0',
    'docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0',
    'nonsense',
    '',
  ].join('\n');
  test.same(
    localRoutes(() => text),
    ['10.77.0.0/24', '172.17.0.0/16'],
  );
  test.same(
    localRoutes(() => {
      throw new Error('no /proc');
    }),
    [],
  );
});
