import type { Test } from 'tap';
import { toHex } from '../../proto/state/bytes.ts';
import { fakeSigner } from '../proto/state/fake-identity.ts';
import { FILE, HAND, MINUTE, agreed, cluster, disk, ringOf } from './keyring-cluster.ts';
import { addKeyHost, keyLayerOf, primaryOf, undecryptable } from './keyring-layer.ts';
import { GOOD_LINK } from './network.ts';
import { scenario } from './scenario.ts';
import type { SimNode } from './sim-node.ts';

/**
 * Keys that change under a running cluster: by themselves and by hand, with loss, splits, hosts away and hosts new. Nobody is
 * ever declared dead for it, and no live member gets a message that it cannot open.
 */
const BAD_LINK = { ...GOOD_LINK, latencyMs: 2, jitterMs: 3, loss: 0.05, duplicate: 0.02, reorder: 0.02 };

function allSee(nodes: readonly SimNode[]): boolean {
  return nodes.every((node) => node.alive().length === nodes.length);
}

/** `away` is a host that was really gone. */
function expectNoLoss(test: Test, nodes: readonly SimNode[], away?: SimNode): void {
  for (const node of nodes) {
    test.equal(undecryptable(node), 0, `${node.name} could open everything`);
    const dead = node.events.flatMap((event) => (event.type === 'dead' ? [event.member.name] : []));
    const wrongly = dead.filter((name) => name !== away?.name);
    test.same(wrongly, [], `${node.name} held nobody dead`);
  }
}

scenario('rotation on a bad network loses nothing and nobody', [1, 2], (test, sim) => {
  sim.network.faults = BAD_LINK;
  const { nodes } = cluster(sim, 8, MINUTE);
  const primaries = new Set<string>();
  for (let i = 0; i < 12; i++) {
    sim.run(MINUTE);
    primaries.add(primaryOf(nodes[3]!));
    for (const node of nodes) test.ok(ringOf(node).length <= 4, 'old keys go');
  }
  test.ok(primaries.size >= 8, `${primaries.size} keys in 12 minutes`);
  test.ok(
    sim.runUntil(() => agreed(nodes), 20_000),
    'one primary',
  );
  expectNoLoss(test, nodes);
  for (const node of nodes) test.ok(ringOf(node).includes(FILE.fingerprint), 'the key of the file stays');
});

scenario(
  'a split that rotates on both sides comes to one key, and the other goes',
  [1, 2, 3],
  (test, sim) => {
    const { nodes } = cluster(sim, 6, 2 * MINUTE);
    sim.run(30_000);
    const ips = nodes.map(({ addr }) => addr.ip);
    sim.network.partition([ips.slice(0, 3), ips.slice(3)]);
    sim.run(7 * MINUTE);
    const sides = [nodes.slice(0, 3), nodes.slice(3)];
    test.not(primaryOf(nodes[0]!), primaryOf(nodes[5]!), 'two keys now');
    for (const side of sides) test.ok(agreed(side));
    sim.network.heal();
    test.ok(
      sim.runUntil(() => allSee(nodes), 2 * MINUTE),
      'membership heals',
    );
    test.ok(
      sim.runUntil(() => agreed(nodes), 5 * MINUTE),
      'one primary',
    );
    for (const node of nodes) test.equal(undecryptable(node), 0, `${node.name} could open everything`);
    sim.run(10 * MINUTE);
    test.ok(allSee(nodes));
    for (const node of nodes) test.ok(ringOf(node).length <= 6, `${ringOf(node).length} keys`);
  },
);

scenario(
  'who was away for many rotations, and who is new, gets in with the key of the file',
  [1, 2, 3],
  (test, sim) => {
    const { nodes, disks } = cluster(sim, 5, MINUTE);
    sim.run(3 * MINUTE);
    const away = nodes[2]!;
    const old = primaryOf(away);
    away.crash();
    sim.run(15 * MINUTE);
    const before = nodes.filter((node) => node !== away).map(undecryptable);
    away.start();
    const fresh = addKeyHost(sim, disk(), MINUTE);
    const all = [...nodes, fresh];
    test.ok(
      sim.runUntil(() => allSee(all), 10_000),
      'both are in',
    );
    test.ok(
      sim.runUntil(() => agreed(all), 20_000),
      'and hold what the others hold',
    );
    test.not(primaryOf(away), old);
    sim.run(2 * MINUTE);
    test.equal(undecryptable(away), 0);
    test.equal(undecryptable(fresh), 0);
    test.same(nodes.filter((node) => node !== away).map(undecryptable), before);

    // And one that lost its disk: it comes back with the file alone.
    const lost = nodes[3]!;
    lost.crash();
    disks[3]!.saved = undefined;
    lost.start();
    test.ok(
      sim.runUntil(() => allSee(all) && agreed(all), 30_000),
      'in again',
    );
  },
);

