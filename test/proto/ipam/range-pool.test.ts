import t from 'tap';
import type { Test } from 'tap';
import { parseBlock, total } from '../../../proto/ipam/block.ts';
import { RangeCluster } from '../../sim/range-cluster.ts';
import type { RangeHost } from '../../sim/range-cluster.ts';
import {
  DAY_MS,
  LEASE_MS,
  SUBNET,
  cluster,
  estateRecordOf,
  owned,
  settle,
  takeInTime,
} from './pool-cluster.ts';

void t.test('1.4, 1.5: the founder has all; others get halves of what is left', (test) => {
  const made = cluster(3);
  const [a, b, c] = made.hosts as [RangeHost, RangeHost, RangeHost];
  test.strictSame(owned(a), ['10.42.0.0/16']);
  test.ok(takeInTime(made, a));
  test.ok(takeInTime(made, b));
  test.strictSame([owned(a), owned(b)], [['10.42.0.0/17'], ['10.42.128.0/17']]);
  test.ok(takeInTime(made, c));
  test.equal(total(owned(c).map((text) => parseBlock(text)!.block)), 16_384n);
  settle(made);
  const { guardians, isRoot } = a.pool!.holding.estate;
  test.ok(isRoot);
  test.equal(guardians.length, 2, 'the founder has an heir and a witness');
  test.end();
});

void t.test('1.5: 64 hosts on a /16, each gets its range without renumbering', (test) => {
  const made = new RangeCluster(1, 64, { subnet: SUBNET, leaseMs: LEASE_MS });
  made.delayMs = 5;
  for (const host of made.hosts) made.start(host);
  for (const host of made.hosts) made.tellAlive(host);
  made.hosts[0]!.pool!.found(0);
  made.pump(made.hosts[0]!);
  made.run(100);
  for (const host of made.hosts) if (!takeInTime(made, host, 20_000)) test.fail(`${host.name} got nothing`);
  const sizes = made.hosts.map((host) => Number(total(host.pool!.holding.estate.own)));
  test.ok(Math.min(...sizes) >= 512, `from ${Math.min(...sizes)} to ${Math.max(...sizes)} addresses each`);
  test.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    65_536,
  );
  test.end();
});

void t.test(
  '3.3: 10,000 addresses on one host of a /16; it gets more when it has used up its own',
  (test) => {
    const made = cluster(4);
    for (const host of made.hosts) takeInTime(made, host);
    const last = made.hosts[3]!;
    const before = total(last.pool!.holding.estate.own);
    const given = new Set<bigint>();
    for (let i = 0; i < 10_000; i++) {
      const taking = last.pool!.take(made.clock(last));
      if ('address' in taking) given.add(taking.address);
      else {
        made.pump(last);
        made.run(100);
      }
      if (i % 500 === 0) made.pump(last);
    }
    test.ok(given.size >= 9_900, `${given.size} different ones`);
    settle(made, 60_000);
    test.ok(total(last.pool!.holding.estate.own) > before || before > 10_000n, 'more was asked for in time');
    test.end();
  },
);

void t.test(
  '3.33: a dead host is taken over after its lease, and learns of it before it hands out again',
  (test) => {
    const made = cluster(3);
    for (const host of made.hosts) takeInTime(made, host);
    settle(made);
    const [a, b, c] = made.hosts as [RangeHost, RangeHost, RangeHost];
    for (const dead of [b, a]) {
      if (dead === a) {
        made.start(b);
        settle(made);
        takeInTime(made, b);
        settle(made);
      }
      const had = owned(dead);
      made.crash(dead, true);
      made.tellAlive(c);
      made.run(DAY_MS * 0.9);
      const owners = made.hosts.filter(({ pool }) => pool !== undefined);
      test.notOk(
        owners.some((host) => coversAll(host, had)),
        `${dead.name} keeps its ranges for its lease`,
      );
      made.run(DAY_MS * 0.3);
      settle(made, DAY_MS / 20);
      test.ok(
        owners.some((host) => coversAll(host, had)),
        `the ranges of ${dead.name} are another's then`,
      );
      made.start(dead);
      test.strictSame(dead.pool!.usable(made.clock(dead)), [], 'it hands out nothing before it has heard');
      settle(made);
      test.notOk(coversAll(dead, had), 'and gives up what it had');
      test.ok(takeInTime(made, dead), 'it gets a range again');
      settle(made);
    }
    test.ok((made.events.get('lost') ?? 0) >= 2);
    test.end();
  },
);

function coversAll(host: RangeHost, texts: readonly string[]): boolean {
  const { own } = host.pool!.holding.estate;
  return texts.every((text) => {
    const { base } = parseBlock(text)!.block;
    return own.some((block) => base >= block.base && base < block.base + (1n << BigInt(block.bits)));
  });
}

