/** The hash tree, and the mending of replicas that are wrong (gossip.md 7.6 step 4). */
import * as fc from 'fast-check';
import t from 'tap';
import { SeededRng } from '../../../proto/rng.ts';
import { TABLE } from '../../../proto/state/interface.ts';
import { decodeMessage, encodeTree } from '../../../proto/state/messages.ts';
import type { LogRecord } from '../../../proto/state/record.ts';
import { recordHash, recordId } from '../../../proto/state/record.ts';
import { HashTree, leafOf } from '../../../proto/state/tree.ts';
import type { TreePart } from '../../../proto/state/tree-wire.ts';
import { macKey, macKeyHex } from '../../../proto/state/values/mac.ts';
import { Replicas, VNI, contents, copyOf } from './replica.ts';

t.setTimeout(120_000);

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1);
const idOf = (mac: number): string => recordId(TABLE.endpoint, macKeyHex(mac));

function record(mac: number, seq: number, fields: Partial<LogRecord> = {}): LogRecord {
  const key = macKey(mac);
  const base = { table: TABLE.endpoint, key, keyHex: macKeyHex(mac), value: new Uint8Array([seq & 255]) };
  return { ...base, tombstone: false, epoch: 5n, seq, hlc: 1n, bornMs: 0, mark: 0, slot: 0, ...fields };
}

void t.test('a tree kept up is a tree built anew, and its root the digest', async (test) => {
  const change = fc.record({ mac: fc.integer({ min: 1, max: 30 }), gone: fc.boolean() });
  const property = fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
    const records = new Map<number, LogRecord>();
    const kept = HashTree.of([], 5n);
    for (const [i, { mac, gone }] of changes.entries()) {
      const before = records.get(mac);
      const after = record(mac, i + 1, { tombstone: gone });
      kept.replace(before, after);
      records.set(mac, after);
    }
    const anew = HashTree.of(records.values(), 5n);
    let digest = 0n;
    for (const r of records.values()) if (!r.tombstone) digest = BigInt.asUintN(64, digest + recordHash(r));
    const root = kept.node(0, 0);
    if (
      BigInt.asUintN(
        64,
        root.hashes.reduce((a, b) => a + b, 0n),
      ) !== digest
    )
      throw new Error('digest');
    for (let level = 0; level < 3; level++) {
      for (let i = 0; i < 16 ** level; i++) {
        if (kept.unequal(level, anew.node(level, i)).length > 0) throw new Error(`level ${level} node ${i}`);
      }
    }
    for (const r of records.values()) {
      if (kept.leaf(leafOf(r)).has(idOf(Number.parseInt(r.keyHex, 16))) === r.tombstone)
        throw new Error('leaf');
    }
  });
  fc.assert(property, { seed: 20_261_122, numRuns: 100 });
  // Evenly spread: no leaf of 100,000 keys holds many times its share of 24.
  const sizes = new Map<number, number>();
  for (let mac = 1; mac <= 100_000; mac++) {
    const leaf = leafOf({ table: 4, key: macKey(0x02_00_00_00_00_00 + mac) });
    sizes.set(leaf, (sizes.get(leaf) ?? 0) + 1);
  }
  test.ok(sizes.size > 4_080, `${sizes.size} leaves in use`);
  test.ok(Math.max(...sizes.values()) < 80, `${Math.max(...sizes.values())} in the fullest`);
});

/** Three replicas of what `a` says; `b` is then damaged. */
function three(macs: number): Replicas {
  const replicas = new Replicas('a', 'b', 'c');
  for (const name of ['a', 'b', 'c']) replicas.spread(name);
  replicas.write('a', range(macs));
  replicas.remove('a', 1);
  return replicas;
}