scenario('restarts in the middle of rotations', [1, 2], (test, sim) => {
  const { nodes } = cluster(sim, 6, MINUTE);
  sim.run(MINUTE);
  for (let i = 0; i < 20; i++) {
    const node = nodes[i % nodes.length]!;
    test.equal(undecryptable(node), 0, `${node.name} before its restart`);
    node.crash();
    sim.run(500);
    node.start();
    sim.run(23_000);
    test.ok(allSee(nodes), `all are there after restart ${i + 1}`);
  }
  test.ok(
    sim.runUntil(() => agreed(nodes), 2 * MINUTE),
    'one primary',
  );
  expectNoLoss(test, nodes);
});

scenario('by hand: add, use, remove, with a host away in between', [1, 2, 3], (test, sim) => {
  sim.network.faults = BAD_LINK;
  const { nodes, disks } = cluster(sim, 5, Infinity);
  const [first, second, , , away] = nodes as [SimNode, SimNode, SimNode, SimNode, SimNode];
  sim.run(20_000);
  away.crash();
  sim.run(60_000);
  second.do(() => {
    keyLayerOf(second).command((rotation) => test.equal(rotation.add(HAND), undefined));
  });
  const others = nodes.slice(0, 4);
  const has = (node: SimNode): boolean => ringOf(node).includes(HAND.fingerprint);
  test.ok(
    sim.runUntil(() => others.every(has), 10_000),
    'all live hosts hold it',
  );
  test.notOk(
    others.some((node) => primaryOf(node) === HAND.fingerprint),
    'and do not use it yet',
  );
  first.do(() =>
    keyLayerOf(first).command((rotation) => test.equal(rotation.use(HAND.fingerprint), undefined)),
  );
  test.ok(
    sim.runUntil(() => others.every((node) => primaryOf(node) === HAND.fingerprint), 10_000),
    'used',
  );
  const status = keyLayerOf(first).rotation.status([]);
  test.match(status[0], { fingerprint: HAND.fingerprint, state: 'primary', origin: 'hand' });
  away.start();
  test.ok(
    sim.runUntil(() => allSee(nodes) && primaryOf(away) === HAND.fingerprint, 20_000),
    'it learns',
  );
  first.do(() =>
    keyLayerOf(first).command((rotation) => test.equal(rotation.remove(FILE.fingerprint), undefined)),
  );
  const isGone = (node: SimNode): boolean => !ringOf(node).includes(FILE.fingerprint);
  test.ok(
    sim.runUntil(() => nodes.every(isGone), 20_000),
    'the old key is gone everywhere',
  );
  away.crash();
  sim.run(1000);
  away.start();
  test.notOk(ringOf(away).includes(FILE.fingerprint), 'though the file still has it');
  test.same(disks[4]!.file, [FILE]);
  sim.run(30_000);
  test.ok(allSee(nodes));
  expectNoLoss(test, nodes, away);
});

scenario('a key waits for those who cannot take it, and status says for whom', [1], (test, sim) => {
  const { nodes } = cluster(sim, 3, Infinity);
  const [first] = nodes as [SimNode];
  sim.run(10_000);
  const ips = nodes.map(({ addr }) => addr.ip);
  // Stopped, and not yet held dead: it cannot take the key in.
  nodes[2]!.pause();
  first.do(() => {
    keyLayerOf(first).command((rotation) => {
      rotation.add(HAND);
      rotation.use(HAND.fingerprint);
    });
  });
  sim.run(1500);
  test.equal(primaryOf(first), FILE.fingerprint);
  const holders = nodes.slice(1).map(({ name }) => ({
    name,
    isLive: true,
    keys: name === 'n3' ? [FILE.fingerprint] : ringOf(nodes[1]!),
  }));
  const next = keyLayerOf(first)
    .rotation.status(holders)
    .find(({ state }) => state === 'next');
  test.match(next, { fingerprint: HAND.fingerprint, missing: ['n3'] });
  const { rotation } = keyLayerOf(first);
  test.equal(rotation.remove(HAND.fingerprint), 'primary', 'what shall be used cannot go');
  test.equal(rotation.use('0123456789abcdef'), 'unknown');
  nodes[2]!.resume();
  test.ok(sim.runUntil(() => nodes.every((node) => primaryOf(node) === HAND.fingerprint), 10_000));
  test.equal(ips.length, 3);
});