void t.test('3.33: at once by an operator, refused while the host lives', (test) => {
  const made = cluster(3);
  for (const host of made.hosts) takeInTime(made, host);
  settle(made);
  const [a, , c] = made.hosts as [RangeHost, RangeHost, RangeHost];
  const keeper = made.host(c.pool!.holding.estate.guardians[0]!.name);
  const reclaim = (by: RangeHost, host: RangeHost) => by.pool!.reclaim(made.clock(by), host.name);
  test.match(reclaim(keeper, c), { done: false, reason: 'alive' });
  test.match(reclaim(c, keeper), { done: false, reason: /alive|not-our-ward/ });
  made.crash(c, true);
  for (const host of made.hosts) made.tellAlive(host);
  test.match(reclaim(keeper, c), { done: false, reason: 'alive' }, 'it was heard just now');
  made.run(11_000);
  const had = total(keeper.pool!.holding.estate.own);
  test.strictSame(reclaim(keeper, c), { done: true });
  made.pump(keeper);
  test.ok(total(keeper.pool!.holding.estate.own) > had);
  // The founder too: its heir takes it over once its witness agrees.
  made.start(c);
  settle(made);
  takeInTime(made, c);
  settle(made);
  const [heir] = a.pool!.holding.estate.guardians.map(({ name }) => made.host(name)) as [RangeHost];
  made.crash(a, true);
  for (const host of made.hosts) made.tellAlive(host);
  made.run(11_000);
  test.match(reclaim(heir, a), { done: false, reason: 'waiting' });
  made.pump(heir);
  settle(made);
  test.ok(heir.pool!.holding.estate.isRoot);
  test.end();
});

void t.test('5.2: an old record at a third host does not bring back a gift that went on since', (test) => {
  const made = cluster(3);
  for (const host of made.hosts) takeInTime(made, host);
  settle(made);
  const [a, b, c] = made.hosts as [RangeHost, RangeHost, RangeHost];
  const wanted = a.pool!.holding.estate.own[0]!.base + 77n;
  const old = [...moveTo(made, b, wanted)].filter((record) => record !== undefined);
  test.ok(old.length > 0, 'there are records that offer it');
  settle(made);
  test.strictSame(
    [made.ownedBy(wanted), b.pool!.holding.estate.taken],
    [['h2'], []],
    'it came, and is forgotten',
  );
  made.release(b);
  b.pool!.release(wanted);
  b.inUse.delete(wanted);
  made.pump(b);
  for (const _ of moveTo(made, c, wanted));
  settle(made);
  test.strictSame(made.ownedBy(wanted), ['h3'], 'and went on');
  made.crash(b, true);
  made.partition(({ name }) => Number(name === 'h2'));
  made.start(b);
  for (const record of old) b.pool!.learnEstate('h1', record);
  made.pump(b);
  made.partition(() => 0);
  settle(made);
  test.strictSame(made.ownedBy(wanted), ['h3']);
  test.end();
});

void t.test('5.2: a gift still under way reaches a receiver that was started anew', (test) => {
  const made = cluster(3);
  for (const host of made.hosts) takeInTime(made, host);
  settle(made);
  const [a, b] = made.hosts as [RangeHost, RangeHost];
  const wanted = a.pool!.holding.estate.own[0]!.base + 77n;
  for (const record of moveTo(made, b, wanted)) if (record !== undefined) break;
  made.crash(b, true);
  made.run(1_000);
  test.strictSame(made.ownedBy(wanted), [], 'nobody has it');
  made.start(b);
  settle(made);
  test.strictSame(made.ownedBy(wanted), ['h2']);
  test.strictSame([a.pool!.holding.estate.gifts, b.pool!.holding.estate.taken], [[], []]);
  test.end();
});

void t.test('5.2: what came is not handed out before a guardian has noted it', (test) => {
  const made = cluster(3);
  for (const host of made.hosts) takeInTime(made, host);
  settle(made);
  const [a, b] = made.hosts as [RangeHost, RangeHost];
  const wanted = a.pool!.holding.estate.own[0]!.base + 77n;
  const steps = [...moveTo(made, b, wanted)].length;
  test.ok(steps > 0);
  test.strictSame([made.ownedBy(wanted), b.pool!.holding.isEffective], [['h2'], false]);
  made.partition(({ name }) => Number(name === 'h2'));
  test.notOk(b.pool!.mayHandOut(made.clock(b), wanted), 'while only its own disk knows');
  made.run(1_000);
  test.notOk(b.pool!.mayHandOut(made.clock(b), wanted));
  made.partition(() => 0);
  settle(made);
  test.ok(b.pool!.mayHandOut(made.clock(b), wanted));
  test.end();
});

