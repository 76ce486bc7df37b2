/** One log as a replica keeps it: versions, coverage, tombstones, restarts. */
import * as fc from 'fast-check';
import t from 'tap';
import { toHex } from '../../../proto/state/bytes.ts';
import { Coverage } from '../../../proto/state/coverage.ts';
import { add64 } from '../../../proto/state/hash.ts';
import { Hlc } from '../../../proto/state/hlc.ts';
import { OwnerLog } from '../../../proto/state/owner-log.ts';
import type { LogRecord } from '../../../proto/state/record.ts';
import { recordHash } from '../../../proto/state/record.ts';

const NAME = { scope: 1, owner: 'a', epoch: 5n };
const newLog = (capacity = 10_000): OwnerLog => new OwnerLog(NAME, capacity, () => {});

function record(key: number, seq: number, fields: Partial<LogRecord> = {}): LogRecord {
  const bytes = new Uint8Array([key >> 8, key & 255]);
  const rest = {
    value: new Uint8Array([seq & 255]),
    tombstone: false,
    epoch: 5n,
    hlc: BigInt(seq),
    bornMs: 0,
    mark: 0,
    slot: 0,
    // Purging is for what was sent.
    holder: { from: -1, live: 1, drop: () => {} },
  };
  return { table: 4, key: bytes, keyHex: toHex(bytes), seq, ...rest, ...fields };
}

const live = (log: OwnerLog): string[] =>
  [...log.records.values()].filter((r) => !r.tombstone).map((r) => `${r.keyHex}@${r.seq}`);

void t.test('coverage agrees with a set of numbers', async (test) => {
  const range = fc.tuple(fc.nat({ max: 60 }), fc.integer({ min: 1, max: 8 }));
  fc.assert(
    fc.property(fc.array(range, { maxLength: 30 }), (ranges) => {
      const coverage = new Coverage();
      const set = new Set<number>();
      for (const [from, length] of ranges) {
        if (coverage.cover(from, from + length)) for (let s = from + 1; s <= from + length; s++) set.add(s);
        let have = 0;
        while (set.has(have + 1)) have++;
        if (coverage.have !== have) return false;
        for (let s = 1; s <= 70; s++) if (coverage.covers(s) !== set.has(s)) return false;
        if (coverage.pending !== set.size > have || coverage.head !== Math.max(0, ...set)) return false;
      }
      return true;
    }),
    { seed: 1, numRuns: 300 },
  );
  test.pass();
});

void t.test('holes are bounded', async (test) => {
  const coverage = new Coverage();
  const noted = Array.from({ length: 40 }, (_, i) => coverage.cover(i * 2 + 1, i * 2 + 2));
  test.equal(noted.filter(Boolean).length, 32);
  test.ok(coverage.cover(0, 100));
  test.same([coverage.have, coverage.pending], [100, false]);
});

void t.test('versions only rise, in whatever order they come', async (test) => {
  const log = newLog();
  log.apply(record(1, 7));
  log.apply(record(1, 3));
  log.apply(record(1, 7, { value: new Uint8Array([99]) }));
  test.same(live(log), ['0001@7']);
  test.equal(log.digest, recordHash(record(1, 7)));
  test.equal(log.count, 1);
});

void t.test('the digest is the sum over what is live, however it came about', async (test) => {
  const op = fc.tuple(fc.nat({ max: 9 }), fc.boolean());
  fc.assert(
    fc.property(fc.array(op, { maxLength: 60 }), (ops) => {
      const log = newLog();
      for (const [i, [key, tombstone]] of ops.entries()) log.apply(record(key, i + 1, { tombstone }));
      const alive = [...log.records.values()].filter((r) => !r.tombstone);
      const sum = alive.reduce((total, r) => add64(total, recordHash(r)), 0n);
      return (
        log.digest === sum && log.count === alive.length && log.tombstones === log.records.size - alive.length
      );
    }),
    { seed: 2, numRuns: 200 },
  );
  test.pass();
});

