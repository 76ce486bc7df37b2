import t from 'tap';
import { GOOD_LINK } from './network.ts';
import { scenario } from './scenario.ts';
import type { SimNode } from './sim-node.ts';
import { Simulation } from './simulation.ts';

/** Membership over the virtual network: the scenes of gossip.md 2, 5 and 7.9, in virtual time. */
const SEED = { ip: '10.0.0.1', port: 7946 };
const NAMES = (count: number): string[] => Array.from({ length: count }, (_, i) => `n${i + 1}`).sort();

/** Every running node of the list holds exactly these alive. */
function agree(nodes: readonly SimNode[], names: readonly string[]): boolean {
  return nodes.every((node) => node.alive().join() === names.join());
}

const eventsOf = (node: SimNode, type: string): unknown[] =>
  node.events.filter((event) => event.type === type);

scenario('three hosts join through one seed', [1, 2, 3], (test, sim) => {
  const nodes = sim.addNodes(3, { seeds: [SEED] });
  test.ok(
    sim.runUntil(() => agree(nodes, NAMES(3)), 2000),
    'all know all within 2 s',
  );
  sim.run(60_000);
  test.ok(agree(nodes, NAMES(3)));
  for (const node of nodes) {
    test.same(eventsOf(node, 'dead'), []);
    test.equal(eventsOf(node, 'join').length, 2);
    test.equal(node.swim.counters().healthScore, 0);
    test.ok((node.swim.member('n1')?.rttMs ?? 1) < 2);
  }
});

scenario('a seed that starts late is joined all the same', [1, 2], (test, sim) => {
  const [seed, ...others] = sim.addNodes(3, { seeds: [SEED] }) as [SimNode, SimNode, SimNode];
  seed.crash();
  sim.run(60_000);
  seed.start();
  test.ok(
    sim.runUntil(() => agree([seed, ...others], NAMES(3)), 40_000),
    'within the longest back-off',
  );
});

scenario('seeds given later are joined', [1], (test, sim) => {
  const nodes = sim.addNodes(3);
  sim.run(5000);
  for (const node of nodes) node.do((swim, now) => swim.setSeeds(now, [SEED]));
  test.ok(sim.runUntil(() => agree(nodes, NAMES(3)), 2000));
});

scenario('a late joiner learns of all, and all of it', [1, 2], (test, sim) => {
  const nodes = sim.addNodes(5, { seeds: [SEED] });
  sim.run(30_000);
  const late = sim.addNode({ name: 'n6', ip: '10.0.0.6', seeds: [{ ip: '10.0.0.3', port: 7946 }] });
  test.ok(sim.runUntil(() => agree([...nodes, late], NAMES(6)), 3000));
});

scenario('kill -9 is seen within the time of the formula', [1, 2, 3, 4], (test, sim) => {
  const nodes = sim.addNodes(5, { seeds: [SEED] });
  sim.run(10_000);
  const [victim, ...others] = nodes.toReversed() as [SimNode, ...SimNode[]];
  victim.crash();
  const startMs = sim.now;
  const isDead = (): boolean => others.every((node) => node.stateOf(victim.name) === 'dead');
  // Found in one round of probes, then a suspicion of 4 s (confirmed) to 24 s, then a second of gossip.
  test.ok(sim.runUntil(isDead, 5000 + 1000 + 24_000 + 1000), `dead after ${sim.now - startMs} ms`);
  test.ok(sim.now - startMs > 4000, 'not before the shortest suspicion');
  sim.run(60_000);
  test.equal(others[0]?.stateOf(victim.name), undefined, 'forgotten after gossipToTheDead');
});

scenario('a killed host that restarts at once refutes its old life', [1, 2, 3], (test, sim) => {
  const nodes = sim.addNodes(4, { seeds: [SEED] });
  sim.run(20_000);
  const victim = nodes[3] as SimNode;
  victim.do((swim, now) => swim.setMeta(now, Uint8Array.of(7)));
  sim.run(2000);
  const before = nodes[0]?.swim.member('n4')?.incarnation ?? 0;
  victim.crash();
  sim.run(500);
  victim.start();
  sim.run(10_000);
  test.ok(agree(nodes, NAMES(4)));
  test.ok((nodes[0]?.swim.member('n4')?.incarnation ?? 0) > before, 'with a higher incarnation');
  for (const node of nodes) test.same(eventsOf(node, 'dead'), []);
});

