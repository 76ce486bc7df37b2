/**
 * Revocation (issue 3.6, checklist 3.36): a host whose key is void is nobody to all who hear of it, within 5 s, whoever
 * is away, comes later or restarts; and nothing that such a host says changes that.
 */
import type { Test } from 'tap';
import type { RevocationAction } from '../../proto/state/revocation.ts';
import { signRevocation, revocationKey } from '../../proto/state/revocation.ts';
import { TABLE } from '../../proto/state/interface.ts';
import { encodeNotice } from '../../proto/state/messages.ts';
import { toHex } from '../../proto/state/bytes.ts';
import { encodeMessage } from '../../proto/memberlist/messages.ts';
import { fakeSigner } from '../proto/state/fake-identity.ts';
import { GOOD_LINK } from './network.ts';
import { scenario } from './scenario.ts';
import type { SimNode } from './sim-node.ts';
import type { Simulation } from './simulation.ts';
import { addHost, agree, layerOf, learn } from './state-layer.ts';

const MAC = 0x02_00_00_00_00_01;
const LOSSY = { ...GOOD_LINK, latencyMs: 2, jitterMs: 3, loss: 0.1, duplicate: 0.05, reorder: 0.05 };
const OBEY_MS = 5_000;

const keyHexOf = (name: string, life = 0): string => toHex(fakeSigner(name, life).publicKey);

/** As `overlayd revoke` does on this host. */
function say(by: SimNode, name: string, action: RevocationAction = 'revoke', keyHex?: string): void {
  by.do((swim, now) => {
    const { state } = layerOf(by);
    const key = keyHex ?? state.identities.keyOf(name) ?? keyHexOf(name);
    state.revoke(now, { action, name, keyHex: key, addr: swim.member(name)?.addr });
  });
}

/** Hosts with a MAC each, that know each other. */
function cluster(sim: Simulation, count: number): SimNode[] {
  const nodes = Array.from({ length: count }, () => addHost(sim));
  nodes.forEach((node, i) => learn(node, MAC + i, `10.42.0.${i + 2}`));
  sim.run(15_000);
  return nodes;
}

/** To this host the other is nobody: no member, no row, no records. */
function isNobody(to: SimNode, name: string, ip: string): boolean {
  const { state, rows } = layerOf(to);
  const member = to.stateOf(name);
  const isUp = member === 'alive' || member === 'suspect';
  const hasRow = rows.lines().some((line) => line.includes(`"${ip}"`) || line.includes(ip));
  return !isUp && !hasRow && !state.interested(0).includes(name) && [...records(to, name)].length === 0;
}

function* records(at: SimNode, owner: string): Generator {
  for (const table of [TABLE.vtep, TABLE.interest])
    for (const record of layerOf(at).state.records(0, table)) if (record.owner === owner) yield record;
}

const allShut = (nodes: readonly SimNode[], out: SimNode): boolean =>
  nodes.every((node) => isNobody(node, out.name, out.addr.ip));

/** Each of these sends frames for the MACs of all of these to where they are. */
function allRoute(nodes: readonly SimNode[], all: readonly SimNode[]): boolean {
  return nodes.every((node) =>
    nodes.every((to) => {
      const route = layerOf(node).route(MAC + all.indexOf(to));
      return route === (node === to ? 'local' : to.addr.ip);
    }),
  );
}

/** None of the honest went down for another. */
function noneLost(test: Test, honest: readonly SimNode[], out: SimNode): void {
  for (const node of honest) {
    const lost = node.events.filter((event) => {
      return (event.type === 'dead' || event.type === 'left') && event.member.name !== out.name;
    });
    test.same(lost, [], `${node.name} lost nobody else`);
  }
}

