import tap from 'tap';
import { SpreadAddresses } from '../../../../agent/docker/driver/spread-addresses.ts';
import { FakeNetworks } from './fakes.ts';

async function setUp(subnet: string, more: object = {}) {
  const networks = new FakeNetworks();
  const { id } = await networks.create({ name: 'blue', subnet, ...more });
  const known: string[] = [];
  const host = (self: string): SpreadAddresses =>
    new SpreadAddresses({ self, networks, members: () => ['a', 'b', 'c'], inUse: () => known });
  return { id, known, host };
}

void tap.test('5.2: hosts begin at places of their own', async (t) => {
  const { id, host } = await setUp('10.55.0.0/24');
  const given = await Promise.all(['a', 'b', 'c'].map((self) => host(self).request(id, { family: 4 })));
  t.strictSame(given, ['10.55.0.2/24', '10.55.0.85/24', '10.55.0.170/24']);
});

void tap.test('5.2: what is known to be in use, or is special, is given to nobody', async (t) => {
  const { id, known, host } = await setUp('10.55.0.0/29');
  known.push('10.55.0.3');
  const a = host('a');
  const given = new Set<string>();
  for (let i = 0; i < 4; i++) given.add(await a.request(id, { family: 4 }));
  t.strictSame([...given].sort(), ['10.55.0.2/29', '10.55.0.4/29', '10.55.0.5/29', '10.55.0.6/29']);
  await t.rejects(a.request(id, { family: 4 }), { code: 'OVL_ADDRESSES_EXHAUSTED' });
  await a.release(id, '10.55.0.5');
  t.equal(await a.request(id, { family: 4 }), '10.55.0.5/29');
  for (const address of ['10.55.0.0', '10.55.0.1', '10.55.0.3', '10.55.0.7']) {
    await t.rejects(a.request(id, { family: 4, address }), { code: 'OVL_ADDRESS_TAKEN' }, address);
  }
  await t.rejects(a.request(id, { family: 4, address: '10.56.0.1' }), { code: 'OVL_ADDRESS_OUTSIDE' });
  await t.rejects(a.request(id, { family: 6 }), { code: 'OVL_NO_SUBNET' });
});

void tap.test('5.2: IPv6, and what an earlier run gave out', async (t) => {
  const { id, host } = await setUp('10.55.0.0/24', { subnet6: 'fd99::/64', gateway6: 'fd99::1' });
  const a = host('a');
  a.restore([{ network: id, ip: '10.55.0.2' }]);
  t.equal(await a.request(id, { family: 4 }), '10.55.0.3/24');
  t.equal(await a.request(id, { family: 6 }), 'fd99::2/64');
  t.equal(await host('b').request(id, { family: 6 }), 'fd99::55:5555/64');
  t.equal(await a.request(id, { family: 6, address: 'fd99::1234:5678:9abc' }), 'fd99::1234:5678:9abc/64');
});
