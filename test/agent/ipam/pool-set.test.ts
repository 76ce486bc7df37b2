/** Which pools there are, and what they hear (issue 5.2). */
import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { TABLE } from '../../../proto/state/interface.ts';
import { BLUE, PoolHosts, twoHosts } from './pool-hosts.ts';

const red = { ...BLUE, id: 'e'.repeat(32), name: 'red', vni: 8, subnet: '10.43.0.0/24' };

void t.test('a pool for each subnet; one that did not change is left alone', (test) => {
  const cluster = new PoolHosts(test.testdir());
  cluster.networks = [
    { ...BLUE, subnet6: 'fd42::/64' },
    { ...red, subnet: 'nonsense' },
  ];
  const { pools, pool } = cluster.start('a');
  test.strictSame(
    [...pools].map(({ network, family }) => [network.name, family]),
    [
      ['blue', 4],
      ['blue', 6],
    ],
  );
  pools.sync(cluster.now);
  test.equal(pools.get('blue', 4), pool);
  test.equal(pools.find('red', 4), undefined);
  test.equal(pools.byKey(pool.pool.options.pool), pool, 'as messages name it');
  test.throws(() => pools.of('green'), { code: 'OVL_NETWORK_NOT_FOUND' });
  test.end();
});

void t.test(
  'a network that goes takes along what this host said of it; its file stays for its return',
  async (test) => {
    const { cluster, a } = await twoHosts(test.testdir());
    await a.handOut.request('blue', { family: 4 });
    cluster.run(1_000);
    const said = (): string[] =>
      [TABLE.range, TABLE.rangeWard].flatMap((table) =>
        [...cluster.state('x').records(0, table)].map(({ owner }) => `${owner} ${table}`),
      );
    test.ok(said().includes(`a ${TABLE.range}`) && said().includes(`a ${TABLE.rangeWard}`));
    const { pool } = a;
    cluster.networks = [];
    a.pools.sync(cluster.now);
    test.strictSame([...a.pools], []);
    test.ok(pool.isRemoved);
    test.notMatch(said(), /^a /);
    test.ok(existsSync(join(a.folder, 'ranges', `${BLUE.id}-4.json`)));
    cluster.networks = [BLUE];
    a.pools.sync(cluster.now);
    test.strictSame(
      [...a.pool.pool.space.used].map((address) => a.pool.text(address)),
      ['10.42.0.2'],
    );
    const before = a.pool;
    cluster.networks = [{ ...BLUE, subnet: '10.44.0.0/24' }];
    a.pools.sync(cluster.now);
    test.not(a.pool, before, 'with another subnet it is another pool');
    test.equal(a.pool.pool.space.used.size, 0);
  },
);

void t.test('a network that was removed for good leaves no file', async (test) => {
  const { cluster, a } = await twoHosts(test.testdir());
  await a.handOut.request('blue', { family: 4 });
  const file = join(a.folder, 'ranges', `${BLUE.id}-4.json`);
  test.ok(existsSync(file));
  cluster.networks = [];
  cluster.gone.add(BLUE.id);
  a.pools.sync(cluster.now);
  test.notOk(existsSync(file));
});

void t.test('a pool that comes late hears what was said before, and what is taken back', async (test) => {
  const { cluster, a, b } = await twoHosts(test.testdir());
  const { pool } = cluster.start('c');
  test.strictSame([...pool.pool.holding.peers.keys()].sort(), ['a', 'b']);
  test.ok(pool.pool.holding.wordOf('a', 'b'), 'the copy that a keeps of b');
  const key = pool.pool.holding.wardKeyHex('b');
  b.pool.remove(cluster.now, false);
  a.pool.remove(cluster.now, false);
  cluster.hosts.get('c')!.pools.handleChanges([
    { scope: 0, table: TABLE.rangeWard, keyHex: key },
    { scope: 0, table: TABLE.rangeWard, keyHex: 'ff'.repeat(33) },
    { scope: 7, table: TABLE.rangeWard, keyHex: key },
  ]);
  test.equal(pool.pool.holding.wordOf('a', 'b'), undefined);
});

void t.test('a file that cannot be read stops its own pool alone, and is named in the log', (test) => {
  const folder = test.testdir();
  const cluster = new PoolHosts(folder);
  cluster.networks = [BLUE, red];
  mkdirSync(join(folder, 'a', 'ranges', `${BLUE.id}-4.json`), { recursive: true });
  const { pools, lines } = cluster.start('a');
  test.strictSame(
    [...pools].map(({ network }) => network.name),
    ['red'],
  );
  const told = [{ level: 'error', fields: { network: 'blue' }, message: /cannot be kept/ }];
  test.match(lines, told);
  test.throws(() => pools.get('blue', 4), { code: 'OVL_STATE_DIR' });
  pools.retry(cluster.now);
  test.match(lines, told);
  test.equal(lines.length, 1, 'said once');
  rmdirSync(join(folder, 'a', 'ranges', `${BLUE.id}-4.json`));
  pools.retry(cluster.now);
  test.equal(pools.get('blue', 4).network.name, 'blue', 'and there when it can be read');
  test.end();
});
