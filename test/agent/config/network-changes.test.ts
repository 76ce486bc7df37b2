/** 5.7: which changes of networks a reload takes, and which it refuses. */
import t from 'tap';
import { networkChanges } from '../../../agent/config/network-changes.ts';
import type { NetworkConfig } from '../../../agent/config/run-config.ts';

const network = (name: string, vni: number, more: Partial<NetworkConfig> = {}): NetworkConfig => ({
  name,
  vni,
  subnet: '10.42.0.0/16',
  gateway: undefined,
  ipRange: undefined,
  tap: `tap${vni}`,
  mtu: 1_450,
  encrypted: false,
  ...more,
});
const names = (networks: readonly NetworkConfig[]): string[] => networks.map(({ name }) => name);

void t.test('5.7 networks come, go and change in what may', async (test) => {
  const running = [network('a', 1), network('b', 2), network('c', 3)];
  const wanted = [network('d', 4), network('c', 3), network('a', 1, { gateway: '10.42.0.1' })];
  const { added, removed, changed } = networkChanges(running, wanted);
  test.strictSame([names(added), names(removed), names(changed)], [['d'], ['b'], ['a']]);
  test.strictSame(names(networkChanges(running, running.toReversed()).changed), [], 'order is nothing');
});

void t.test('5.7 what stays while it runs is refused with its name and why', async (test) => {
  const changes = {
    vni: 9,
    tap: 'x0',
    encrypted: true,
    subnet: '10.43.0.0/16',
    mtu: 1_400,
  } satisfies Partial<NetworkConfig>;
  for (const [key, value] of Object.entries(changes)) {
    test.throws(
      () => networkChanges([network('a', 1)], [network('a', 1, { [key]: value })]),
      {
        code: 'OVL_RELOAD_NEEDS_RESTART',
        message: new RegExp(`network "a" has its ${key} changed from .* to ${value}, and `),
      },
      key,
    );
  }
});

void t.test('5.7 VNI or TAP of one that goes: in two steps', async (test) => {
  for (const heir of [network('b', 1, { tap: 'x0' }), network('b', 2, { tap: 'tap1' })]) {
    test.throws(() => networkChanges([network('a', 1)], [heir]), {
      code: 'OVL_RELOAD_NEEDS_RESTART',
      message: /of "a", which goes/,
    });
  }
});
