/** Addresses that are in use where they should not be (issue 5.2; checklist T8, 3.15). */
import t from 'tap';
import { findCollisions, seenAddresses } from '../../../agent/ipam/collisions.ts';
import { parseAddress } from '../../../proto/ipam/block.ts';
import { PoolHosts, twoHosts } from './pool-hosts.ts';

// The whole subnet is a's at first; b gets its upper half.
const OF_A = '10.42.0.9';
const OF_B = '10.42.0.200';

void t.test('3.15: what each host has in its own range is no collision', async (test) => {
  const { cluster, a, b, atB } = await twoHosts(test.testdir());
  test.equal(atB, '10.42.0.128/24');
  cluster.endpoint('a', 1, OF_A, 'fd00::1');
  cluster.endpoint('b', 2, OF_B);
  cluster.endpoint('a', 3, '192.168.1.1');
  cluster.endpoint('b', 4, 'nonsense');
  for (const { pool, name } of [a, b])
    test.strictSame(findCollisions(pool, cluster.endpoints, name), [], `as ${name} sees it`);
});

void t.test('T8: a static address from outside is found, with who has it and whose it is', async (test) => {
  const { cluster, a, b } = await twoHosts(test.testdir());
  cluster.endpoint('c', 1, OF_B);
  cluster.endpoint('b', 2, OF_A);
  const expected = [
    { address: OF_B, hosts: ['c'], owner: 'b', kind: 'foreign' },
    { address: OF_A, hosts: ['b'], owner: 'a', kind: 'foreign' },
  ];
  for (const { pool, name } of [a, b])
    test.strictSame(findCollisions(pool, cluster.endpoints, name), expected, `as ${name} sees it`);
});

void t.test('T8: two MACs behind one address, on two hosts and on one', async (test) => {
  const { cluster, a } = await twoHosts(test.testdir());
  cluster.endpoint('b', 1, OF_A);
  cluster.endpoint('a', 2, OF_A);
  cluster.endpoint('b', 3, OF_B);
  cluster.endpoint('b', 4, OF_B);
  test.strictSame(findCollisions(a.pool, cluster.endpoints, 'a'), [
    { address: OF_A, hosts: ['a', 'b'], owner: 'a', kind: 'duplicate' },
    { address: OF_B, hosts: ['b'], owner: 'b', kind: 'duplicate' },
  ]);
});

void t.test('T8: one MAC that says an address twice, and the gateway of all, are none', async (test) => {
  const { cluster, a } = await twoHosts(test.testdir());
  cluster.endpoint('a', 1, OF_A, OF_A);
  cluster.endpoint('a', 2, '10.42.0.1');
  cluster.endpoint('b', 3, '10.42.0.1');
  test.strictSame(findCollisions(a.pool, cluster.endpoints, 'a'), []);
});

void t.test(
  'T8: an address that Docker of its owner may hand out is worse than one beside it',
  async (test) => {
    const { cluster, a, b } = await twoHosts(test.testdir());
    const asked = b.handOut.dockerRange('blue', 16);
    cluster.run(1_000);
    const docker = await asked;
    test.equal(docker, '10.42.0.240/28');
    cluster.endpoint('c', 1, '10.42.0.245');
    cluster.endpoint('c', 2, '10.42.0.210');
    const kinds = findCollisions(a.pool, cluster.endpoints, 'a').map(({ address, kind }) => [address, kind]);
    test.strictSame(kinds, [
      ['10.42.0.245', 'docker-range'],
      ['10.42.0.210', 'foreign'],
    ]);
  },
);

void t.test('3.33: what was handed out here and is another host’s now', async (test) => {
  const { cluster, a, b, atB } = await twoHosts(test.testdir());
  const [address = ''] = atB.split('/');
  b.pool.reclaimed.add(parseAddress(address, 4)!);
  test.match(findCollisions(b.pool, cluster.endpoints, 'b'), [{ address, hosts: ['b'], kind: 'reclaimed' }]);
  test.strictSame(findCollisions(a.pool, cluster.endpoints, 'a'), [], 'each host says its own');
});

void t.test('a thousand are shown, however many there are', (test) => {
  const cluster = new PoolHosts(test.testdir());
  cluster.networks = [{ ...cluster.networks[0]!, subnet: '10.42.0.0/16' }];
  const a = cluster.start('a');
  cluster.run(5_000);
  for (let i = 0; i < 2_000; i++) cluster.endpoint('c', i, `10.42.${(i >> 8) + 1}.${i & 255}`);
  test.equal(findCollisions(a.pool, cluster.endpoints, 'a').length, 1_000);
  test.end();
});

void t.test('T8: an address that is seen is not handed out a second time', async (test) => {
  const { cluster, a } = await twoHosts(test.testdir());
  const own = await a.handOut.request('blue', { family: 4 });
  test.equal(own, '10.42.0.2/24');
  cluster.endpoint('a', 1, '10.42.0.2');
  cluster.endpoint('c', 2, '10.42.0.3', '10.42.0.4');
  const seen = seenAddresses(a.pool, cluster.endpoints);
  test.strictSame(
    [...seen].map((address) => a.pool.text(address)),
    ['10.42.0.3', '10.42.0.4'],
    'but what this host handed out itself',
  );
  a.pool.pool.space.setSeen(seen);
  test.equal(await a.handOut.request('blue', { family: 4 }), '10.42.0.5/24');
});
