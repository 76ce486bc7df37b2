/** Gifts of certain addresses, and what becomes of records that get full of pieces. */
import t from 'tap';
import { parseBlock, subtract } from '../../../proto/ipam/block.ts';
import type { RangeCluster, RangeHost } from '../../sim/range-cluster.ts';
import { SUBNET, cluster, settle, takeInTime } from './pool-cluster.ts';

const SUBNET6 = parseBlock('fd50::/64')!.block;

/** The first of two has founded the pool, and given the other a half. */
function halved(options: Parameters<typeof cluster>[1] = {}): [RangeCluster, RangeHost, RangeHost] {
  const made = cluster(2, options);
  const [a, b] = made.hosts as [RangeHost, RangeHost];
  takeInTime(made, b);
  settle(made);
  return [made, a, b];
}

void t.test('IPv6: a certain address of another host’s half of a /64 can be had, and then others', (test) => {
  const [made, a, b] = halved({ subnet: SUBNET6, family: 6 });
  for (const offset of [0x99n, (1n << 61n) + 7n, (1n << 62n) + 5n, (3n << 61n) + 1n, 3n << 59n]) {
    const address = SUBNET6.base + offset;
    test.strictSame(made.ownedBy(address), [a.name], 'it is in the other half');
    test.ok(takeInTime(made, b, 5_000, address), offset.toString(16));
    test.ok(takeInTime(made, a), 'and the giver has enough left');
    settle(made);
  }
  test.end();
});

void t.test('IPv4: two hundred certain addresses, scattered over the other half', (test) => {
  const [made, a, b] = halved();
  for (let i = 0; i < 200; i++) {
    const address = SUBNET.base + 77n + BigInt((i * 6_151) % 32_600);
    if (!takeInTime(made, b, 5_000, address)) test.fail(`number ${i}: ${refusals(b).join()}`);
  }
  test.ok(takeInTime(made, a), 'the giver has enough left');
  test.end();
});

void t.test('IPv4: between addresses that their owner has in use', (test) => {
  const [made, a, b] = halved();
  for (const address of everySecond(made, a, 100))
    if (!takeInTime(made, b, 2_000, address)) test.fail(`${address}: ${refusals(b).join()}`);
  test.equal(a.inUse.size, 50);
  test.end();
});

/** Has it take so many addresses; every second one is free again. */
function everySecond(made: RangeCluster, host: RangeHost, count: number): bigint[] {
  for (let i = 0; i < count; i++) takeInTime(made, host);
  const free = [...host.inUse].filter((address) => address % 2n === 0n);
  for (const address of free) {
    host.pool!.release(address);
    host.inUse.delete(address);
  }
  return free;
}

const refusals = ({ pool }: RangeHost): string[] => [...pool!.refusals.values()];

/** Three hosts; the last has as many pieces of the others' ranges as it can say, and wants one more of the first's. */
function full(): { made: RangeCluster; a: RangeHost; c: RangeHost; wanted: bigint } {
  const made = cluster(3, { recordMaxBytes: 360 });
  const [a, b, c] = made.hosts as [RangeHost, RangeHost, RangeHost];
  for (const host of made.hosts) takeInTime(made, host);
  settle(made);
  const [ofA, ofB] = [a, b].map((host) => everySecond(made, host, 60)) as [bigint[], bigint[]];
  for (const [i, wanted] of ofA.entries()) {
    for (const address of [wanted, ofB[i]!]) {
      if (takeInTime(made, c, 3_000, address)) continue;
      if (address === wanted) return { made, a, c, wanted };
      c.pool!.stopAsking();
    }
  }
  throw new Error('it never was full');
}

void t.test('whose record is full is told so, and nothing stays on its way to it', (test) => {
  const { made, a, c, wanted } = full();
  test.strictSame([refusals(c), made.ownedBy(wanted)], [['asker-full'], [a.name]]);
  test.strictSame(a.pool!.holding.estate.gifts, []);
  test.end();
});

void t.test(
  '5.2: a gift that has no room any more when it comes goes back, and is nobody else’s meanwhile',
  (test) => {
    const { made, a, c, wanted } = full();
    c.pool!.stopAsking();
    const { holding } = a.pool!;
    const { life, session } = c.pool!.holding;
    const block = { base: wanted, bits: 0 };
    const gift = { id: 4711, block, to: c.name, life, session, isFirst: false };
    // As if its record had been less full when the giver heard of it.
    holding.change({ own: subtract(holding.estate.own, block), gifts: [gift] });
    made.pump(a);
    for (let i = 0; i < 200 && made.ownedBy(wanted).length === 0; i++) made.run(5);
    settle(made);
    test.strictSame([made.ownedBy(wanted), holding.estate.gifts], [[a.name], []]);
    test.equal(c.pool!.holding.session, session + 1);
    test.ok(takeInTime(made, c), 'it goes on with what it has');
    test.end();
  },
);

void t.test('a gift that was held out to an earlier run and has room is the next one’s', (test) => {
  const [made, a, b] = halved();
  const { holding } = a.pool!;
  const block = { base: SUBNET.base + 64n, bits: 4 };
  const { life, session } = b.pool!.holding;
  const gift = { id: 4711, block, to: b.name, life, session: session - 1, isFirst: false };
  holding.change({ own: subtract(holding.estate.own, block), gifts: [gift] });
  made.pump(a);
  settle(made);
  test.strictSame([made.ownedBy(block.base), holding.estate.gifts], [[b.name], []]);
  test.end();
});