const DAMAGE: Record<string, (replicas: Replicas) => void> = {
  missing: (r) => r.log('b', 'a').remove(idOf(5)),
  'other content': (r) => {
    const sound = r.record('b', 'a', 5)!;
    r.log('b', 'a').remove(idOf(5));
    r.log('b', 'a').replace({ ...sound, value: new Uint8Array([6, 6, 6]) });
  },
  'an old version': (r) => {
    r.log('b', 'a').remove(idOf(5));
    r.log('b', 'a').replace({ ...r.record('c', 'a', 5)!, seq: 1, value: new Uint8Array([1]) });
  },
  'too much': (r) => {
    r.log('b', 'a').replace({
      ...r.record('b', 'a', 5)!,
      key: macKey(9_999_999),
      keyHex: macKeyHex(9_999_999),
    });
  },
  'deleted, and there': (r) => {
    r.log('b', 'a').remove(idOf(1));
    r.log('b', 'a').replace({ ...r.record('b', 'a', 5)!, key: macKey(1), keyHex: macKeyHex(1), seq: 2 });
  },
  'all of it': (r) => {
    for (const i of range(40)) r.log('b', 'a').remove(idOf(i * 7));
    for (const i of range(40)) {
      const forged = {
        ...r.record('c', 'a', 3)!,
        key: macKey(i + 8_000_000),
        keyHex: macKeyHex(i + 8_000_000),
      };
      r.log('b', 'a').replace(forged);
    }
  },
};

for (const [what, damage] of Object.entries(DAMAGE)) {
  for (const [asker, answerer] of [
    ['b', 'c'],
    ['c', 'b'],
    ['b', 'a'],
    ['a', 'b'],
  ] as const) {
    void t.test(`${what}: found when ${asker} asks ${answerer}, mended with the owner`, async (test) => {
      const replicas = three(2_000);
      damage(replicas);
      test.not(contents(replicas.log('b', 'a')), contents(replicas.log('a', 'a')));
      test.equal(replicas.log('b', 'a').have, replicas.log('a', 'a').have);
      replicas.sync(asker, answerer);
      test.equal(contents(replicas.log('b', 'a')), contents(replicas.log('a', 'a')));
      for (const name of ['b', 'c']) {
        test.equal(replicas.log(name, 'a').digest, replicas.log('a', 'a').digest, name);
        test.equal(replicas.log(name, 'a').tree, undefined, 'no tree is left behind');
      }
      test.equal(replicas.counter('c', 'divergence'), 0, 'the sound replica has nothing to say');
      test.ok(replicas.counter('a', 'divergence') + replicas.counter('b', 'divergence') > 0, 'it is counted');
      test.ok(replicas.total() < 40_000, `${replicas.total()} bytes`);
    });
  }
}

void t.test('one record among 100,000 costs less than 8 kB, finding it included', async (test) => {
  const owners = Array.from({ length: 200 }, (_, i) => `host-${i + 1}`);
  const replicas = new Replicas(...owners);
  for (const name of owners) replicas.spread(name);
  const [owner, wrong, other] = ['host-7', 'host-8', 'host-9'];
  // Only three hold anything: what the others have takes no part.
  for (const [i, name] of owners.entries()) {
    const { ownLogs } = replicas.parts(name);
    for (const mac of range(500))
      ownLogs.put(0, VNI, TABLE.endpoint, macKey(i * 1_000 + mac), new Uint8Array(24));
    replicas.now += 20;
    for (const { update } of ownLogs.takeUpdates(replicas.now)) {
      for (const to of [owner, wrong, other]) {
        if (to !== name) replicas.parts(to).merge.update(replicas.now, name, copyOf(update));
      }
    }
  }
  replicas.log(wrong, owner).remove(idOf(6 * 1_000 + 77));
  replicas.sync(wrong, other);
  test.equal(contents(replicas.log(wrong, owner)), contents(replicas.log(owner, owner)));
  test.comment(`${replicas.total()} bytes: ${JSON.stringify([...replicas.bytes])}`);
  test.ok(replicas.total() <= 8_000, `${replicas.total()} bytes in ${replicas.messages} messages`);
});