scenario(
  'off, transition, required: host by host, and the cluster is one all the way',
  [1, 2],
  (test, sim) => {
    const disks = Array.from({ length: 5 }, () => disk({ mode: 'off' }));
    const nodes = disks.map((each) => addKeyHost(sim, each));
    test.ok(
      sim.runUntil(() => allSee(nodes), 10_000),
      'in clear',
    );
    for (const mode of ['transition', 'required'] as const) {
      for (const [i, node] of nodes.entries()) {
        node.crash();
        sim.run(1000);
        disks[i]!.mode = mode;
        node.start();
        test.ok(
          sim.runUntil(() => allSee(nodes), 10_000),
          `${node.name} is back in ${mode}`,
        );
        sim.run(20_000);
        test.ok(allSee(nodes), `and all stay, ${node.name} in ${mode}`);
        for (const other of nodes) {
          const dead = other.events.filter(({ type }) => type === 'dead');
          test.same(dead, [], `${other.name} held nobody dead`);
        }
      }
    }
    const sealedBefore = nodes.map((node) => node.swim.counters().counts.get('seal:clear-out') ?? 0);
    sim.run(20_000);
    test.same(sealedBefore, [0, 0, 0, 0, 0], 'nothing goes in clear any more');
    for (const node of nodes) test.equal(undecryptable(node), 0);
  },
);

scenario(
  'after a revocation: a new key that the revoked host is not told, and its old one goes',
  [1],
  (test, sim) => {
    const { nodes } = cluster(sim, 5, 20 * MINUTE);
    sim.run(22 * MINUTE);
    test.ok(agreed(nodes), 'all seal with a rotated key');
    const before = primaryOf(nodes[0]!);
    const [out, rest] = [nodes[4]!, nodes.slice(0, 4)];
    const keyHex = toHex(fakeSigner(out.name).publicKey);
    nodes[0]!.do((_swim, now) => {
      const { state } = keyLayerOf(nodes[0]!);
      state.revoke(now, { action: 'revoke', name: out.name, keyHex, addr: out.addr });
      test.ok(keyLayerOf(nodes[0]!).renew());
    });
    const isNew = (): boolean => agreed(rest) && primaryOf(rest[0]!) !== before;
    test.ok(sim.runUntil(isNew, 10_000), 'another key within seconds');
    test.notOk(ringOf(out).includes(primaryOf(rest[0]!)), 'which the revoked host does not hold');
    test.ok(
      sim.runUntil(() => rest.every((node) => !ringOf(node).includes(before)), 3 * MINUTE),
      'it does not keep the one that it knows alive',
    );
    sim.run(5 * MINUTE);
    test.notOk(ringOf(out).includes(primaryOf(rest[0]!)), 'nor does it come to hold it');
    for (const node of rest) test.same(node.alive(), rest.map(({ name }) => name).sort());
  },
);

