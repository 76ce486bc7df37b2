import t from 'tap';
import { encodeStream } from '../../../proto/memberlist/stream-message.ts';
import { StreamParser } from '../../../proto/memberlist/stream-parser.ts';
import type { PushPull, StreamMessage } from '../../../proto/memberlist/stream-parser.ts';
import { SeededRng } from '../../../proto/rng.ts';
import { MemberImage } from '../../../proto/swim/member-image.ts';
import { MemberTable } from '../../../proto/swim/member-table.ts';
import { nodeOf } from '../../../proto/swim/peer.ts';
import type { OwnPeer, Peer } from '../../../proto/swim/peer.ts';
import { ProbeOrder } from '../../../proto/swim/probe-order.ts';

/** The member table over a shared image: members differ only in what they changed. */
const addrOf = (i: number): { ip: string; port: number } => ({ ip: `10.0.0.${i}`, port: 7946 });
const image = (count: number): MemberImage =>
  new MemberImage(Array.from({ length: count }, (_, i) => ({ name: `n${i + 1}`, addr: addrOf(i + 1) })));
const peer = (name: string, i: number): OwnPeer => ({
  name,
  addr: addrOf(i),
  addrBytes: Uint8Array.of(10, 0, 0, i),
  meta: null,
  vsn: new Uint8Array(6),
  incarnation: 1,
  state: 'alive',
  stateChangeMs: 0,
  suspicion: undefined,
  conflictAtMs: -Infinity,
  place: 0,
});
const known = (table: MemberTable, name: string): Peer => {
  const found = table.get(name);
  if (found === undefined) throw new Error(`${name} is not known`);
  return found;
};

void t.test('a change in one table is not seen in another of the same image', (test) => {
  const shared = image(5);
  const [a, b] = [new MemberTable(new SeededRng(1), shared), new MemberTable(new SeededRng(2), shared)];
  a.setState(7, a.edit(known(a, 'n2')), 'dead');
  test.match(known(a, 'n2'), { state: 'dead', stateChangeMs: 7 });
  test.match(known(b, 'n2'), { state: 'alive', stateChangeMs: 0 });
  test.equal(a.upCount, 4);
  test.equal(b.upCount, 5);
  test.equal(a.edit(known(a, 'n2')), known(a, 'n2'), 'an own record is not copied again');
  test.equal(a.at(addrOf(2))?.state, 'dead');
  test.end();
});

void t.test('members are found by name and address through add, move and reap', (test) => {
  const table = new MemberTable(new SeededRng(1), image(3));
  table.add(peer('n9', 9));
  test.equal(table.size, 4);
  table.move(table.edit(known(table, 'n2')), addrOf(22), Uint8Array.of(10, 0, 0, 22));
  test.equal(table.atExactly(addrOf(2)), undefined);
  test.equal(table.atExactly(addrOf(22))?.name, 'n2');
  test.equal(table.at({ ip: '10.0.0.9', port: 1 })?.name, 'n9', 'the only one with this IP');
  for (const name of ['n1', 'n9']) table.setState(5, table.edit(known(table, name)), 'dead');
  table.startRound(({ state }) => state === 'dead');
  test.same(Array.from(table.all(), ({ name }) => name).sort(), ['n2', 'n3']);
  test.equal(table.size, 2);
  test.equal(table.upCount, 2);
  test.equal(table.get('n1'), undefined);
  test.equal(table.at(addrOf(1)), undefined);
  table.add(peer('n1', 11));
  test.equal(table.atExactly(addrOf(11))?.name, 'n1', 'and may come back elsewhere');
  test.equal(table.size, 3);
  test.equal(table.upCount, 3);
  test.end();
});

void t.test('an image refuses what no cluster has', (test) => {
  const twice = { name: 'a', addr: addrOf(1) };
  test.throws(() => new MemberImage([twice, twice]), RangeError);
  test.throws(() => new MemberImage([{ name: 'a', addr: { ip: 'here', port: 1 } }]), RangeError);
  test.end();
});

void t.test('a round visits each once, also those added meanwhile, and each round has its order', (test) => {
  const order = new ProbeOrder(new SeededRng(3));
  const round = (sizeAt: (step: number) => number): number[] => {
    const places: number[] = [];
    for (let place = order.next(sizeAt(0)); place !== undefined; place = order.next(sizeAt(places.length))) {
      places.push(place);
    }
    order.restart();
    return places;
  };
  const first = round(() => 50);
  const second = round((step) => (step < 20 ? 50 : 60));
  const count = (size: number): number[] => Array.from({ length: size }, (_, i) => i);
  test.same(
    first.toSorted((a, b) => a - b),
    count(50),
  );
  test.same(
    second.toSorted((a, b) => a - b),
    count(60),
  );
  test.not(first.join(), second.slice(0, 50).join());
  test.end();
});

void t.test('every member comes first equally often', (test) => {
  const order = new ProbeOrder(new SeededRng(4));
  const firsts = new Map<number, number>();
  for (let i = 0; i < 10_000; i++) {
    order.next(10);
    const place = order.next(10) ?? -1;
    firsts.set(place, (firsts.get(place) ?? 0) + 1);
    order.restart();
  }
  for (let place = 0; place < 10; place++) {
    const share = firsts.get(place) ?? 0;
    test.ok(share > 850 && share < 1150, `${share} of 10,000 second places`);
  }
  test.end();
});

void t.test('a push/pull among members of one image reads only what differs, and loses nothing', (test) => {
  const shared = image(100);
  const [a, b] = [new MemberTable(new SeededRng(1), shared), new MemberTable(new SeededRng(2), shared)];
  a.setState(5, a.edit(known(a, 'n7')), 'dead');
  b.edit(known(b, 'n9')).incarnation = 4;
  const nodes = [known(a, 'n1'), ...a.own()].map(nodeOf);
  const message = { type: 'pushPull', join: false, nodes, packed: a.packShared() } as const;
  const bytes = encodeStream(
    { ...message, userState: Uint8Array.of(1, 2), signedInts: false },
    new Uint8Array(),
  );
  const read = (parser: StreamParser): PushPull => {
    let done: StreamMessage | undefined;
    for (let at = 0; at < bytes.length; at += 33) done = parser.push(bytes.subarray(at, at + 33));
    return done as PushPull;
  };
  const whole = read(new StreamParser(new Uint8Array()));
  test.equal(whole.nodes.length, 101, 'whole for who has no image');
  test.equal(whole.nodes.find(({ name }) => name === 'n7')?.state, 2);
  const short = read(new StreamParser(new Uint8Array(), { known: b }));
  // n1 is the speaker, n7 differs there, n9 here; n1 comes a second time, as what the image says.
  test.same(
    short.nodes.map(({ name }) => name),
    ['n1', 'n7', 'n9'],
  );
  test.equal(short.packed?.count, 98);
  test.same(short.userState, Uint8Array.of(1, 2));
  test.end();
});