void t.test('one among 100,000 of a single owner', async (test) => {
  const replicas = three(100_000);
  replicas.log('b', 'a').remove(idOf(77_777));
  replicas.sync('b', 'c');
  test.equal(replicas.log('b', 'a').digest, replicas.log('a', 'a').digest);
  test.comment(`${replicas.total()} bytes: ${JSON.stringify([...replicas.bytes])}`);
  test.ok(replicas.total() <= 4_000, `${replicas.total()} bytes`);
});

void t.test('very much is wrong: the log comes whole', async (test) => {
  const replicas = three(20_000);
  for (const mac of range(19_000)) replicas.log('b', 'a').remove(idOf(mac + 500));
  replicas.sync('b', 'c');
  test.equal(contents(replicas.log('b', 'a')), contents(replicas.log('a', 'a')));
});

void t.test('the owner is away: replicas mend each other with what it has signed', async (test) => {
  const replicas = three(2_000);
  for (const name of ['b', 'c']) replicas.parts(name).owners.dead(replicas.now, 'a');
  replicas.log('b', 'a').remove(idOf(5));
  const sound = replicas.record('c', 'a', 9)!;
  replicas.log('c', 'a').remove(idOf(9));
  replicas.log('c', 'a').replace({ ...sound, value: new Uint8Array([6]) });
  replicas.sync('b', 'c');
  test.same(replicas.record('b', 'a', 5)?.value, replicas.record('a', 'a', 5)?.value, 'the lost one is back');
  test.same(replicas.record('b', 'a', 9)?.value, sound.value);
  test.same(replicas.record('c', 'a', 9)?.value, sound.value, 'a content that nobody signed is gone');
  // Below the floor too: by the digest that the owner signed b knows that it lacks something.
  replicas.log('b', 'a').remove(idOf(7));
  replicas.log('b', 'a').floor = replicas.log('b', 'a').have;
  replicas.sync('b', 'c');
  test.ok(replicas.record('b', 'a', 7));
  test.ok(replicas.log('b', 'a').isProven);
  for (const name of ['b', 'c']) replicas.parts(name).owners.alive('a', 1n);
  // The one that is asked looks at itself first, and next time at the other.
  for (let i = 0; i < 2; i++) replicas.sync('b', 'c');
  for (const name of ['b', 'c'])
    test.equal(contents(replicas.log(name, 'a')), contents(replicas.log('a', 'a')));
});

void t.test('honest differences are news, not divergence', async (test) => {
  const replicas = three(500);
  // c has not heard of the last write yet when the two compare trees.
  const { ownLogs } = replicas.parts('a');
  const before = contents(replicas.log('c', 'a'));
  ownLogs.put(replicas.now, VNI, TABLE.endpoint, macKey(700), new Uint8Array(3));
  ownLogs.delete(replicas.now, VNI, TABLE.endpoint, macKey(10));
  replicas.now += 20;
  const [news] = [...ownLogs.takeUpdates(replicas.now)];
  replicas.parts('b').merge.update(replicas.now, 'a', copyOf(news!.update));
  replicas.parts('c').treeRepair.start(replicas.now, replicas.log('c', 'a'), 'b');
  replicas.run(20_000);
  test.equal(contents(replicas.log('c', 'a')), before, 'what c has is what was signed up to there');
  for (const name of ['a', 'b', 'c']) test.equal(replicas.counter(name, 'divergence'), 0);
  replicas.sync('c', 'b');
  test.equal(contents(replicas.log('b', 'a')), contents(replicas.log('c', 'a')));
  test.ok(replicas.record('c', 'a', 10)?.tombstone);
});