scenario(
  'all obey within 5 s, on a bad network too; the others are not disturbed',
  [1, 2, 3, 4],
  (test, sim) => {
    const nodes = cluster(sim, 8);
    sim.network.faults = LOSSY;
    sim.run(2_000);
    const out = nodes[7]!;
    const honest = nodes.slice(0, 7);
    for (const node of honest) node.events = [];
    say(honest[0]!, out.name);
    const began = sim.now;
    test.ok(
      sim.runUntil(() => allShut(honest, out), OBEY_MS),
      'within 5 s',
    );
    test.comment(`all obeyed after ${Math.round(sim.now - began)} ms`);
    const isTold = (): boolean => layerOf(out).state.revocations.ofSelf(sim.now) !== undefined;
    test.ok(sim.runUntil(isTold, 60_000), 'and the host itself knows why nobody answers');
    learn(out, MAC + 50, '10.42.0.99');
    for (let i = 0; i < 60; i++) {
      sim.run(1_000);
      if (!allShut(honest, out)) test.fail(`it is somebody again after ${i} s`);
    }
    test.ok(allRoute(honest, nodes), 'traffic among the others goes its ways');
    noneLost(test, honest, out);
    sim.network.faults = GOOD_LINK;
    test.ok(
      sim.runUntil(() => agree(honest), 60_000),
      'the honest agree',
    );
  },
);

scenario(
  'who was away, comes later or restarts obeys; the word outlives who said it',
  [1, 2],
  (test, sim) => {
    const nodes = cluster(sim, 7);
    const [sayer, out, away] = [nodes[0]!, nodes[6]!, nodes[5]!];
    const there = nodes.slice(0, 5);
    away.crash();
    sim.run(3_000);
    say(sayer, out.name);
    test.ok(sim.runUntil(() => allShut(there, out), OBEY_MS));
    away.start();
    learn(away, MAC + 5, '10.42.0.7');
    test.ok(
      sim.runUntil(() => away.alive().length > 1, 10_000),
      'it is back',
    );
    test.ok(
      sim.runUntil(() => allShut([...there, away], out), OBEY_MS),
      'who was away obeys',
    );
    // For good, and its records with it.
    sim.run(20_000);
    sayer.do((swim, now) => {
      layerOf(sayer).state.sayGoodbye(now);
      swim.leave(now);
    });
    sim.run(3_000);
    sayer.crash();
    sim.run(60_000);
    const late = addHost(sim);
    late.join('10.0.0.2');
    out.join(late.addr.ip);
    test.ok(
      sim.runUntil(() => late.alive().length > 3, 20_000),
      'a newcomer joins',
    );
    test.ok(
      sim.runUntil(() => isNobody(late, out.name, out.addr.ip), OBEY_MS),
      'and obeys',
    );
    const rest = [...nodes.slice(1, 6), late];
    for (const node of rest) node.crash();
    sim.run(5_000);
    for (const node of rest) {
      node.start();
      node.join('10.0.0.2');
    }
    out.join(...rest.map(({ addr }) => addr.ip));
    for (let i = 0; i < 40; i++) {
      sim.run(1_000);
      if (!allShut(rest, out)) test.fail('after a restart of all it is somebody');
    }
    test.equal(rest[0]!.alive().length, rest.length, 'the others are together again');
  },
);

scenario('a split: each side obeys when it hears of it', [1, 2], (test, sim) => {
  const nodes = cluster(sim, 8);
  const out = nodes[7]!;
  const [left, right] = [nodes.slice(0, 4), nodes.slice(4, 7)];
  sim.network.partition([left, [...right, out]].map((side) => side.map(({ addr }) => addr.ip)));
  sim.run(20_000);
  say(left[0]!, out.name);
  test.ok(
    sim.runUntil(() => allShut(left, out), OBEY_MS),
    'this side',
  );
  sim.run(20_000);
  test.notOk(allShut(right, out), 'the other has not heard of it');
  sim.network.heal();
  const met = (): boolean => right.every((node) => node.alive().includes('n1'));
  test.ok(sim.runUntil(met, 20_000), 'they meet');
  test.ok(
    sim.runUntil(() => allShut(right, out), OBEY_MS),
    'now that side too',
  );
  test.ok(sim.runUntil(() => agree([...left, ...right]), 20_000));
  test.ok(
    sim.runUntil(() => allRoute([...left, ...right], nodes), 5_000),
    'and the rest is whole',
  );
});

