/** What a member ordered of keys, as one that does not obey the rules would, holds up no key (proto/keyring/rotation.ts). */
import { encodeOperation } from '../../proto/keyring/operation.ts';
import type { KeyOperation } from '../../proto/keyring/operation.ts';
import { fromHex, toHex } from '../../proto/state/bytes.ts';
import { TABLE } from '../../proto/state/interface.ts';
import { fakeSigner } from '../proto/state/fake-identity.ts';
import { keyOfByte } from '../proto/keyring/keys.ts';
import { FILE, HAND, MINUTE, agreed, cluster, disk, ringOf } from './keyring-cluster.ts';
import { addKeyHost, keyLayerOf, primaryOf } from './keyring-layer.ts';
import { scenario } from './scenario.ts';
import type { SimNode } from './sim-node.ts';

/** A member orders something of a key, as one that does not obey the rules would. */
function plant(node: SimNode, fingerprint: string, order: Partial<KeyOperation>): void {
  const operation: KeyOperation = { action: 'use', isRotated: true, stamp: 1, wraps: [], ...order };
  node.do((_swim, now) => {
    const { state } = keyLayerOf(node);
    state.put(now, 0, TABLE.keyring, fromHex(fingerprint), encodeOperation(operation));
  });
}

const NOBODYS = 'f00dfacef00dface';
const HIGHEST = 2 ** 48;
for (const [what, lies] of Object.entries<readonly [string, Partial<KeyOperation>][]>({
  'the use of a key that nobody has': [[NOBODYS, { stamp: 7 }]],
  'the use of one, with the highest stamp': [[NOBODYS, { stamp: HIGHEST }]],
  'an order about the key of the file with the highest stamp': [
    [FILE.fingerprint, { stamp: HIGHEST, isRotated: false }],
  ],
  'the same as a removal': [[FILE.fingerprint, { stamp: HIGHEST, action: 'remove', isRotated: false }]],
  'the removal of the key of the file': [
    [FILE.fingerprint, { stamp: 3, action: 'remove', isRotated: false }],
  ],
})) {
  scenario(`what a member planted before its revocation stops no key: ${what}`, [1], (test, sim) => {
    const { nodes } = cluster(sim, 5, 20 * MINUTE);
    sim.run(MINUTE);
    const [first, evil, rest] = [nodes[0]!, nodes[4]!, nodes.slice(0, 4)];
    for (const [fingerprint, order] of lies) plant(evil, fingerprint, order);
    sim.run(MINUTE);
    for (const node of rest) test.ok(ringOf(node).includes(FILE.fingerprint), 'the key of the file stays');
    const before = primaryOf(first);
    const keyHex = toHex(fakeSigner(evil.name).publicKey);
    first.do((_swim, now) => {
      const { state } = keyLayerOf(first);
      state.revoke(now, { action: 'revoke', name: evil.name, keyHex, addr: evil.addr });
      test.ok(keyLayerOf(first).renew());
    });
    const isNew = (): boolean => agreed(rest) && primaryOf(first) !== before;
    test.ok(sim.runUntil(isNew, MINUTE), 'a new key within a minute');
    // After a restart and for a newcomer too, and by hand.
    rest[1]!.crash();
    sim.run(1_000);
    rest[1]!.start();
    const all = [...rest, addKeyHost(sim, disk(), 20 * MINUTE)];
    first.do(() => {
      keyLayerOf(first).command((rotation) => {
        test.equal(rotation.add(HAND), undefined);
        test.equal(rotation.use(HAND.fingerprint), undefined);
      });
    });
    const isHand = (): boolean => all.every((node) => primaryOf(node) === HAND.fingerprint);
    test.ok(sim.runUntil(isHand, MINUTE), 'a key by hand');
    rest[2]!.do(() => {
      keyLayerOf(rest[2]!).command((rotation) => {
        test.equal(rotation.remove(FILE.fingerprint), undefined);
      });
    });
    const isGone = (): boolean => all.every((node) => !ringOf(node).includes(FILE.fingerprint));
    test.ok(sim.runUntil(isGone, MINUTE), 'and the other goes');
  });
}

scenario(
  'who missed more orders than anybody can miss takes the keys in a little later',
  [1],
  (test, sim) => {
    const { nodes, disks } = cluster(sim, 4, Infinity);
    sim.run(MINUTE);
    const [first, away] = [nodes[0]!, nodes[3]!];
    away.crash();
    for (let i = 0; i < 9_000; i += 3_000) {
      first.do(() => {
        keyLayerOf(first).command((rotation) => rotation.add(keyOfByte(10 + i / 3_000)));
      });
      plant(nodes[1]!, keyOfByte(10 + i / 3_000).fingerprint, { stamp: i + 3_000, action: 'add' });
      sim.run(5_000);
    }
    first.do(() => {
      keyLayerOf(first).command((rotation) => {
        rotation.add(HAND);
        rotation.use(HAND.fingerprint);
      });
    });
    const others = nodes.slice(0, 3);
    test.ok(sim.runUntil(() => others.every((node) => primaryOf(node) === HAND.fingerprint), 20_000));
    const stamp = disks[0]!.saved!.planned.find(({ fingerprint }) => fingerprint === HAND.fingerprint)!.stamp;
    test.ok(stamp > 9_000, 'far from what the one away has heard');
    away.start();
    test.ok(
      sim.runUntil(() => primaryOf(away) === HAND.fingerprint, 2 * MINUTE),
      'it seals as all do',
    );
  },
);