void t.test('5.2: what was taken is forgotten only when its donor has counted that', (test) => {
  const made = cluster(3);
  for (const host of made.hosts) takeInTime(made, host);
  settle(made);
  const [a, b] = made.hosts as [RangeHost, RangeHost];
  const before = estateRecordOf(a)!;
  for (const _ of moveTo(made, b, a.pool!.holding.estate.own[0]!.base + 77n));
  const taken = (): number => b.pool!.holding.estate.taken.length;
  for (let i = 0; i < 100 && a.pool!.holding.estate.gifts.length > 0; i++) made.run(1);
  test.strictSame([taken(), a.pool!.holding.isEffective], [1, false]);
  b.pool!.learnEstate('h1', estateRecordOf(a));
  made.pump(b);
  test.equal(taken(), 1, 'what the donor changed may yet be lost');
  made.crash(b, true);
  made.start(b);
  b.pool!.learnEstate('h1', before);
  made.pump(b);
  test.equal(taken(), 1, 'a record from before the offer says nothing');
  settle(made);
  test.equal(taken(), 0);
  test.end();
});

/** Has a host ask for that address of h1 or h2; after every step the record of h1, where it says a gift that counts. */
function* moveTo(made: RangeCluster, to: RangeHost, address: bigint): Generator<Uint8Array | undefined> {
  const donor = made.hosts[0]!;
  to.pool!.take(made.clock(to), address);
  made.pump(to);
  for (let i = 0; i < 1_000 && !made.ownedBy(address).includes(to.name); i++) {
    made.run(1);
    const { estate, isEffective } = donor.pool!.holding;
    const isOffered = isEffective && estate.gifts.some((gift) => !gift.isFirst);
    yield isOffered ? estateRecordOf(donor) : undefined;
  }
}

void t.test(
  'two that begin apart: the earlier founding stands, the later gives way when they meet',
  (test) => {
    const made = new RangeCluster(3, 2, { subnet: SUBNET, leaseMs: LEASE_MS, mayFound: true });
    const [a, b] = made.hosts as [RangeHost, RangeHost];
    made.partition(({ name }) => Number(name === 'h1'));
    made.start(b);
    made.run(3_000);
    made.start(a);
    made.run(3_000);
    test.strictSame([owned(a), owned(b)], [['10.42.0.0/16'], ['10.42.0.0/16']]);
    test.ok(made.take(a) && made.take(b));
    made.partition(() => 0);
    settle(made);
    test.strictSame([owned(a), owned(b)], [[], ['10.42.0.0/16']]);
    test.same([...made.events], [['lost', 1]]);
    test.ok(takeInTime(made, a));
    test.end();
  },
);

void t.test('hosts that start together with one configuration: one founds, whatever the order', (test) => {
  for (let seed = 0; seed < 20; seed++) {
    const made = cluster(4, { mayFound: true, seed });
    for (const host of made.hosts) if (!takeInTime(made, host)) test.fail(`seed ${seed}: ${host.name}`);
    const lineages = new Set(made.hosts.map((host) => host.pool!.holding.lineage?.origin));
    if (lineages.size !== 1) test.fail(`seed ${seed}: ${[...lineages].join()}`);
  }
  test.pass('20 seeds');
  test.end();
});

void t.test(
  '5.2: of a network that a host made, that host founds the pool, whatever the others are called',
  (test) => {
    const made = new RangeCluster(5, 3, { subnet: SUBNET, leaseMs: LEASE_MS, soleFounder: 'h3' });
    made.delayMs = 5;
    const [a, b, c] = made.hosts as [RangeHost, RangeHost, RangeHost];
    for (const host of made.hosts) made.start(host);
    settle(made, 4_000);
    test.strictSame(owned(c), ['10.42.0.0/16']);
    test.ok(takeInTime(made, a) && takeInTime(made, b), 'and the others get their parts');
    test.end();
  },
);

void t.test('a certain address, and a block for Docker that never goes elsewhere (T8)', (test: Test) => {
  const made = cluster(2);
  const [a, b] = made.hosts as [RangeHost, RangeHost];
  takeInTime(made, b);
  const now = (host: RangeHost): number => made.clock(host);
  const wanted = parseBlock('10.42.0.77/32')!.block.base;
  test.same(b.pool!.take(now(b), wanted), { reason: 'wait' });
  for (let i = 0; i < 40; i++) {
    made.pump(b);
    made.run(50);
  }
  test.same(b.pool!.take(now(b), wanted), { address: wanted });
  test.same(b.pool!.take(now(b), wanted), { reason: 'used' });
  test.same(a.pool!.take(now(a), SUBNET.base), { reason: 'special' });
  test.same(a.pool!.take(now(a), 5n), { reason: 'outside' });

  const block = a.pool!.dockerBlock(now(a), 8, 8)!;
  test.equal(block.bits, 8);
  test.same(a.pool!.dockerBlock(now(a), 4, 4), block, 'the same ever after');
  made.pump(a);
  made.crash(a, true);
  made.start(a);
  settle(made);
  test.same(a.pool!.dockerBlock(now(a), 8, 8), block, 'over a restart');
  made.crash(a, false);
  made.start(a);
  settle(made);
  test.same(a.pool!.dockerBlock(now(a), 8, 8), block, 'and without the disk');
  for (let i = 0; i < 3_000; i++) takeInTime(made, a);
  test.notOk([...a.inUse].some((address) => address >= block.base && address < block.base + 256n));
  test.end();
});