scenario('a host held dead comes back under its name, also from another address', [1, 2], (test, sim) => {
  const nodes = sim.addNodes(4, { seeds: [SEED] });
  sim.run(10_000);
  (nodes[3] as SimNode).crash();
  sim.run(35_000);
  test.equal(nodes[0]?.stateOf('n4'), 'dead');
  (nodes[3] as SimNode).start();
  test.ok(
    sim.runUntil(() => agree(nodes, NAMES(4)), 5000),
    'same address',
  );
  (nodes[3] as SimNode).crash();
  sim.run(70_000);
  const moved = sim.addNode({ name: 'n4', ip: '10.0.0.44', seeds: [SEED] });
  test.ok(
    sim.runUntil(() => agree([...nodes.slice(0, 3), moved], NAMES(4)), 5000),
    'other address',
  );
  test.equal(nodes[1]?.swim.member('n4')?.addr.ip, '10.0.0.44');
});

scenario('two hosts of one name: the second is refused and told of', [1], (test, sim) => {
  const nodes = sim.addNodes(2, { seeds: [SEED] });
  sim.run(5000);
  sim.addNode({ name: 'n2', ip: '10.0.0.9', seeds: [SEED] });
  sim.run(10_000);
  test.equal(nodes[0]?.swim.member('n2')?.addr.ip, '10.0.0.2');
  test.match(eventsOf(nodes[0] as SimNode, 'conflict')[0], {
    existing: { name: 'n2' },
    other: { ip: '10.0.0.9' },
  });
});

scenario('leaving is seen as left, quickly, and is not undone', [1, 2, 3], (test, sim) => {
  const nodes = sim.addNodes(4, { seeds: [SEED] });
  sim.run(10_000);
  const leaver = nodes[3] as SimNode;
  leaver.do((swim, now) => swim.leave(now));
  test.ok(
    sim.runUntil(() => eventsOf(leaver, 'leave-done').length === 1, 1000),
    'said within a second',
  );
  leaver.crash();
  const others = nodes.slice(0, 3);
  test.ok(sim.runUntil(() => others.every((node) => node.stateOf('n4') === 'left'), 2000));
  sim.run(120_000);
  for (const node of others) {
    test.equal(eventsOf(node, 'left').length, 1);
    test.same(eventsOf(node, 'dead'), []);
  }
  leaver.start();
  test.ok(
    sim.runUntil(() => agree(nodes, NAMES(4)), 5000),
    'and may come back',
  );
});

scenario('a member can leave and join again without a restart', [1], (test, sim) => {
  const nodes = sim.addNodes(3, { seeds: [SEED] });
  sim.run(5000);
  (nodes[2] as SimNode).do((swim, now) => swim.leave(now));
  sim.run(5000);
  test.equal(nodes[0]?.stateOf('n3'), 'left');
  (nodes[2] as SimNode).join('10.0.0.1');
  test.ok(sim.runUntil(() => agree(nodes, NAMES(3)), 3000));
});

scenario('a split cluster heals, long after both sides forgot each other', [1, 2, 3], (test, sim) => {
  const nodes = sim.addNodes(6, { seeds: [SEED] });
  sim.run(10_000);
  sim.network.partition([
    ['10.0.0.1', '10.0.0.2', '10.0.0.3'],
    ['10.0.0.4', '10.0.0.5', '10.0.0.6'],
  ]);
  sim.run(300_000);
  test.ok(agree(nodes.slice(0, 3), ['n1', 'n2', 'n3']));
  test.ok(agree(nodes.slice(3), ['n4', 'n5', 'n6']));
  sim.network.heal();
  test.ok(
    sim.runUntil(() => agree(nodes, NAMES(6)), 90_000),
    'within the seeds’ interval and back-off',
  );
});

scenario('halves without a seed between them heal by trying the failed', [1, 2], (test, sim) => {
  const nodes = sim.addNodes(4);
  for (const node of nodes.slice(1)) node.join('10.0.0.1');
  sim.run(5000);
  sim.network.partition([
    ['10.0.0.1', '10.0.0.2'],
    ['10.0.0.3', '10.0.0.4'],
  ]);
  sim.run(200_000);
  test.notOk(agree(nodes, NAMES(4)));
  sim.network.heal();
  test.ok(sim.runUntil(() => agree(nodes, NAMES(4)), 60_000));
});

