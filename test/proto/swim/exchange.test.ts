import t from 'tap';
import { encodeStream } from '../../../proto/memberlist/stream-message.ts';
import type { PushPull } from '../../../proto/memberlist/stream-parser.ts';
import type { StreamAction } from '../../../proto/swim/interface.ts';
import { fromHex } from '../../golden/memberlist-vectors.ts';
import { Bench } from './bench.ts';

/** Push/pull, TCP ping and long user messages of gossip.md 1.10, 2.10 and 2.12, from both sides. */
const NO_LABEL = new Uint8Array(0);
const VSN = Uint8Array.of(1, 5, 2, 0, 0, 0);
const SERF_VSN = Uint8Array.of(1, 5, 2, 2, 5, 4);

function pushPull(
  nodes: readonly { name: string; host: number; state?: number; vsn?: Uint8Array }[],
  userState = NO_LABEL,
): PushPull {
  return {
    type: 'pushPull',
    join: true,
    signedInts: false,
    userState,
    nodes: nodes.map(({ name, host, state = 0, vsn = VSN }) => {
      return {
        name,
        addr: Uint8Array.of(10, 0, 0, host),
        port: 7946,
        incarnation: 3,
        meta: null,
        state,
        vsn,
      };
    }),
  };
}

const dialOf = (bench: Bench): Extract<StreamAction, { type: 'dial' }> =>
  bench.actions.findLast(({ type }) => type === 'dial') as Extract<StreamAction, { type: 'dial' }>;
const endings = (bench: Bench, id: number): string[] =>
  bench.actions.filter((action) => action.id === id).map(({ type }) => type);

void t.test('accepting a push/pull: answer with all we know, merge all it knows', (test) => {
  const bench = new Bench({}, { localState: () => Uint8Array.of(7) });
  bench.alive('a', 2);
  bench.forget();
  const theirs = pushPull(
    [
      { name: 'b', host: 3 },
      { name: 'gone', host: 4, state: 2 },
      { name: 'a', host: 2, state: 2 },
      { name: 'off', host: 6, state: 3 },
    ],
    Uint8Array.of(1, 2),
  );
  const answer = bench.dialIn(2, '10.0.0.3', theirs) as PushPull;
  test.match(answer, { type: 'pushPull', join: true, userState: Uint8Array.of(7) });
  test.same(
    answer.nodes.map(({ name }) => name),
    ['me', 'a'],
  );
  test.equal(bench.stateOf('b'), 'alive');
  test.equal(bench.stateOf('gone'), undefined, 'dead and never known');
  test.equal(bench.stateOf('a'), 'suspect', 'dead by hearsay is a suspicion');
  test.match(bench.events.at(-1), {
    type: 'remote-state',
    node: 'b',
    bytes: Uint8Array.of(1, 2),
    join: true,
  });
  test.same(endings(bench, 2), ['write', 'end']);
  test.end();
});

void t.test('dialling a push/pull: one result for each address', (test) => {
  const bench = new Bench();
  bench.swim.join(bench.now, [{ ip: '10.0.0.2', port: 7946 }]);
  bench.poll();
  const { id, to } = dialOf(bench);
  test.same(to, { ip: '10.0.0.2', port: 7946 });
  test.equal(id % 2, 1);
  bench.swim.handleStreamConnect(bench.now, id);
  bench.swim.handleStreamData(bench.now, id, encodeStream(pushPull([{ name: 'a', host: 2 }]), NO_LABEL));
  bench.poll();
  test.equal(bench.stateOf('a'), 'alive');
  test.match(bench.events.at(-1), { type: 'join-result', addr: to, error: undefined });
  test.same(endings(bench, id), ['dial', 'write', 'close']);
  test.end();
});