scenario(
  'a revocation just before a restart: the new key comes after it, once, and nobody waits for its host',
  [1, 2],
  (test, sim) => {
    const { nodes } = cluster(sim, 5, 20 * MINUTE);
    sim.run(22 * MINUTE);
    const [sayer, rest, out] = [nodes[0]!, nodes.slice(0, 4), nodes[4]!];
    const restart = (): void => {
      sayer.crash();
      sim.run(2_000);
      sayer.start();
    };
    const keys = new Set<string>();
    const watch = (ms: number): void => {
      for (const endMs = sim.now + ms; sim.now < endMs; sim.run(1_000)) {
        for (const node of rest) if (node.layer !== undefined) keys.add(primaryOf(node));
      }
    };
    restart();
    sim.run(5_000);
    const before = primaryOf(rest[1]!);
    const keyHex = toHex(fakeSigner(out.name).publicKey);
    sayer.do((_swim, now) => {
      const { state } = keyLayerOf(sayer);
      state.revoke(now, { action: 'revoke', name: out.name, keyHex, addr: out.addr });
      test.ok(keyLayerOf(sayer).renew(), 'promised, but it has only just started');
    });
    sim.run(2_000);
    test.equal(primaryOf(rest[1]!), before);
    // Each time before it may propose anything.
    for (let i = 0; i < 3; i++) {
      restart();
      watch(20_000);
    }
    test.same([...keys], [before], 'not yet');
    watch(30_000);
    test.ok(agreed(rest));
    test.equal(keys.size, 2, 'one new key');
    test.notOk(ringOf(out).includes(primaryOf(rest[0]!)), 'that the revoked host does not hold');
    restart();
    watch(3 * MINUTE);
    test.equal(keys.size, 2, 'what was done is not done again');
    test.ok(
      rest.slice(1).every((node) => !ringOf(node).includes(before)),
      'and the key that it knows goes, where a restart gives no reason to keep it longer',
    );
  },
);

scenario(
  'a key that was proposed and not yet told when its host died is told after the restart, once',
  [1],
  (test, sim) => {
    const { nodes, disks } = cluster(sim, 3, 20 * MINUTE);
    sim.run(2 * MINUTE);
    const ips = nodes.map(({ addr }) => addr.ip);
    sim.network.partition([ips.slice(0, 1), ips.slice(1)]);
    nodes[0]!.do(() => test.ok(keyLayerOf(nodes[0]!).renew()));
    const isProposed = (): boolean => disks[0]!.saved?.planned.some(({ isRotated }) => isRotated) === true;
    test.ok(sim.runUntil(isProposed, 5_000), 'it is on the disk');
    nodes[0]!.crash();
    test.equal(disks[0]!.saved?.isRenewalDue, false, 'with the word that this is done');
    const proposed = disks[0]!.saved!.planned.find(({ isRotated }) => isRotated)!.fingerprint;
    sim.run(2 * MINUTE);
    sim.network.heal();
    nodes[0]!.start();
    const isDone = (): boolean => nodes.every((node) => primaryOf(node) === proposed);
    test.ok(sim.runUntil(isDone, 2 * MINUTE), 'all seal with that one');
    sim.run(5 * MINUTE);
    test.ok(isDone(), 'and with no other after it');
  },
);

scenario('a renewal waits while rotation is off, and is made when it is on again', [1], (test, sim) => {
  const { nodes, disks } = cluster(sim, 3, 20 * MINUTE);
  sim.run(10_000);
  nodes[0]!.do(() => test.ok(keyLayerOf(nodes[0]!).renew()));
  keyLayerOf(nodes[0]!).rotation.intervalMs = Infinity;
  sim.run(5 * MINUTE);
  test.equal(primaryOf(nodes[0]!), FILE.fingerprint);
  test.ok(disks[0]!.saved?.isRenewalDue);
  keyLayerOf(nodes[0]!).rotation.intervalMs = 20 * MINUTE;
  const isNew = (): boolean => agreed(nodes) && primaryOf(nodes[0]!) !== FILE.fingerprint;
  test.ok(sim.runUntil(isNew, 10_000));
  test.notOk(disks[0]!.saved?.isRenewalDue);
});

scenario('another interval counts from now on, and "off" is off', [1], (test, sim) => {
  const { nodes } = cluster(sim, 3, Infinity);
  sim.run(10 * MINUTE);
  test.equal(primaryOf(nodes[0]!), FILE.fingerprint);
  for (const node of nodes) keyLayerOf(node).rotation.intervalMs = 2 * MINUTE;
  sim.run(3 * MINUTE);
  test.ok(agreed(nodes));
  const first = primaryOf(nodes[0]!);
  test.not(first, FILE.fingerprint);
  for (const node of nodes) keyLayerOf(node).rotation.intervalMs = Infinity;
  sim.run(10 * MINUTE);
  test.equal(primaryOf(nodes[0]!), first);
  test.notOk(keyLayerOf(nodes[0]!).rotation.renew(), 'nor is it made by a revocation then');
});