void t.test('hostile TREE messages: bounded answers, bounded burials, no harm', async (test) => {
  const replicas = three(3_000);
  const { treeRepair, outbox, store } = replicas.parts('a');
  const log = store.log(VNI, 'a')!;
  const before = contents(log);
  const rng = new SeededRng(3);
  let out = 0;
  let inBytes = 0;
  const say = (from: string, id: number, part: TreePart): void => {
    const bytes = encodeTree({ ...log.name, id, part });
    inBytes += bytes.length;
    const message = decodeMessage(bytes, replicas.now);
    if (message.kind === 'tree') treeRepair.handle(replicas.now, from, message.tree);
    outbox.release(replicas.now);
    for (let m = outbox.poll(); m !== undefined; m = outbox.poll()) out += m.bytes.length;
  };
  const hashes = (): bigint[] => Array.from({ length: 16 }, () => BigInt(rng.u32()));
  say('stranger', 1, { level: 0, nodes: [{ index: 0, hashes: hashes() }] });
  test.equal(out, 0, 'strangers get no answer');
  say('b', 2, { level: 2, nodes: [{ index: 3, hashes: hashes() }] });
  say('b', 2, { ids: [{ table: 4, key: macKey(1) }] });
  test.equal(out, 0, 'nor does anybody who did not begin at the root');
  const keys = range(8_000).map((i) => ({ table: 4, key: macKey(0x0a_00_00_00_00_00 + i) }));
  for (let i = 0; i < 20; i++) {
    replicas.now += 100;
    say('b', 3 + i, { level: 0, nodes: [{ index: 0, hashes: hashes() }] });
    say('b', 3 + i, { ids: keys });
    say('b', 3 + i, { leaves: [{ leaf: 9, entries: keys.map((key) => ({ ...key, seq: 9, hash: 9 })) }] });
    const nodes = range(256).map((n) => ({ index: n - 1, hashes: hashes() }));
    say('b', 3 + i, { level: 2, nodes });
  }
  test.ok(log.tombstones <= 70, `${log.tombstones} tombstones`);
  test.ok(out < inBytes, `${out} bytes for ${inBytes}`);
  test.equal(contents(log), before);
  replicas.run(60_000);
  test.equal(log.tree, undefined);
  for (const name of ['b', 'c']) test.equal(contents(replicas.log(name, 'a')), before);
});

void t.test('who asks again and again has the tree built now and then', async (test) => {
  const replicas = three(300);
  const { treeRepair, counters, store } = replicas.parts('a');
  const log = store.log(VNI, 'a')!;
  let builds = 0;
  const { records } = log;
  records.values = () => {
    builds++;
    return Map.prototype.values.call(records) as ReturnType<typeof records.values>;
  };
  const ask = (peer: string, id: number, hashes: readonly bigint[]): void =>
    treeRepair.handle(replicas.now, peer, {
      ...log.name,
      id,
      part: { level: 0, nodes: [{ index: 0, hashes }] },
    });
  const [equal, other] = [
    HashTree.of(records.values(), log.epoch).node(0, 0).hashes,
    Array.from({ length: 16 }, () => 1n),
  ];
  builds = 0;
  for (let i = 0; i < 600; i++) {
    replicas.now += 100;
    ask('b', i, equal);
  }
  test.ok(builds <= 8 + 30 + 1, `${builds} trees for 600 questions in a minute`);
  test.equal(counters.all.get('drop:tree-rate'), 600 - builds);
  builds = 0;
  ask('c', 1, other);
  test.equal(builds, 1, 'others are not held up');
  for (let i = 2; i < 9; i++) ask('c', i, other);
  test.equal(builds, 1, 'whoever begins anew has the same tree');
  // As many questions as one comparison may take.
  const before = counters.all.get('drop:tree-rate') ?? 0;
  for (let i = 0; i < 200; i++) {
    const part = { ids: [{ table: TABLE.endpoint, key: macKey(1) }] };
    treeRepair.handle(replicas.now, 'c', { ...log.name, id: 8, part });
  }
  test.equal((counters.all.get('drop:tree-rate') ?? 0) - before, 200 - 63);
  test.equal(builds, 1, 'and cost no walk over all records');
});
