/**
 * One unsigned word that should silence a member for good, or give its name to somebody else: whoever holds the gossip key can
 * say it. The cluster is as it was within seconds, and a newcomer that heard it first too.
 */
import { encodeMessage } from '../../proto/memberlist/messages.ts';
import type { Message } from '../../proto/memberlist/messages.ts';
import { sealPacket } from '../../proto/memberlist/packet.ts';
import { encodeMeta } from '../../proto/swim/meta.ts';
import { scenario } from './scenario.ts';
import type { SimNode } from './sim-node.ts';
import type { Simulation } from './simulation.ts';
import { addHost, agree, layerOf, learn, leaveByHand } from './state-layer.ts';

const MAC = 0x02_00_00_00_00_01;
/** Speaks what nobody does. */
const FOREIGN = encodeMeta({ stateProtocolMin: 99, stateProtocolMax: 99, epoch: 1n << 62n });
const VSN = Uint8Array.of(1, 5, 2, 0, 255, 0);
/** The highest, half way round, and the last that looks new to a member at 1. */
const NUMBERS = [0xffff_ffff, 0x7fff_ffff, 0x8000_0001, 65_537, 65_538];

function lieAt(victim: SimNode, incarnation: number, ip = victim.addr.ip): Message {
  const { port } = victim.addr;
  const addr = Uint8Array.from(ip.split('.').map(Number));
  return { type: 'alive', node: victim.name, addr, port, incarnation, meta: FOREIGN, vsn: VSN };
}

const deathOf = ({ name }: SimNode, incarnation: number, from = 'm'): Message => {
  return { type: 'dead', node: name, from, incarnation };
};

function tell(sim: Simulation, from: string, to: readonly SimNode[], ...messages: Message[]): void {
  const settings = { label: new Uint8Array(0), compress: false, sealer: undefined };
  const bytes = sealPacket(messages.map(encodeMessage), false, settings);
  for (const { addr } of to) sim.network.send({ ip: from, port: 7946 }, addr, bytes);
}

/** All hold all alive as they are: same address, and the epoch of its life. */
function isTrue(nodes: readonly SimNode[]): boolean {
  return nodes.every((node) =>
    nodes.every(({ name, addr, swim }) => {
      const held = node.swim.member(name);
      const { meta } = swim.self;
      return held?.state === 'alive' && held.addr.ip === addr.ip && held.meta.join() === meta.join();
    }),
  );
}

const rowsOf = (nodes: readonly SimNode[]): string =>
  nodes.map((node) => layerOf(node).rows.lines().join('\n')).join('\n\n');

function cluster(sim: Simulation): { all: SimNode[]; mallory: SimNode; honest: SimNode[]; rows: string } {
  const all = Array.from({ length: 5 }, () => addHost(sim));
  all.forEach((node, i) => learn(node, MAC + i, `10.42.0.${i + 2}`));
  sim.run(30_000);
  const honest = all.slice(0, 4);
  return { all, mallory: all[4]!, honest, rows: rowsOf(honest) };
}

scenario('a number that cannot be outbid silences nobody', [1, 2], (test, sim) => {
  const { all, mallory, honest, rows } = cluster(sim);
  const victim = honest[2]!;
  const others = honest.filter((node) => node !== victim);
  for (const to of [others, honest]) {
    for (const number of NUMBERS) {
      for (const lie of [
        lieAt(victim, number),
        deathOf(victim, number),
        deathOf(victim, number, victim.name),
      ]) {
        tell(sim, mallory.addr.ip, to, lie);
        for (let i = 0; i < 100; i++) {
          sim.run(100);
          if (rowsOf(honest) !== rows) test.fail(`rows changed by ${number}`);
        }
        test.ok(isTrue(all), `true after ${lie.type} ${number}`);
      }
    }
  }
  victim.crash();
  sim.run(3000);
  victim.start();
  learn(victim, MAC + 2, '10.42.0.4');
  test.ok(
    sim.runUntil(() => isTrue(all) && rowsOf(honest) === rows, 60_000),
    'a restart is heard by all',
  );
  victim.crash();
  test.ok(
    sim.runUntil(() => others.every((node) => node.stateOf(victim.name) !== 'alive'), 40_000),
    'and so is its death',
  );
});

scenario('a newcomer that heard a liar first hears the member itself', [1, 2, 3], (test, sim) => {
  for (const number of [0xffff_ffff, 0x7fff_ffff, 4_000_000, 60_000]) {
    const { honest } = cluster(sim);
    const late = sim.addNode({ name: `late-${number}`, ip: '10.0.9.9' });
    const lies = honest.map((node) => lieAt(node, number));
    tell(sim, '10.0.9.8', [late], ...lies);
    sim.run(100);
    test.equal(late.swim.member(honest[1]!.name)?.incarnation, number, 'the lie is all it knows');
    late.join(honest[0]!.addr.ip);
    const took = sim.now;
    test.ok(
      sim.runUntil(
        () =>
          honest.every(({ name, swim }) => {
            return late.swim.member(name)?.meta.join() === swim.self.meta.join();
          }),
        45_000,
      ),
      `all as they are after ${number}`,
    );
    test.comment(`${sim.now - took} ms`);
    late.crash();
    for (const node of honest) node.crash();
    sim.nodes.length = 0;
    sim.run(1000);
  }
});

scenario('a leave that it did not say moves no name', [1, 2, 3, 4, 5, 6, 7, 8], (test, sim) => {
  const { all, mallory, honest, rows } = cluster(sim);
  const victim = honest[1]!;
  for (let i = 0; i < 10; i++) {
    const to = honest.filter((node) => node !== victim || i % 2 === 0);
    const { incarnation } = victim.swim.self;
    const stolen = lieAt(victim, incarnation + 1, mallory.addr.ip);
    tell(sim, mallory.addr.ip, to, deathOf(victim, incarnation, victim.name), stolen);
    for (let j = 0; j < 100; j++) {
      sim.run(20);
      const where = honest.map((node) => node.swim.member(victim.name)?.addr.ip);
      if (where.some((ip) => ip !== victim.addr.ip)) test.fail(`it is at ${where.join()}`);
      tell(sim, mallory.addr.ip, to, stolen);
    }
    test.ok(isTrue(all));
  }
  test.equal(rowsOf(honest), rows);
});

scenario('who has left may come back at another address', [1, 2, 3], (test, sim) => {
  const { all, honest } = cluster(sim);
  const moving = honest[3]!;
  leaveByHand(moving);
  sim.run(2000);
  moving.moveTo('10.0.7.7');
  moving.start();
  const at = sim.now;
  test.ok(sim.runUntil(() => isTrue(all) && agree(all), 12_000));
  test.comment(`${sim.now - at} ms`);
});
