/** Guardians, heirs and witnesses of ranges: what they promise, give back and take over. */
import t from 'tap';
import { NO_ESTATE } from '../../../proto/ipam/estate.ts';
import type { EstateRecord } from '../../../proto/ipam/estate.ts';
import { decodeWardRecord, encodeEstateRecord } from '../../../proto/ipam/records.ts';
import { POOL } from '../../sim/range-cluster.ts';
import type { RangeCluster, RangeHost } from '../../sim/range-cluster.ts';
import { DAY_MS, SUBNET, cluster, estateRecordOf, owned, settle, takeInTime } from './pool-cluster.ts';

void t.test(
  'a host that lost its disk has its range back from its guardian, and none while that is away',
  (test) => {
    const made = cluster(2);
    for (const host of made.hosts) takeInTime(made, host);
    settle(made);
    const [a, b] = made.hosts as [RangeHost, RangeHost];
    for (const host of [b, a]) {
      const had = owned(host);
      made.crash(host, false);
      made.partition(({ name }) => Number(name === host.name));
      made.start(host);
      made.run(10_000);
      test.strictSame(host.pool!.usable(made.clock(host)), [], `${host.name} alone has nothing`);
      test.equal(made.take(host), false);
      made.partition(() => 0);
      settle(made);
      test.strictSame(owned(host), had, `${host.name} has its own again`);
      test.ok(takeInTime(made, host));
      settle(made);
    }
    test.end();
  },
);

/** Two hosts; the founder's guardian was started anew while the founder was away. */
function leftAlone(): RangeCluster {
  const made = cluster(2);
  const [a, b] = made.hosts as [RangeHost, RangeHost];
  takeInTime(made, a);
  takeInTime(made, b);
  settle(made);
  made.crash(a, true);
  made.crash(b, true);
  made.start(b);
  made.tellAlive(b);
  made.run(11_000);
  return made;
}

void t.test(
  '3.33: of two hosts the founder is gone for good: an operator’s word lets the other go on',
  (test) => {
    const made = leftAlone();
    const [a, b] = made.hosts as [RangeHost, RangeHost];
    test.equal(takeInTime(made, b), false, 'its range may be another’s, as far as it can know');
    test.strictSame(b.pool!.reclaim(made.clock(b), 'h1'), { done: true });
    made.pump(b);
    test.strictSame(owned(b), ['10.42.0.0/16']);
    test.ok(takeInTime(made, b));
    made.wipe(a);
    made.start(a);
    settle(made);
    test.ok(takeInTime(made, a), 'another host of that name begins anew');
    test.end();
  },
);

void t.test('3.33: no operator’s word against a host that shows that the copy is an old one', (test) => {
  const made = cluster(3);
  const [a, b, c] = made.hosts as [RangeHost, RangeHost, RangeHost];
  takeInTime(made, b);
  settle(made);
  made.crash(b, true);
  settle(made, 2.2 * DAY_MS);
  test.strictSame(owned(a), ['10.42.0.0/16'], 'the founder took over what the silent one had');
  test.ok(takeInTime(made, c));
  settle(made);
  made.partition(({ name }) => Number(name === 'h2'));
  made.start(b);
  // All that it hears is what the third host has now.
  b.pool!.learnEstate('h3', estateRecordOf(c));
  made.run(11_000);
  test.match(b.pool!.reclaim(made.clock(b), 'h1'), { done: false, reason: 'not-our-ward', guardian: 'h3' });
  made.run(11_000);
  test.strictSame(b.pool!.usable(made.clock(b)), []);
  test.end();
});

void t.test('5.2: a copy that may be old is not given back; an operator decides', (test) => {
  const made = leftAlone();
  const [a, b] = made.hosts as [RangeHost, RangeHost];
  made.crash(a, false);
  made.start(a);
  settle(made);
  test.equal(takeInTime(made, a), false, 'the other cannot know whether the founder took its range over');
  test.strictSame([...a.pool!.refusals], [['h2', 'copy-unsure']]);
  made.run(11_000);
  test.strictSame(b.pool!.reclaim(made.clock(b), 'h1'), { done: true }, 'also while it runs: it began anew');
  made.pump(b);
  settle(made);
  test.ok(takeInTime(made, a, 15_000));
  test.ok(takeInTime(made, b));
  test.end();
});

/** The founder, its heir and its witness, and what other hosts there are; each has its part. */
function withGuardians(hosts: number): { made: RangeCluster; named: readonly RangeHost[] } {
  const made = cluster(hosts);
  for (const host of made.hosts) {
    takeInTime(made, host);
    settle(made);
  }
  const root = made.hosts[0]!;
  const guardians = root.pool!.holding.estate.guardians.map(({ name }) => made.host(name));
  const others = made.hosts.filter((host) => host !== root && !guardians.includes(host));
  return { made, named: [root, ...guardians, ...others] };
}

/** Those hosts are apart from the others, and all know it. */
function apart(made: RangeCluster, ...hosts: readonly RangeHost[]): void {
  made.partition((host) => Number(hosts.includes(host)));
  for (const host of made.hosts) made.tellAlive(host);
}

