import t from 'tap';
import { TABLE } from '../../../proto/state/interface.ts';
import { encodeNetwork, networkKey } from '../../../proto/state/values/network.ts';
import type { NetworkValue } from '../../../proto/state/values/network.ts';
import { resolveNetworks } from '../../../proto/view/networks.ts';
import { FakeSource } from './fake-source.ts';

const BLUE: NetworkValue = {
  name: 'blue',
  vni: 100,
  subnet: '10.1.0.0/16',
  gateway: '10.1.0.1',
  mtu: 1_450,
  encrypted: false,
};

function define(source: FakeSource, owner: string, value: NetworkValue): void {
  source.set(owner, 0, TABLE.network, networkKey(value.name), encodeNetwork(value));
}

void t.test('hosts that define a network alike are its definers', async (test) => {
  const source = new FakeSource();
  define(source, 'b', BLUE);
  define(source, 'a', BLUE);
  define(source, 'a', { ...BLUE, name: 'green', vni: 101, encrypted: true });
  const { networks, conflicts, bad } = resolveNetworks(source);
  test.same(networks, [
    { ...BLUE, definers: ['a', 'b'] },
    { ...BLUE, name: 'green', vni: 101, encrypted: true, definers: ['a'] },
  ]);
  test.same([conflicts, bad], [[], 0]);
});

void t.test('the earlier definition stands; the later is a conflict', async (test) => {
  const source = new FakeSource();
  define(source, 'z', BLUE);
  define(source, 'a', { ...BLUE, vni: 200 });
  define(source, 'b', { ...BLUE, name: 'navy' });
  source.set('c', 0, TABLE.network, networkKey('x'), new Uint8Array([0]));
  const { networks, conflicts, bad } = resolveNetworks(source);
  test.same(networks, [{ ...BLUE, definers: ['z'] }]);
  test.same(
    conflicts.map(({ owner, reason, standing }) => [owner, reason, standing.name]),
    [
      ['a', 'same-name', 'blue'],
      ['b', 'same-vni', 'blue'],
    ],
  );
  test.equal(bad, 1);
});
