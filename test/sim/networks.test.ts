/**
 * Networks made and removed anywhere (issue 5.1): with splits, deaths, restarts and hosts away for long, all living hosts come
 * to see the same networks, none that was removed comes back, and few hosts say each.
 */
import type { Test } from 'tap';
import { SeededRng, below } from '../../proto/rng.ts';
import { GOOD_LINK } from './network.ts';
import { addNetworksHost, agree, create, names, networksOf, remove, use } from './networks-layer.ts';
import { scenario } from './scenario.ts';
import type { SimNode } from './sim-node.ts';
import type { Simulation } from './simulation.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

function cluster(test: Test, sim: Simulation, count: number): SimNode[] {
  const nodes = Array.from({ length: count }, () => addNetworksHost(sim));
  test.ok(
    sim.runUntil(() => nodes.every((node) => node.alive().length === count), 30_000),
    'all know each other',
  );
  return nodes;
}

function all(nodes: readonly SimNode[], expected: readonly string[]): boolean {
  return agree(nodes) && names(nodes[0]!).join() === expected.join();
}

function ips(nodes: readonly SimNode[]): string[] {
  return nodes.map(({ addr }) => addr.ip);
}

/** Each item is said by few, whatever happened before. */
function fewSay(test: Test, nodes: readonly SimNode[], items: number): void {
  const said = nodes.reduce((sum, node) => sum + networksOf(node).said(), 0);
  test.ok(said >= 2 * items && said <= 3 * items, `${said} records say ${items} things`);
}

scenario('5.1 a network made on one host is on all, and outlives its maker', [1], (test, sim) => {
  const nodes = cluster(test, sim, 6);
  const [, second, third] = nodes as [SimNode, SimNode, SimNode];
  create(third, 'blue');
  test.ok(
    sim.runUntil(() => all(nodes, ['blue']), 2_000),
    'seen on all within two seconds',
  );
  sim.run(20_000);
  third.crash();
  sim.run(25 * HOUR);
  const rest = nodes.filter((node) => node !== third);
  test.ok(all(rest, ['blue']), 'a day after its maker died it is there');
  const late = addNetworksHost(sim);
  test.ok(
    sim.runUntil(() => all([...rest, late], ['blue']), 10_000),
    'a new host learns it from those that took it over',
  );
  fewSay(test, [...rest, late], 1);
  remove(second, 'blue');
  test.ok(
    sim.runUntil(() => all([...rest, late], []), 2_000),
    'any host can remove it',
  );
  third.start();
  sim.run(MINUTE);
  test.ok(all([...rest, late, third], []), 'and its maker does not bring it back');
});

scenario('5.1 what was removed stays away, when all that were there have gone', [1], (test, sim) => {
  const nodes = cluster(test, sim, 5);
  create(nodes[0]!, 'blue');
  create(nodes[1]!, 'red');
  test.ok(sim.runUntil(() => all(nodes, ['blue', 'red']), 2_000));
  const away = nodes[4]!;
  away.crash();
  remove(nodes[3]!, 'blue');
  sim.run(MINUTE);
  const fresh = addNetworksHost(sim);
  sim.run(MINUTE);
  for (const node of nodes.slice(0, 4)) node.crash();
  sim.run(48 * HOUR);
  // Of those that ever knew blue only the one that missed its end is back, beside one that never saw it alive.
  away.start();
  away.join(fresh.addr.ip);
  sim.run(2 * MINUTE);
  test.ok(all([away, fresh], ['red']), 'the one that heard of its end alone knows better');
});

scenario('5.1 networks survive the restart of all hosts at once', [1, 2], (test, sim) => {
  const nodes = cluster(test, sim, 4);
  for (let i = 0; i < 10; i++) create(nodes[i % 4]!, `net${i}`);
  sim.run(5_000);
  const before = networksOf(nodes[0]!).seen();
  for (const node of nodes) node.crash();
  sim.run(HOUR);
  for (const node of nodes) node.start();
  sim.run(2 * MINUTE);
  test.ok(agree(nodes), 'all see the same');
  test.equal(networksOf(nodes[0]!).seen(), before, 'the very same as before');
  fewSay(test, nodes, 10);
});

scenario('5.1 two halves make a network of one name and mean the same: it is one', [1, 2, 3], (test, sim) => {
  const nodes = cluster(test, sim, 6);
  const [left, right] = [nodes.slice(0, 3), nodes.slice(3)];
  sim.network.partition([ips(left), ips(right)]);
  sim.run(MINUTE);
  const first = create(left[0]!, 'blue');
  sim.run(10_000);
  const second = create(right[0]!, 'blue');
  test.equal(first.vni, second.vni, 'chosen alike without a word between them');
  test.equal(first.subnet, second.subnet);
  sim.network.heal();
  test.ok(
    sim.runUntil(() => all(nodes, ['blue']), 2 * MINUTE),
    'one network',
  );
  const [network] = networksOf(nodes[0]!).keeper.resolution.networks;
  test.equal(network?.id, first.made.id, 'the earlier id stands');
  test.same(network?.aliases, [second.made.id], 'the later one means it too');
  remove(right[1]!, 'blue');
  sim.run(MINUTE);
  test.ok(all(nodes, []), 'and both go together');
});