void t.test('5.2: a witness that lost its disk does not forget what it promised to the heir', (test) => {
  const { made, named } = withGuardians(3);
  const [root, heir, witness] = named as [RangeHost, RangeHost, RangeHost];
  apart(made, heir);
  made.run(DAY_MS * 0.9);
  apart(made, root);
  made.run(DAY_MS * 0.2);
  test.strictSame(
    root.pool!.holding.estate.guardians.map(({ name }) => name),
    [witness.name],
    'the founder has given up its heir; its witness has not heard of it',
  );
  made.run(DAY_MS);
  test.ok(heir.pool!.holding.estate.isRoot, 'the heir has taken over');
  settle(made);
  made.crash(witness, false);
  made.start(witness);
  settle(made);
  test.strictSame(owned(witness).length, 1, 'the heir gives it back what it had');
  made.crash(witness, true);
  apart(made, heir);
  made.start(witness);
  for (const host of [root, witness]) made.tellAlive(host);
  for (let i = 0; i < 4; i++) {
    made.sync(root, witness);
    made.sync(witness, root);
    made.run(60_000);
  }
  test.strictSame(root.pool!.usable(made.clock(root)), [], 'its word as it is now says nothing');
  made.partition(() => 0);
  settle(made);
  test.equal(made.events.get('lost'), 1);
  for (const host of made.hosts) test.ok(takeInTime(made, host), host.name);
  test.end();
});

void t.test('5.2: a witness promises to one heir, not to the next', (test) => {
  const { made, named } = withGuardians(5);
  const [root, heir, witness] = named as [RangeHost, RangeHost, RangeHost];
  const next = made.host('h5');
  made.crash(witness, true);
  made.partition((host) => Number(host === heir));
  root.pool!.setAlive(new Set(named.filter((host) => host !== heir).map(({ name }) => name)));
  made.pump(root);
  made.run(1_000);
  const guardiansAt = (host: RangeHost) => host.pool!.holding.wards.get(root.name)!.estate.guardians;
  made.start(witness);
  test.strictSame(
    [next, heir, witness].map((host) => guardiansAt(host)[0]!.name),
    [next, heir, heir].map(({ name }) => name),
    'a new heir has been chosen, of which the witness does not know yet',
  );
  const roots = (): string[] =>
    made.hosts.filter(({ pool }) => pool?.holding.estate.isRoot === true).map(({ name }) => name);
  made.crash(heir, true);
  apart(made, root);
  made.run(DAY_MS * 1.2);
  test.ok(witness.pool!.holding.wards.get(root.name)!.isPromised);
  test.strictSame(roots(), [root.name], 'the promise is not to the new one');
  made.start(heir);
  apart(made, root);
  made.sync(witness, heir);
  made.run(DAY_MS * 1.2);
  test.strictSame(roots(), [root.name, heir.name], 'it was to the old one');
  made.partition(() => 0);
  settle(made);
  made.check();
  test.end();
});

void t.test('5.2: what an ended host offered is not taken, whatever its closer says since', (test) => {
  for (const closer of [
    { life: 8, noted: 5, isOver: false, title: 'a change that does not count yet' },
    { life: 0, noted: 0, isOver: true, title: 'nothing: it began anew' },
  ]) {
    const made = cluster(2);
    const b = made.hosts[1]!;
    takeInTime(made, b);
    const { holding } = b.pool!;
    const had = owned(b);
    const { lineage, session, life } = holding;
    const record = { session: 9, ledger: 9, beat: 1, freeBits: -1, lineage };
    const say = (host: string, said: Omit<EstateRecord, keyof typeof record>, part = {}): void =>
      b.pool!.learnEstate(host, encodeEstateRecord({ ...record, ...said, ...part }, 4));
    const estate = { ...NO_ESTATE, rev: 5, closed: [7] };
    say('h8', { life: 8, noted: 5, estate });
    const last = closer.isOver ? NO_ESTATE : { ...estate, rev: 6 };
    const since = { session: 10, lineage: closer.isOver ? undefined : lineage };
    say('h8', { life: closer.life, noted: closer.noted, estate: last }, since);
    const gift = { id: 3, block: SUBNET, to: b.name, life, session, isFirst: false };
    say('h7', { life: 7, noted: 2, estate: { ...NO_ESTATE, rev: 2, gifts: [gift] } });
    made.pump(b);
    test.strictSame(owned(b), had, closer.title);
  }
  test.end();
});

void t.test(
  '5.2: who began with the gift of another is offered ours no more, also once that one is over',
  (test) => {
    const made = cluster(2);
    const b = made.hosts[1]!;
    takeInTime(made, b);
    settle(made);
    const { pool } = b;
    const say = (session: number, life: number): void => {
      const { lineage } = pool!.holding;
      const record = { session, ledger: 9, beat: 1, freeBits: -1, noted: 1, life };
      const estate = { ...NO_ESTATE, rev: 1 };
      const of = life === 0 ? undefined : lineage;
      pool!.learnEstate('h9', encodeEstateRecord({ ...record, lineage: of, estate }, 4));
      made.pump(b);
    };
    const offers = (): number[] =>
      [...b.store.values()]
        .filter(({ owner, table, value }) => owner === 'h2' && table === 'ward' && value !== undefined)
        .map(({ value }) => decodeWardRecord(value!, 4))
        .flatMap(({ ward, status, session }) => (ward === 'h9' && status === 'restore' ? [session] : []));
    const ask = { kind: 'ask', pool: POOL, session: 5, life: 0, address: undefined } as const;
    pool!.handleMessage(made.clock(b), 'h9', ask);
    settle(made);
    test.strictSame(offers(), [5]);
    // It cannot take the gift back before it has heard its guardian.
    apart(made, b);
    pool!.doubt(made.clock(b));
    say(5, 77);
    test.strictSame(offers(), []);
    say(6, 0);
    test.strictSame(offers(), []);
    test.end();
  },
);
