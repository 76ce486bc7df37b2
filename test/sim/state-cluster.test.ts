import t from 'tap';
import { TABLE } from '../../proto/state/interface.ts';
import type { State } from '../../proto/state/state.ts';
import { encodeInterest, interestKey } from '../../proto/state/values/interest.ts';
import { macKey, macKeyHex } from '../../proto/state/values/mac.ts';
import { GOOD_LINK } from './network.ts';
import { scenario } from './scenario.ts';
import type { SimNode } from './sim-node.ts';
import { Simulation } from './simulation.ts';
import { VNI, addHost, agree, layerOf, learn, leaveByHand } from './state-layer.ts';

/** Replicated state over real membership on the virtual network: gossip.md 7, the timers of issue and checklist. */
const MAC = 0x02_00_00_00_00_01;
const LOSSY = { ...GOOD_LINK, latencyMs: 2, jitterMs: 3, loss: 0.1, duplicate: 0.05, reorder: 0.05 };

const addHosts = (sim: Simulation, count: number): SimNode[] =>
  Array.from({ length: count }, () => addHost(sim));

/** Every host sends frames for `mac` to where it is. */
function allRoute(nodes: readonly SimNode[], mac: number, to: SimNode): boolean {
  return nodes.every((node) => layerOf(node).route(mac) === (node === to ? 'local' : to.addr.ip));
}

/** Every host floods to every other. */
function allFlood(nodes: readonly SimNode[]): boolean {
  return nodes.every((node) => {
    const others = nodes.filter((other) => other !== node).map((other) => other.addr.ip);
    return layerOf(node).flood().join() === others.sort().join();
  });
}

scenario('three hosts find each other and their MACs', [1, 2, 3], (test, sim) => {
  const nodes = addHosts(sim, 3);
  nodes.forEach((node, i) => learn(node, MAC + i, `10.42.0.${i + 2}`));
  const isThere = (): boolean =>
    allFlood(nodes) && nodes.every((node, i) => allRoute(nodes, MAC + i, node)) && agree(nodes);
  test.ok(sim.runUntil(isThere, 2_000), 'within 2 s of the start');
  learn(nodes[2]!, MAC + 9, '10.42.0.9');
  const began = sim.now;
  test.ok(sim.runUntil(() => allRoute(nodes, MAC + 9, nodes[2]!), 1_000));
  test.ok(sim.now - began <= 50, `a new MAC after ${sim.now - began} ms`);
  const row = layerOf(nodes[0]!).rows.rows.get('neighbour 0 10.42.0.9');
  test.match(row, { mac: MAC + 9 });
});

scenario('a late joiner has everything, and everybody has it', [1, 2], (test, sim) => {
  const nodes = addHosts(sim, 5);
  for (const [i, node] of nodes.entries()) for (let m = 0; m < 100; m++) learn(node, MAC + i * 1_000 + m);
  sim.run(40_000);
  test.ok(agree(nodes));
  const late = addHost(sim);
  learn(late, MAC + 99_999);
  const all = [...nodes, late];
  test.ok(
    sim.runUntil(() => agree(all) && allRoute(all, MAC + 99_999, late), 3_000),
    'within 3 s',
  );
  test.ok(allRoute(all, MAC + 4_099, nodes[4]!));
  test.ok(allFlood(all));
});

scenario('kill -9 and a restart change no row of others', [1, 2], (test, sim) => {
  const nodes = addHosts(sim, 4);
  const [, victim] = nodes as [SimNode, SimNode];
  for (let m = 0; m < 20; m++) learn(victim, MAC + m);
  sim.run(10_000);
  const others = nodes.filter((node) => node !== victim);
  const before = others.map((node) => layerOf(node).rows.lines().join());
  victim.crash();
  sim.run(8_000);
  victim.start();
  for (let m = 0; m < 20; m++) learn(victim, MAC + m);
  for (let i = 0; i < 60; i++) {
    sim.run(1_000);
    const now = others.map((node) => layerOf(node).rows.lines().join());
    if (now.join() !== before.join()) test.fail(`rows changed ${i + 1} s after the restart`);
  }
  test.ok(agree(nodes));
});

