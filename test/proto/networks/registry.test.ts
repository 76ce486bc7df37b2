import t from 'tap';
import { array, assert, boolean, nat, property, record } from 'fast-check';
import { GONE_KEEP_MS, GONE_MAX, NETWORKS_MAX, NetworkRegistry } from '../../../proto/networks/registry.ts';
import { Announcing } from '../../../proto/networks/announcing.ts';
import type { MadeNetwork } from '../../../proto/state/values/network.ts';

const NOW = 1_700_000_000_000;
const idOf = (i: number): string => i.toString(16).padStart(32, '0');

function network(i: number, revision = 0, more: Partial<MadeNetwork> = {}): MadeNetwork {
  return {
    name: `net${i}`,
    vni: 5_000 + i,
    subnet: '10.43.0.0/20',
    gateway: '',
    mtu: 1_450,
    encrypted: false,
    ...more,
    made: {
      id: idOf(i),
      creator: 'a',
      hlc: BigInt(i),
      revision,
      subnet6: '',
      gateway6: '',
      internal: false,
      labels: {},
      chosen: { vni: true, subnet: true, mtu: true },
      ...more.made,
    },
  };
}

void t.test('5.1 what is gone does not come back, in whatever order it is heard', async (test) => {
  const step = record({ i: nat(3), revision: nat(2), vni: nat(1), isGone: boolean() });
  const law = property(array(step, { maxLength: 20 }), nat(), (steps, seed) => {
    const run = (order: typeof steps): string => {
      const registry = new NetworkRegistry();
      for (const { i, revision, vni, isGone } of order) {
        if (isGone) registry.bury(idOf(i), { atMs: NOW, name: 'x', by: 'a' }, NOW);
        else registry.merge(network(i, revision, { vni: 5_000 + vni }));
      }
      const { made, gone } = registry.saved();
      const texts = made.map((each) => `${each.made.id} ${each.made.revision} ${each.vni}`);
      return [...texts, ...gone.map(({ id }) => `gone ${id}`)].sort().join('\n');
    };
    const shuffled = [...steps].sort(
      (a, b) => ((a.i + seed) % 3) - ((b.i + seed) % 3) || a.revision - b.revision,
    );
    return run(steps) === run(shuffled) && run(steps) === run([...steps, ...steps]);
  });
  test.doesNotThrow(() => assert(law));
});

void t.test('bounds: networks, removals, and how long these are remembered', async (test) => {
  const registry = new NetworkRegistry();
  for (let i = 0; i < NETWORKS_MAX; i++) registry.merge(network(i));
  test.notOk(registry.merge(network(NETWORKS_MAX)), 'no room');
  test.equal(registry.counters().get('networks-full'), 1);
  test.ok(registry.merge(network(0, 1)), 'one that is known may change');
  for (let i = 0; i <= GONE_MAX; i++)
    registry.bury(idOf(i), { atMs: NOW + i, name: 'x', by: 'a' }, NOW + GONE_MAX);
  test.equal(registry.gone.size, GONE_MAX);
  test.notOk(registry.gone.has(idOf(0)), 'the oldest is forgotten');
  test.equal(registry.made.size, 0);
  registry.forgetOld(NOW + GONE_MAX + GONE_KEEP_MS + 1);
  test.equal(registry.gone.size, 0);
  test.notOk(
    registry.bury(idOf(1), { atMs: NOW, name: 'x', by: 'a' }, NOW + GONE_KEEP_MS + 1),
    'too old to take',
  );
  registry.bury(idOf(1), { atMs: NOW + 10 * GONE_KEEP_MS, name: 'x', by: 'a' }, NOW);
  test.equal(registry.gone.get(idOf(1))?.atMs, NOW, 'a date in the future is not believed');
});

void t.test('what another host says is taken only if it is what it should be', async (test) => {
  const registry = new NetworkRegistry();
  const bad: Partial<MadeNetwork>[] = [
    { name: '../etc' },
    { name: '' },
    { name: '$(reboot)' },
    { mtu: 20 },
    { subnet: '10.0.0.0/99' },
    { subnet: 'fd00::/64' },
    { gateway: 'here' },
    { made: { ...network(1).made, subnet6: '10.0.0.0/8' } },
    { made: { ...network(1).made, gateway6: '\u001B[2J' } },
  ];
  for (const more of bad) test.notOk(registry.merge(network(1, 0, more)), Object.keys(more).join());
  test.equal(registry.counters().get('bad-network'), bad.length);
});

void t.test('5.1 few say what all know', async (test) => {
  const live = ['a', 'b', 'c', 'd'];
  const item = { key: 'x', author: 'd' };
  const plan = (self: string, now: number, sayers: readonly string[], who = live): string => {
    const announcing = new Announcing(0);
    announcing.plan(Math.min(now, 20_000), [item], {
      self,
      live: who,
      saying: new Map([['x', new Set(sayers)]]),
    });
    const { say, stop } = announcing.plan(now, [item], {
      self,
      live: who,
      saying: new Map([['x', new Set(sayers)]]),
    });
    return say.length > 0 ? 'say' : stop.length > 0 ? 'stop' : '-';
  };
  test.equal(plan('d', 0, []), 'say', 'its author at once');
  test.equal(plan('a', 5_000, ['d']), '-', 'others wait after their start');
  test.equal(plan('a', 20_000, ['d']), 'say', 'the first by name besides');
  test.equal(plan('b', 90_000, ['d', 'a']), '-', 'two are enough');
  test.equal(plan('c', 90_000, ['a', 'c', 'd']), 'stop', 'three are too many');
  test.equal(plan('c', 30_000, ['a', 'c', 'd']), '-', 'but not at once');
  test.equal(plan('c', 90_000, ['c', 'd']), '-', 'and not before the one whose turn it is');
  test.equal(plan('d', 90_000, ['a', 'b', 'd']), '-', 'its author goes on');
  test.equal(plan('b', 20_000, ['a'], ['a', 'b', 'c']), 'say', 'its author is dead: the second by name');
  test.equal(plan('c', 90_000, ['c'], ['a', 'b', 'c']), '-', 'one that knows alone goes on');
});