void t.test('a key whose tombstone is purged does not come back by a late update', async (test) => {
  const log = newLog();
  log.apply(record(1, 1));
  log.cover(0, 1);
  log.apply(record(1, 2, { tombstone: true }));
  log.cover(1, 2);
  log.purge(599_999);
  test.equal(log.tombstones, 1);
  log.purge(600_000);
  test.equal(log.tombstones, 0);
  test.equal(log.floor, 2);
  log.apply(record(1, 1));
  test.same(live(log), []);
});

void t.test('a tombstone above a hole is kept: it still guards its key', async (test) => {
  const log = newLog();
  log.apply(record(1, 9, { tombstone: true }));
  log.cover(8, 9);
  log.purge(10_000_000);
  log.apply(record(1, 3));
  log.cover(0, 8);
  test.same(live(log), []);
  log.purge(10_000_000);
  test.same([log.tombstones, log.floor], [0, 9]);
});

void t.test('tombstones are bounded by number', async (test) => {
  const log = newLog();
  for (let i = 1; i <= 3_000; i++) log.apply(record(i, i, { tombstone: true }));
  log.cover(0, 3_000);
  test.ok(log.isTombstoneHeavy);
  log.purge(1);
  test.equal(log.tombstones, 1_024);
  test.equal(log.floor, 3_000 - 1_024);
});

void t.test(
  'a new epoch: the old stays in force until it is dropped, the marker counts once it is covered',
  async (test) => {
    const log = newLog();
    for (const key of [1, 2]) log.apply(record(key, key));
    log.cover(0, 2);
    log.beginEpoch(6n);
    test.equal(log.digest, 0n);
    log.apply(record(1, 1, { epoch: 6n }));
    log.apply({ ...record(0, 2, { epoch: 6n }), table: 0, key: new Uint8Array(0), keyHex: '' });
    log.cover(1, 2);
    test.same(live(log).sort(), ['0001@1', '0002@2', '@2']);
    test.equal(log.marker, undefined, 'the marker is there, what is before it is not');
    log.cover(0, 1);
    test.ok(log.marker);
    log.dropStale();
    test.same(live(log).sort(), ['0001@1', '@2']);
    test.notOk(log.hasStale);
  },
);

void t.test('a full log refuses new keys and takes new versions', async (test) => {
  const log = newLog(2);
  test.ok(log.apply(record(1, 1)) && log.apply(record(2, 2)));
  test.notOk(log.apply(record(3, 3)));
  test.ok(log.apply(record(1, 4)));
  test.same(live(log), ['0001@4', '0002@2']);
});

void t.test('the clock only rises, and follows others only so far', async (test) => {
  let wall = 1_000_000;
  const hlc = new Hlc(() => wall);
  const first = hlc.tick();
  test.equal(first, 1_000_000n << 16n);
  wall -= 500;
  test.equal(hlc.tick(), first + 1n);
  test.ok(hlc.observe(BigInt(wall + 5_000) << 16n));
  test.equal(hlc.tick(), (BigInt(wall + 5_000) << 16n) + 1n);
  test.notOk(hlc.observe(BigInt(wall + 5_001) << 16n));
  test.equal(hlc.last, (BigInt(wall + 5_000) << 16n) + 1n);
});

void t.test('a log is bounded in bytes too; what is replaced or goes makes room', async (test) => {
  const log = newLog(131_072);
  const value = new Uint8Array(1_024);
  const most = Math.floor((16 * 1_024 * 1_024) / (value.length + 2));
  let seq = 0;
  for (let key = 0; key < most; key++)
    if (!log.replace(record(key, ++seq, { value }))) test.fail(`record ${key}`);
  test.notOk(log.replace(record(most, ++seq, { value })), 'no more');
  test.ok(
    log.replace(record(0, ++seq, { value: new Uint8Array(1_024).fill(1) })),
    'but another of the same size',
  );
  test.ok(log.replace(record(1, ++seq, { value: new Uint8Array(0), tombstone: true })), 'and less');
  test.ok(log.replace(record(most, ++seq, { value: new Uint8Array(1_000) })), 'for which there is room then');
  log.clear();
  for (let key = 0; key < most; key++)
    if (!log.replace(record(key, ++seq, { value }))) test.fail(`again ${key}`);
});