scenario(
  'undo brings it back; forget lets a new key have the name, and never the old one',
  [1, 2],
  (test, sim) => {
    const nodes = cluster(sim, 4);
    const [out, honest] = [nodes[3]!, nodes.slice(0, 3)];
    say(honest[0]!, out.name);
    test.ok(sim.runUntil(() => allShut(honest, out), OBEY_MS));
    sim.run(40_000);
    say(honest[1]!, out.name, 'restore', keyHexOf('n4'));
    test.ok(
      sim.runUntil(() => allRoute(nodes, nodes), 40_000),
      'all is as before',
    );
    test.ok(agree(nodes) || sim.runUntil(() => agree(nodes), 20_000));
    out.crash();
    sim.run(40_000);
    const anew = addHost(sim, { name: 'n4', ip: '10.0.0.4', identity: 'n4 anew' });
    learn(anew, MAC + 9, '10.42.0.20');
    sim.run(20_000);
    for (const node of honest)
      test.equal(layerOf(node).route(MAC + 9), undefined, 'another key under a known name');
    test.ok([...layerOf(honest[0]!).state.identities.strangers().keys()].includes('n4'), 'is told of');
    say(honest[2]!, 'n4', 'forget');
    const isThere = (): boolean => honest.every((node) => layerOf(node).route(MAC + 9) === '10.0.0.4');
    test.ok(sim.runUntil(isThere, 40_000), 'the new key is taken');
    for (const node of honest)
      test.equal(layerOf(node).state.identities.keyOf('n4'), keyHexOf('n4 anew'), 'and pinned');
    anew.crash();
    out.start();
    learn(out, MAC + 3, '10.42.0.5');
    sim.run(60_000);
    for (const node of honest) test.equal(layerOf(node).route(MAC + 3), undefined, 'the old key is void');
  },
);

/** Puts a word of its own making into its log and shows it to everybody, as a host that does not obey would. */
function sayEvil(
  evil: SimNode,
  to: readonly SimNode[],
  content: { action: RevocationAction; name: string; by?: string },
): void {
  const { action, name, by = evil.name } = content;
  const stamp = 1_700_000_000_000 + 3_600_000;
  const keyHex = keyHexOf(name);
  const word = signRevocation({ action, name, keyHex, stamp }, by, fakeSigner(evil.name));
  evil.do((swim, now) => {
    layerOf(evil).state.put(now, 0, TABLE.revocation, revocationKey(keyHex), word.bytes);
    for (const { addr } of to) swim.sendUser(now, addr, encodeNotice(word.bytes));
  });
}