scenario('5.1 one VNI for two networks: the later gets another while nobody uses it', [1, 2], (test, sim) => {
  const nodes = cluster(test, sim, 4);
  const [left, right] = [nodes.slice(0, 2), nodes.slice(2)];
  sim.network.partition([ips(left), ips(right)]);
  sim.run(MINUTE);
  // What the others would choose for "red", taken by hand.
  const { vni, subnet } = networksOf(left[0]!).create(sim.now, 'red');
  remove(left[0]!, 'red');
  create(left[0]!, 'blue', { vni, subnet });
  sim.run(10_000);
  const red = create(right[0]!, 'red');
  test.equal(red.vni, vni, 'a collision');
  sim.network.heal();
  test.ok(
    sim.runUntil(() => all(nodes, ['blue', 'red']) && !/conflict/.test(networksOf(nodes[0]!).seen()), MINUTE),
    'mended',
  );
  const [blue, renumbered] = networksOf(nodes[1]!).keeper.resolution.networks;
  test.equal(blue?.value.vni, vni, 'the earlier keeps it');
  test.not(renumbered?.value.vni, vni);
  test.not(renumbered?.value.subnet, subnet);
  test.equal(renumbered?.id, red.made.id, 'it is the same network still');
});

scenario('5.1 one VNI for two networks in use: both stay, and it is said', [1, 2], (test, sim) => {
  const nodes = cluster(test, sim, 4);
  const [left, right] = [nodes.slice(0, 2), nodes.slice(2)];
  sim.network.partition([ips(left), ips(right)]);
  sim.run(MINUTE);
  const blue = create(left[0]!, 'blue', { vni: 7_000 });
  use(left[1]!, { vni: 7_000, id: blue.made.id }, 2);
  sim.run(10_000);
  const red = create(right[0]!, 'red', { vni: 7_000 });
  use(right[1]!, { vni: 7_000, id: red.made.id }, 1);
  sim.network.heal();
  sim.run(5 * MINUTE);
  test.ok(agree(nodes), 'all see the same');
  const { networks, conflicts } = networksOf(nodes[0]!).keeper.resolution;
  test.same(
    networks.map(({ value }) => [value.name, value.vni]),
    [
      ['blue', 7_000],
      ['red', 7_000],
    ],
    'neither was touched',
  );
  test.same(
    conflicts.map(({ reason, rejectedId }) => [reason, rejectedId]),
    [['same-vni', red.made.id]],
    'the later is named',
  );
});

scenario(
  '5.1 one name for different networks: the earlier stands everywhere, the other is found by its id',
  [1],
  (test, sim) => {
    const nodes = cluster(test, sim, 4);
    const [left, right] = [nodes.slice(0, 2), nodes.slice(2)];
    sim.network.partition([ips(left), ips(right)]);
    sim.run(MINUTE);
    const first = create(left[0]!, 'blue', { subnet: '10.9.0.0/16' });
    sim.run(10_000);
    const second = create(right[0]!, 'blue', { subnet: '10.8.0.0/16' });
    sim.network.heal();
    sim.run(2 * MINUTE);
    test.ok(agree(nodes));
    const { networks, apart } = networksOf(nodes[3]!).keeper.resolution;
    test.same([networks.map(({ id }) => id), apart.map(({ id }) => id)], [[first.made.id], [second.made.id]]);
  },
);

/** Anything, anywhere, for ten minutes on a bad network: then all agree, and nothing removed is there. */
const campaign = (test: Test, sim: Simulation): void => {
  const rng = new SeededRng(sim.seed).fork('campaign');
  const nodes = cluster(test, sim, 8);
  sim.network.faults = {
    ...GOOD_LINK,
    latencyMs: 2,
    jitterMs: 3,
    loss: 0.05,
    duplicate: 0.02,
    reorder: 0.02,
  };
  const removed = new Set<string>();
  const pick = (): SimNode | undefined => {
    const up = nodes.filter((node) => node.isRunning);
    return up[below(rng, up.length)];
  };
  for (let round = 0; round < 60; round++) {
    const node = pick();
    const dice = rng.float();
    if (node !== undefined && dice < 0.4) {
      const name = `net${below(rng, 12)}`;
      if (!names(node).includes(name)) create(node, name, dice < 0.1 ? { vni: 5_000 + below(rng, 3) } : {});
    } else if (node !== undefined && dice < 0.6) {
      const known = networksOf(node).keeper.resolution.networks;
      const victim = known[below(rng, Math.max(1, known.length))];
      if (victim !== undefined) {
        remove(node, victim.value.name);
        for (const id of [victim.id, ...victim.aliases]) removed.add(id);
      }
    } else if (dice < 0.7 && nodes.filter((each) => each.isRunning).length > 3) pick()?.crash();
    else if (dice < 0.8) nodes.find((each) => !each.isRunning)?.start();
    else if (dice < 0.9) {
      const cut = 1 + below(rng, 6);
      sim.network.partition([ips(nodes.slice(0, cut)), ips(nodes.slice(cut))]);
    } else sim.network.heal();
    sim.run(10_000);
  }
  sim.network.heal();
  for (const node of nodes) if (!node.isRunning) node.start();
  test.ok(
    sim.runUntil(() => agree(nodes), 10 * MINUTE, 1_000),
    'all agree in the end',
  );
  sim.run(2 * MINUTE);
  test.ok(agree(nodes), 'and go on agreeing');
  const { made, gone } = networksOf(nodes[0]!).keeper.registry;
  for (const id of removed) test.notOk(made.has(id), `${id} is gone`);
  fewSay(test, nodes, made.size + gone.size);
};
scenario('5.1 a campaign of creations, removals, deaths and splits', [1, 2, 3, 4], campaign);