void t.test('what can go wrong with a join is said', (test) => {
  const failing = (act: (bench: Bench, id: number) => void): string | undefined => {
    const bench = new Bench();
    bench.swim.join(bench.now, [{ ip: '10.0.0.2', port: 7946 }]);
    bench.poll();
    act(bench, dialOf(bench).id);
    bench.poll();
    const result = bench.events.find(({ type }) => type === 'join-result') as { error: string | undefined };
    test.equal(bench.swim.members().length, 1, 'nothing half-merged');
    return result.error;
  };
  test.match(
    failing((bench, id) => bench.swim.handleStreamEnd(bench.now, id, 'connection refused')),
    'connection refused',
  );
  test.match(
    failing((bench, id) => bench.swim.handleStreamEnd(bench.now, id, undefined)),
    /closed the stream early/,
  );
  test.match(
    failing((bench) => bench.wait(10_001)),
    /no answer in time/,
  );
  const say = (bytes: Uint8Array) => (bench: Bench, id: number) => {
    bench.swim.handleStreamConnect(bench.now, id);
    bench.swim.handleStreamData(bench.now, id, bytes);
  };
  test.match(failing(say(encodeStream({ type: 'err', error: 'go away' }, NO_LABEL))), /go away/);
  test.match(failing(say(encodeStream({ type: 'ack', seqNo: 1, payload: null }, NO_LABEL))), /out of turn/);
  test.match(failing(say(Uint8Array.of(0x63))), /not known/);
  test.match(failing(say(Uint8Array.of(0x0a, 0, 0, 0, 9))), /encrypted/);
  const bad = [
    { name: 'a', host: 2, vsn: Uint8Array.of(3, 5, 3, 0, 0, 0) },
    { name: 'b', host: 3 },
  ];
  test.match(failing(say(encodeStream(pushPull(bad), NO_LABEL))), /protocol version/);
  test.end();
});

void t.test(
  'beside Serf we speak its delegate version, and ask again when the first try could not have passed',
  (test) => {
    const bench = new Bench();
    bench.swim.join(bench.now, [{ ip: '10.0.0.2', port: 7946 }]);
    bench.poll();
    const first = dialOf(bench);
    const serf = encodeStream(pushPull([{ name: 'serf', host: 2, vsn: SERF_VSN }]), NO_LABEL);
    bench.swim.handleStreamConnect(bench.now, first.id);
    bench.swim.handleStreamData(bench.now, first.id, serf);
    bench.poll();
    const second = dialOf(bench);
    test.not(second.id, first.id);
    test.same(
      bench.events.filter(({ type }) => type === 'join-result'),
      [],
      'not before the second',
    );
    bench.swim.handleStreamConnect(bench.now, second.id);
    bench.swim.handleStreamData(bench.now, second.id, serf);
    bench.poll();
    test.match(bench.events.at(-1), { type: 'join-result', error: undefined });
    const answer = bench.dialIn(2, '10.0.0.9', pushPull([])) as PushPull;
    test.same(answer.nodes[0]?.vsn, Uint8Array.of(1, 5, 2, 0, 255, 4));
    // A plain member cannot come into this cluster: Serf would refuse us for it for ever.
    bench.dialIn(4, '10.0.0.8', pushPull([{ name: 'plain', host: 8 }]));
    test.equal(bench.stateOf('plain'), undefined);
    test.equal(bench.count('drop:merge-versions'), 1);
    test.end();
  },
);

void t.test('who makes up a node of another protocol keeps nobody from joining', (test) => {
  const [TOP, NONE, GONE] = [
    Uint8Array.of(5, 5, 5, 0, 0, 0),
    new Uint8Array(0),
    Uint8Array.of(1, 5, 9, 0, 0, 0),
  ] as const;
  const bench = new Bench();
  for (const vsn of [TOP, NONE, GONE]) bench.alive('made-up', 99, { vsn });
  test.equal(bench.stateOf('made-up'), undefined, 'by gossip');
  test.equal(bench.count('drop:alive-versions'), 3);
  bench.dialIn(2, '10.0.0.3', pushPull([{ name: 'c', host: 3 }]));
  test.equal(bench.stateOf('c'), 'alive');
  const list = [
    { name: 'a', host: 2 },
    { name: 'made-up', host: 99, vsn: TOP },
    { name: 'made-up-2', host: 98, vsn: NONE },
    { name: 'made-up-3', host: 97, vsn: GONE, state: 2 },
    { name: 'b', host: 4 },
  ];
  for (const nodes of [list, list.toReversed()]) {
    const joining = new Bench();
    joining.swim.join(joining.now, [{ ip: '10.0.0.2', port: 7946 }]);
    joining.poll();
    const { id } = dialOf(joining);
    joining.swim.handleStreamConnect(joining.now, id);
    joining.swim.handleStreamData(joining.now, id, encodeStream(pushPull(nodes), NO_LABEL));
    joining.poll();
    test.match(joining.events.at(-1), { type: 'join-result', error: undefined });
    const names = joining.swim.members().map(({ name }) => name);
    test.same(names.sort(), ['a', 'b', 'me'], 'all but these');
  }
  test.end();
});