scenario('a one-way cut: relays vouch for who cannot be heard', [1, 2], (test, sim) => {
  const nodes = sim.addNodes(5, { seeds: [SEED] });
  sim.run(10_000);
  sim.network.cut('10.0.0.2', '10.0.0.3');
  sim.run(120_000);
  for (const node of nodes) test.same(eventsOf(node, 'dead'), [], node.name);
});

scenario('broken streams alone kill nobody', [1], (test, sim) => {
  const nodes = sim.addNodes(5, { seeds: [SEED] });
  sim.run(10_000);
  sim.network.faults = { ...GOOD_LINK, refuseStreams: true };
  sim.run(120_000);
  for (const node of nodes) test.same(eventsOf(node, 'dead'), []);
});

scenario('streams in single bytes carry a join all the same', [1], (test, sim) => {
  sim.network.faults = { ...GOOD_LINK, chunkBytes: 1 };
  const nodes = sim.addNodes(4, { seeds: [SEED] });
  test.ok(sim.runUntil(() => agree(nodes, NAMES(4)), 3000));
});

scenario('a host stopped for ten seconds is back soon after', [1, 2, 3], (test, sim) => {
  const nodes = sim.addNodes(5, { seeds: [SEED] });
  sim.run(10_000);
  const stopped = nodes[2] as SimNode;
  stopped.pause();
  sim.run(20_000);
  stopped.resume();
  test.ok(sim.runUntil(() => agree(nodes, NAMES(5)), 3000));
  test.same(eventsOf(stopped, 'dead'), [], 'and blames nobody for its own sleep');
});

scenario('a host that was held dead and only pings is told, and refutes', [1, 2], (test, sim) => {
  const nodes = sim.addNodes(3, { seeds: [SEED], pushPullIntervalMs: 1e9 });
  sim.run(10_000);
  // Deaf for long enough to be declared dead, while its own pings get out.
  for (const ip of ['10.0.0.1', '10.0.0.2']) sim.network.cut(ip, '10.0.0.3');
  sim.runUntil(() => nodes[0]?.stateOf('n3') === 'dead', 40_000);
  test.equal(nodes[0]?.stateOf('n3'), 'dead');
  sim.network.heal();
  test.ok(sim.runUntil(() => agree(nodes.slice(0, 2), NAMES(3)), 5000));
});

scenario('30 hosts, 5 % loss, two minutes: nobody is declared dead', [1, 2, 3], (test, sim) => {
  const nodes = sim.addNodes(30, { seeds: [SEED] });
  sim.network.faults = { ...GOOD_LINK, loss: 0.05, duplicate: 0.01, reorder: 0.01 };
  test.ok(
    sim.runUntil(() => agree(nodes, NAMES(30)), 45_000, 20),
    `all know all after ${sim.now} ms`,
  );
  sim.run(120_000);
  test.ok(agree(nodes, NAMES(30)));
  for (const node of nodes) test.same(eventsOf(node, 'dead'), [], node.name);
});

scenario('a change of meta reaches all', [1, 2], (test, sim) => {
  const nodes = sim.addNodes(8, { seeds: [SEED] });
  sim.run(10_000);
  const meta = Uint8Array.of(1, 2, 3);
  (nodes[4] as SimNode).do((swim, now) => swim.setMeta(now, meta));
  const others = nodes.filter(({ name }) => name !== 'n5');
  test.ok(sim.runUntil(() => others.every((node) => node.swim.member('n5')?.meta.length === 3), 2000));
  for (const node of others) test.equal(eventsOf(node, 'update').length, 1);
});

function roughMinute(seed: number): string {
  const sim = new Simulation(seed);
  const nodes = sim.addNodes(10, { seeds: [SEED] });
  sim.network.faults = { ...GOOD_LINK, loss: 0.1, duplicate: 0.05, reorder: 0.1, chunkBytes: 50 };
  sim.after(8000, () => nodes[4]?.crash());
  sim.after(9000, () => nodes[5]?.pause());
  sim.after(15_000, () => nodes[5]?.resume());
  sim.after(30_000, () => nodes[4]?.start());
  sim.run(60_000);
  return sim.traceHash();
}

void t.test('the same seed gives the same run, another seed another', (test) => {
  test.equal(roughMinute(42), roughMinute(42));
  test.not(roughMinute(42), roughMinute(43));
  test.end();
});
