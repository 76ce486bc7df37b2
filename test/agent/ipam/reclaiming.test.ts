/** The addresses of a host that is gone for good, taken over by an operator's word (issue 5.2; checklist 3.33). */
import t from 'tap';
import { reclaim } from '../../../agent/ipam/reclaiming.ts';
import { twoHosts } from './pool-hosts.ts';

void t.test('3.33: once it is silent, all it had; a second time there is nothing', async (test) => {
  const { cluster, a, b } = await twoHosts(test.testdir());
  await test.rejects(reclaim(a.pools, 'b', cluster.clock), {
    code: 'OVL_RECLAIM_ALIVE',
    hint: /Stop overlayd there first/,
  });
  cluster.stop('b');
  cluster.run(11_000);
  const asked = reclaim(a.pools, 'b', cluster.clock);
  cluster.run(1_000);
  test.strictSame(await asked, [{ network: 'blue', cidrs: ['10.42.0.128/25'] }]);
  test.equal(a.pool.pool.usable(cluster.now).length, 1, 'the whole subnet, in one piece');
  await test.rejects(reclaim(a.pools, 'b', cluster.clock), {
    code: 'OVL_RECLAIM_NOTHING',
    exitCode: 5,
    hint: /overlayd networks ranges/,
  });
  const back = cluster.start('b');
  back.handOut.restore([{ network: 'blue', ip: '10.42.0.128' }]);
  cluster.run(5_000);
  test.equal(back.pool.pool.space.used.size, 0);
  test.strictSame(
    [...back.pool.reclaimed].map((address) => b.pool.text(address)),
    ['10.42.0.128'],
    'who comes back knows what it still has of others',
  );
  test.match(back.lines, [{ level: 'warn', message: /taken over while it was away.*10\.42\.0\.128/ }]);
  const again = (): number => {
    cluster.stop('b');
    const { size } = cluster.start('b').pool.reclaimed;
    cluster.run(1_000);
    return size;
  };
  test.equal(again(), 1, 'also after a restart');
  cluster.hosts.get('b')!.handOut.release('blue', '10.42.0.128');
  test.equal(cluster.hosts.get('b')!.pool.reclaimed.size, 0);
  test.equal(again(), 0, 'until it is given back');
});

void t.test('3.33: refused in one network, done in another: both are told', async (test) => {
  const { cluster, a } = await twoHosts(test.testdir());
  cluster.stop('b');
  cluster.run(11_000);
  const refusing = new Proxy(a.pool, {
    get(pool, key) {
      if (key === 'until') return () => Promise.resolve(undefined);
      const value: unknown = Reflect.get(pool, key, pool);
      return typeof value === 'function' ? (value.bind(pool) as unknown) : value;
    },
  });
  const asked = reclaim([refusing, a.pool], 'b', cluster.clock);
  cluster.run(1_000);
  test.match(await asked, [
    { network: 'blue', cidrs: [], refused: { code: /^OVL_RECLAIM_/ } },
    { network: 'blue', cidrs: ['10.42.0.128/25'], refused: undefined },
  ]);
});

void t.test('3.33: only the host with the copy can, and is named', async (test) => {
  const { cluster } = await twoHosts(test.testdir());
  const c = cluster.start('c');
  const asked = c.handOut.request('blue', { family: 4 });
  cluster.run(10_000);
  await asked;
  const guardian = c.pool.pool.holding.estate.guardians[0]!.name;
  const [other] = [...cluster.hosts.values()].filter(({ name }) => name !== 'c' && name !== guardian);
  cluster.stop('c');
  cluster.run(11_000);
  await test.rejects(reclaim(other!.pools, 'c', cluster.clock), {
    code: 'OVL_RECLAIM_ELSEWHERE',
    hint: `Run this on ${guardian}; if that is gone too, first take over what it had.`,
  });
  const done = reclaim(cluster.hosts.get(guardian)!.pools, 'c', cluster.clock);
  cluster.run(1_000);
  test.match(await done, [{ network: 'blue' }]);
  await test.rejects(reclaim(other!.pools, 'c', cluster.clock), { code: 'OVL_RECLAIM_NOTHING' });
});

void t.test('a host that has nothing', async (test) => {
  const { cluster, a } = await twoHosts(test.testdir());
  await test.rejects(reclaim(a.pools, 'nobody', cluster.clock), {
    code: 'OVL_RECLAIM_NOTHING',
    message: 'host "nobody" has no addresses',
  });
});