void t.test('pinned delegate versions stay', (test) => {
  const bench = new Bench({ delegateVersion: [0, 0, 0] });
  bench.dialIn(2, '10.0.0.2', pushPull([{ name: 'serf', host: 2, vsn: SERF_VSN }]));
  test.equal(bench.stateOf('serf'), undefined);
  test.equal(bench.count('drop:merge-versions'), 1);
  test.end();
});

void t.test('TCP ping: answered when it is for us, closed when not', (test) => {
  const bench = new Bench();
  const ping = { type: 'ping', seqNo: 5, sourceAddr: null, sourceNode: 'a', sourcePort: 0 } as const;
  test.same(bench.dialIn(2, '10.0.0.2', { ...ping, node: 'me' }), { type: 'ack', seqNo: 5, payload: null });
  test.equal(bench.dialIn(4, '10.0.0.2', { ...ping, node: 'you' }), undefined);
  test.same(endings(bench, 4), ['close']);
  test.end();
});

void t.test('user messages over TCP, in and out', (test) => {
  const bench = new Bench();
  bench.alive('a', 2);
  bench.forget();
  const bytes = new Uint8Array(5000).fill(3);
  bench.dialIn(2, '10.0.0.2', { type: 'user', bytes, signedInts: false });
  test.match(bench.events[0], { type: 'user', node: 'a', bytes, reliable: true });
  bench.swim.sendUserReliable(bench.now, { ip: '10.0.0.2', port: 7946 }, bytes);
  bench.poll();
  const { id } = dialOf(bench);
  bench.swim.handleStreamConnect(bench.now, id);
  bench.swim.handleStreamEnd(bench.now, id, undefined);
  bench.poll();
  test.same(endings(bench, id), ['dial', 'write', 'end', 'close'].slice(0, 3));
  bench.swim.sendUserReliable(bench.now, { ip: '10.0.0.2', port: 7946 }, bytes);
  bench.poll();
  bench.swim.handleStreamEnd(bench.now, dialOf(bench).id, 'connection refused');
  test.equal(bench.count('drop:user-undelivered'), 1);
  test.end();
});

void t.test('no stranger takes the streams that members need', (test) => {
  const bench = new Bench();
  bench.alive('a', 2);
  bench.alive('b', 3);
  let id = 2;
  const open = (ip: string, count: number): number => {
    for (let i = 0; i < count; i++, id += 2) bench.swim.handleStreamOpen(bench.now, id, { ip, port: 40_000 });
    bench.poll();
    const opened = count - bench.actions.filter(({ type }) => type === 'close').length;
    bench.forget();
    return opened;
  };
  test.equal(open('10.9.9.9', 128), 8, 'one IP has few');
  test.equal(bench.count('drop:stream-crowded'), 120);
  let strangers = 8;
  for (let i = 0; i < 40; i++) strangers += open(`10.8.0.${i}`, 8);
  test.equal(strangers, 96, 'all of them together leave room');
  test.equal(bench.dialIn(9000, '10.0.0.2', pushPull([]))?.type, 'pushPull', 'for a member');
  test.equal(open('10.0.0.2', 100), 31, 'until all are taken');
  test.equal(bench.count('drop:stream-busy'), 69);
  bench.wait(10_001);
  for (const [name, host] of [
    ['a', 2],
    ['b', 3],
  ] as const)
    bench.alive(name, host, { incarnation: 2 });
  bench.forget();
  test.equal(open('10.0.0.2', 100), 64, 'one IP of members leaves room for others');
  test.equal(open('10.0.0.3', 100), 64);
  test.end();
});

