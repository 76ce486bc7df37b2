import * as fc from 'fast-check';
import t from 'tap';
import {
  REFUSALS,
  decodeRangeMessage,
  encodeAsk,
  encodeRefuse,
  isRangeMessage,
} from '../../../proto/ipam/ask.ts';
import type { Family } from '../../../proto/ipam/block.ts';
import { merge, widthOf } from '../../../proto/ipam/block.ts';
import type { EstateRecord, WardRecord } from '../../../proto/ipam/estate.ts';
import {
  decodeEstateRecord,
  decodeWardRecord,
  encodeEstateRecord,
  encodeWardRecord,
  estateKey,
  poolOfKey,
  wardKey,
} from '../../../proto/ipam/records.ts';
import { WireError } from '../../../proto/state/bytes.ts';
import { decodeMessage } from '../../../proto/state/messages.ts';

/** Throws; property order and prototypes do not matter. */
function isSame(found: object, wanted: object): void {
  const text = (value: object): string =>
    JSON.stringify(value, (_, part: unknown) => {
      if (typeof part === 'bigint') return `${part}n`;
      const isPlain = typeof part === 'object' && part !== null && !Array.isArray(part);
      return isPlain ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1))) : part;
    });
  if (text(found) !== text(wanted)) throw new Error(`${text(found)} is not ${text(wanted)}`);
}

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const count = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const name = fc.string({ minLength: 1, maxLength: 20 });
const block = (family: Family) =>
  fc
    .tuple(
      fc.integer({ min: 0, max: widthOf(family) }),
      fc.bigInt({ min: 0n, max: (1n << BigInt(widthOf(family))) - 1n }),
    )
    .map(([bits, at]) => ({ base: (at >> BigInt(bits)) << BigInt(bits), bits }));
const guardian = fc.record({ name, life: u32, ledger: u32 });
const estate = (family: Family) =>
  fc.record({
    rev: count,
    isRoot: fc.boolean(),
    guardians: fc.array(guardian, { maxLength: 2 }),
    own: fc.array(block(family), { maxLength: 9 }).map(merge),
    gifts: fc.array(
      fc.record({
        id: u32,
        block: block(family),
        to: name,
        life: u32,
        session: count,
        isFirst: fc.boolean(),
      }),
      { maxLength: 3 },
    ),
    taken: fc.array(fc.record({ id: u32, donor: name, donorLife: u32, donorRev: count }), { maxLength: 3 }),
    closed: fc.array(u32, { maxLength: 5 }),
    docker: fc.array(block(family), { maxLength: 2 }).map(merge),
  });
const lineage = fc.record({ atMs: count, origin: name });
const estateRecord = (family: Family): fc.Arbitrary<EstateRecord> =>
  fc
    .record({
      session: count,
      ledger: u32,
      life: u32,
      lineage,
      beat: count,
      noted: count,
      freeBits: fc.integer({ min: -1, max: widthOf(family) }),
      estate: estate(family),
    })
    .map((record) => (record.life === 0 ? { ...record, lineage: undefined } : record));
const wardRecord = (family: Family): fc.Arbitrary<WardRecord> =>
  fc.record({
    ward: name,
    status: fc.constantFrom('noted' as const, 'restore' as const, 'promised' as const),
    session: count,
    life: u32,
    lineage,
    guardian,
    beat: count,
    isWanted: fc.boolean(),
    rev: count,
    estate: fc.option(estate(family), { nil: undefined }),
  });

for (const family of [4, 6] as const) {
  void t.test(`5.2: records and messages come back as they went, IPv${family}`, (test) => {
    fc.assert(
      fc.property(estateRecord(family), wardRecord(family), (record, word) => {
        isSame(decodeEstateRecord(encodeEstateRecord(record, family), family), record);
        isSame(decodeWardRecord(encodeWardRecord(word, family), family), word);
      }),
      { numRuns: 200 },
    );
    const pool = estateKey(new Uint8Array(16).fill(7), family);
    test.strictSame(poolOfKey(pool), pool);
    test.strictSame(poolOfKey(wardKey(pool, 'h1')), pool);
    test.equal(poolOfKey(pool.subarray(1)), undefined);
    const ask = {
      kind: 'ask',
      pool,
      session: 5,
      life: 6,
      address: 1n << BigInt(widthOf(family) - 1),
    } as const;
    for (const each of [ask, { ...ask, address: undefined }])
      test.strictSame(decodeRangeMessage(encodeAsk(each, family)), each);
    for (const reason of REFUSALS) {
      const refuse = { kind: 'refuse', pool, session: 9, reason } as const;
      const bytes = encodeRefuse(refuse);
      test.strictSame(decodeRangeMessage(bytes), refuse);
      test.ok(isRangeMessage(bytes));
      test.same(decodeMessage(bytes, 0), { kind: 'unknown' }, 'versions before these ignore it');
    }
    test.end();
  });
}

void t.test('whatever comes, a decoder throws WireError or nothing', (test) => {
  const valid = fc.oneof(
    estateRecord(6).map((record) => encodeEstateRecord(record, 6)),
    wardRecord(4).map((record) => encodeWardRecord(record, 4)),
    fc.constant(encodeAsk({ kind: 'ask', pool: new Uint8Array(17), session: 1, life: 2, address: 77n }, 4)),
    fc.uint8Array({ maxLength: 80 }),
  );
  const seen = { good: 0, bad: 0 };
  fc.assert(
    fc.property(
      valid,
      fc.array(fc.tuple(fc.nat(1200), fc.nat(255)), { maxLength: 3 }),
      fc.nat(1200),
      (bytes, flips, cut) => {
        const broken = bytes.slice(0, cut < 600 ? cut : undefined);
        for (const [place, value] of flips) if (place < broken.length) broken[place] = value;
        for (const family of [4, 6] as const) {
          for (const decode of [decodeEstateRecord, decodeWardRecord, decodeRangeMessage]) {
            try {
              decode(broken, family);
              seen.good++;
            } catch (error) {
              if (!(error instanceof WireError)) throw error;
              seen.bad++;
            }
          }
        }
      },
    ),
    { numRuns: Number(process.env['OVERLAYD_FUZZ_RUNS'] ?? 5_000) },
  );
  test.ok(seen.good > 50 && seen.bad > 50, `${seen.good} read, ${seen.bad} refused`);
  test.end();
});