scenario(
  'a dead host is held for 30 s, then forgotten; one that leaves is gone at once',
  [1, 2],
  (test, sim) => {
    const nodes = addHosts(sim, 4);
    learn(nodes[1]!, MAC);
    learn(nodes[2]!, MAC + 1);
    sim.run(10_000);
    nodes[1]!.crash();
    const rest = [nodes[0]!, nodes[2]!, nodes[3]!];
    const isDead = (): boolean =>
      rest.every((node) => node.stateOf('n2') !== 'alive' && node.stateOf('n2') !== 'suspect');
    test.ok(sim.runUntil(isDead, 60_000));
    sim.run(25_000);
    test.equal(layerOf(nodes[0]!).route(MAC), nodes[1]!.addr.ip, 'held');
    sim.run(10_000);
    test.ok(rest.every((node) => layerOf(node).route(MAC) === undefined));
    leaveByHand(nodes[2]!);
    test.ok(
      sim.runUntil(() => layerOf(nodes[0]!).route(MAC + 1) === undefined, 2_000),
      'left',
    );
  },
);

scenario('who left by hand and joins again is back with all it has', [1, 2], (test, sim) => {
  const nodes = addHosts(sim, 4);
  const [first, , guest] = nodes as [SimNode, SimNode, SimNode];
  learn(guest, MAC);
  sim.run(40_000);
  leaveByHand(guest);
  test.ok(sim.runUntil(() => layerOf(first).route(MAC) === undefined, 2_000));
  sim.run(10_000);
  guest.do((_swim, now) => layerOf(guest).state.renew(now));
  guest.join(first.addr.ip);
  const isBack = (): boolean => allRoute(nodes, MAC, guest) && allFlood(nodes) && agree(nodes);
  test.ok(sim.runUntil(isBack, 5_000), 'within 5 s');
});

scenario('a split heals within 10 s of the network', [1, 2, 3], (test, sim) => {
  const nodes = addHosts(sim, 6);
  sim.run(10_000);
  const [left, right] = [nodes.slice(0, 3), nodes.slice(3)];
  sim.network.partition([left.map((n) => n.addr.ip), right.map((n) => n.addr.ip)]);
  sim.run(90_000);
  for (const [i, node] of nodes.entries()) learn(node, MAC + i);
  // While apart, one MAC moved on either side.
  learn(nodes[0]!, MAC + 50);
  sim.run(1_000);
  learn(nodes[5]!, MAC + 50);
  sim.run(60_000);
  test.equal(layerOf(nodes[0]!).route(MAC + 5), undefined);
  sim.network.heal();
  const isMember = (node: SimNode): boolean => node.alive().length === nodes.length;
  test.ok(
    sim.runUntil(() => nodes.every(isMember), 60_000),
    'membership heals',
  );
  const began = sim.now;
  const isWhole = (): boolean =>
    agree(nodes) && allFlood(nodes) && nodes.every((node, i) => allRoute(nodes, MAC + i, node));
  test.ok(sim.runUntil(isWhole, 10_000), `state ${sim.now - began} ms after membership`);
  const holder = nodes.find((node) => layerOf(node).route(MAC + 50) === 'local');
  test.ok(
    holder !== undefined && allRoute(nodes, MAC + 50, holder),
    'one place for the MAC that was on both sides',
  );
});

scenario('hosts of the longest names that share many networks', [1, 2], (test, sim) => {
  const vnis = Array.from({ length: 30 }, (_, i) => VNI + 1 + i);
  const nodes = ['a', 'b'].map((letter) => addHost(sim, { name: letter.repeat(128) }));
  sim.run(2_000);
  for (const node of nodes) {
    node.do((_swim, now) => {
      const { state } = layerOf(node);
      for (const vni of vnis) state.put(now, 0, TABLE.interest, interestKey(vni), encodeInterest());
      for (const vni of vnis) state.put(now, vni, TABLE.endpoint, macKey(MAC), Uint8Array.of(1));
    });
  }
  const agreeOnAll = (): boolean => {
    const [a, b] = nodes.map((node) => layerOf(node).state) as [State, State];
    return vnis.every(
      (vni) => a.root(vni) === b.root(vni) && a.claims(vni, TABLE.endpoint, macKeyHex(MAC)).length === 2,
    );
  };
  test.ok(sim.runUntil(agreeOnAll, 5_000));
  sim.run(15_000);
  nodes[1]!.crash();
  nodes[1]!.start();
  sim.run(5_000);
  test.ok(nodes[0]!.alive().length === 2, 'both are there after a restart');
});

void t.test('the same seed gives the same run', (test) => {
  const play = (): string => {
    const sim = new Simulation(11);
    sim.network.faults = LOSSY;
    const nodes = addHosts(sim, 5);
    nodes.forEach((node, i) => learn(node, MAC + i));
    sim.run(20_000);
    for (const node of nodes) sim.note(layerOf(node).rows.lines().join());
    return sim.traceHash();
  };
  test.equal(play(), play());
  test.end();
});