void t.test('strangers whose streams end in silence are not heard for a while; members are', (test) => {
  const bench = new Bench();
  bench.alive('a', 2);
  let id = 2;
  for (const ip of ['10.9.9.9', '10.0.0.2'])
    for (let i = 0; i < 8; i++, id += 2) bench.swim.handleStreamOpen(bench.now, id, { ip, port: 40_000 });
  bench.wait(10_000);
  bench.alive('a', 2, { incarnation: 2 });
  bench.forget();
  test.equal(bench.dialIn(500, '10.9.9.9', pushPull([])), undefined);
  test.equal(bench.count('drop:stream-muted'), 1);
  test.equal(bench.dialIn(502, '10.0.0.2', pushPull([]))?.type, 'pushPull');
  bench.wait(1_000);
  test.equal(bench.dialIn(504, '10.9.9.9', pushPull([]))?.type, 'pushPull', 'the mute passes');
  test.end();
});

void t.test('the bound over all streams counts what was held, also of streams that failed', (test) => {
  const bench = new Bench();
  const chunk = new Uint8Array(65_536).fill(0xf4);
  for (let i = 0; i < 100; i++) {
    bench.swim.handleStreamOpen(bench.now, 2 + 2 * i, { ip: `10.1.0.${i}`, port: 40_000 });
    bench.swim.handleStreamData(bench.now, 2 + 2 * i, chunk);
  }
  test.equal(bench.count('drop:stream-label'), 100);
  // Four messages of 17 MiB, each but its last byte: 68 MiB are over the 64 that there are.
  const whole = encodeStream({ type: 'user', bytes: new Uint8Array(17 << 20), signedInts: false }, NO_LABEL);
  for (let i = 0; i < 4; i++) {
    bench.swim.handleStreamOpen(bench.now, 1000 + 2 * i, { ip: `10.2.0.${i}`, port: 40_000 });
    bench.swim.handleStreamData(bench.now, 1000 + 2 * i, whole.subarray(0, -1));
  }
  bench.poll();
  const closed = [1000, 1002, 1004, 1006].filter((id) => endings(bench, id).includes('close'));
  test.same(closed, [1006]);
  bench.swim.handleStreamData(bench.now, 1000, whole.subarray(-1));
  bench.poll();
  test.equal(bench.events.filter(({ type }) => type === 'user').length, 1, 'the others go on');
  test.end();
});

void t.test('hostile streams: counted, answered at most with err, closed, and never too many', (test) => {
  const bench = new Bench({ maxStreams: 3 });
  const encrypted = bench.dialIn(2, '10.0.0.2', fromHex('0a00000010'));
  test.match(encrypted, { type: 'err', error: /encryption is not configured/ });
  test.same(endings(bench, 2), ['write', 'end', 'close']);
  for (const [i, hex] of ['63', '0380', '06dfffffffff', '0bff'].entries()) {
    test.equal(bench.dialIn(10 + 2 * i, '10.0.0.2', fromHex(hex)), undefined);
    test.same(endings(bench, 10 + 2 * i), ['close']);
  }
  for (let id = 100; id < 110; id += 2)
    bench.swim.handleStreamOpen(bench.now, id, { ip: '10.0.0.2', port: 1 });
  bench.poll();
  test.equal(bench.count('drop:stream-crowded'), 4);
  bench.wait(10_001);
  test.same(endings(bench, 100), ['close'], 'silence has an end');
  test.equal(bench.dialIn(200, '10.0.0.2', pushPull([]))?.type, 'pushPull', 'and there is room again');
  bench.swim.handleStreamData(bench.now, 999, Uint8Array.of(1));
  bench.swim.handleStreamEnd(bench.now, 999, undefined);
  bench.swim.handleStreamConnect(bench.now, 999);
  test.end();
});