scenario(
  'what a revoked host says changes nothing: undo, revenge, forgery, replay, other names',
  [1, 2],
  (test, sim) => {
    const tape: { to: string; bytes: Uint8Array }[] = [];
    const nodes = cluster(sim, 6);
    const [evil, honest] = [nodes[5]!, nodes.slice(0, 5)];
    const send = sim.network.send.bind(sim.network);
    sim.network.send = (from, to, bytes) => {
      if (from.ip === evil.addr.ip) tape.push({ to: to.ip, bytes: bytes.slice() });
      send(from, to, bytes);
    };
    learn(evil, MAC + 60);
    sim.run(5_000);
    say(honest[0]!, evil.name);
    test.ok(sim.runUntil(() => allShut(honest, evil), OBEY_MS));
    const before = honest.map((node) => layerOf(node).rows.lines().join('\n'));
    const check = (what: string): void => {
      for (let i = 0; i < 20; i++) {
        sim.run(500);
        honest.forEach((node, at) => {
          if (layerOf(node).rows.lines().join('\n') !== before[at])
            test.fail(`${what}: rows of ${node.name}`);
        });
        if (!allShut(honest, evil)) test.fail(`${what}: it is somebody again`);
      }
      for (const node of honest) {
        const words = layerOf(node).state.revocations.list();
        test.same(
          words.map(({ name, byName }) => `${name} by ${byName}`),
          ['n6 by n1'],
          what,
        );
      }
    };
    sayEvil(evil, honest, { action: 'restore', name: evil.name });
    check('it takes back its own revocation');
    for (const { name } of honest) sayEvil(evil, honest, { action: 'revoke', name });
    check('it revokes all others');
    sayEvil(evil, honest, { action: 'revoke', name: 'n2', by: 'n1' });
    check('in the name of another');
    for (const { to, bytes } of tape.slice(0, 500)) {
      const target = honest.find(({ addr }) => addr.ip === to);
      if (target !== undefined) sim.network.send({ ip: '10.9.9.9', port: 7946 }, target.addr, bytes);
    }
    check(`${tape.length} of its packets again, from elsewhere`);
    // In membership's words, from its own address: all others are dead.
    for (const { addr } of honest) {
      for (const { name } of honest) {
        const lie = encodeMessage({ type: 'dead', node: name, from: name, incarnation: 9_999 });
        sim.network.send(evil.addr, addr, lie);
      }
    }
    check('its membership messages');
    noneLost(test, honest, evil);
    evil.crash();
    const asOther = addHost(sim, { name: 'n9', ip: evil.addr.ip, identity: evil.name });
    const elsewhere = addHost(sim, { name: 'n10', ip: '10.0.0.77', identity: evil.name });
    for (const other of [asOther, elsewhere]) learn(other, MAC + 70);
    check('the same key under other names');
    for (const node of honest) {
      for (const name of ['n9', 'n10'])
        test.equal([...records(node, name)].length, 0, `${name} at ${node.name}`);
      test.equal(layerOf(node).route(MAC + 70), undefined);
    }
  },
);

scenario('a newcomer that hears a revoked host first is not its mouth', [1, 2], (test, sim) => {
  const nodes = cluster(sim, 6);
  const [evil, honest] = [nodes[5]!, nodes.slice(0, 5)];
  say(honest[0]!, evil.name);
  sim.run(OBEY_MS);
  for (const { name } of honest) sayEvil(evil, [], { action: 'revoke', name });
  sim.run(1_000);
  const late = addHost(sim);
  evil.join(late.addr.ip);
  late.join(evil.addr.ip);
  sim.run(180_000);
  test.ok(agree(honest), 'the honest agree');
  for (const node of honest) {
    const words = layerOf(node).state.revocations.list();
    test.same(
      words.map(({ name, byName }) => `${name} by ${byName}`),
      ['n6 by n1'],
    );
  }
  test.ok(allRoute(honest, nodes));
});

scenario('with a list nobody else is known, and only admins revoke', [1], (test, sim) => {
  const entry = (name: string, isAdmin = false) => [name, { keyHex: keyHexOf(name), isAdmin }] as const;
  const listed = new Map([entry('n1', true), entry('n2'), entry('n3'), entry('n4')]);
  const nodes = ['n1', 'n2', 'n3', 'n4', 'n5'].map(() => addHost(sim, { listed }));
  nodes.push(addHost(sim, { listed, identity: 'n3', name: 'n6' }));
  nodes.forEach((node, i) => learn(node, MAC + i));
  sim.run(20_000);
  const some = nodes.slice(0, 4);
  test.ok(allRoute(some, nodes), 'those on the list');
  for (const node of some) {
    test.equal(layerOf(node).route(MAC + 4), undefined, 'n5 is not on it');
    test.equal(layerOf(node).route(MAC + 5), undefined, 'n6 has the key of another');
  }
  say(nodes[1]!, 'n3');
  sim.run(OBEY_MS);
  test.ok(allRoute([nodes[0]!, nodes[2]!, nodes[3]!], nodes), 'n2 is no admin');
  say(nodes[0]!, 'n3');
  const rest = [nodes[0]!, nodes[1]!, nodes[3]!];
  test.ok(
    sim.runUntil(() => allShut(rest, nodes[2]!), OBEY_MS),
    'n1 is',
  );
});
