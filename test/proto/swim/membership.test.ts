import t from 'tap';
import type { PushPullNode } from '../../../proto/memberlist/messages.ts';
import { Bench } from './bench.ts';

/** The rules of gossip.md 2.2 to 2.6, message by message. */
const accuse = (type: 'suspect' | 'dead', node: string, incarnation: number, from = 'x') =>
  ({ type, node, incarnation, from }) as const;
const types = (bench: Bench): string[] => bench.events.map(({ type }) => type);

void t.test('alive: a new name joins, an old incarnation changes nothing, a new one updates', (test) => {
  const bench = new Bench();
  bench.alive('a', 2, { meta: Uint8Array.of(1) });
  test.match(bench.swim.member('a'), {
    state: 'alive',
    incarnation: 1,
    addr: { ip: '10.0.0.2', port: 7946 },
  });
  bench.alive('a', 2, { meta: Uint8Array.of(2) });
  test.same(bench.swim.member('a')?.meta, Uint8Array.of(1), 'same incarnation is no news');
  bench.alive('a', 2, { meta: Uint8Array.of(2), incarnation: 2 });
  bench.alive('a', 2, { meta: Uint8Array.of(2), incarnation: 3 });
  test.same(types(bench), ['join', 'update'], 'an update only where something differs');
  test.equal(bench.swim.member('a')?.incarnation, 3);
  test.end();
});

void t.test('alive: what makes no sense is counted and has no effect', (test) => {
  const bench = new Bench({ maxMembers: 2 });
  bench.alive('a', 2, { vsn: Uint8Array.of(0, 5, 2) });
  bench.alive('a', 2, { addr: Uint8Array.of(1, 2, 3) });
  bench.alive('a', 2, { port: 0 });
  bench.alive('a', 2, { incarnation: 0 });
  bench.alive('', 2);
  test.equal(bench.swim.member('a'), undefined);
  bench.alive('a', 2);
  bench.alive('b', 3);
  test.equal(bench.swim.members().length, 2, 'no more than the table takes');
  test.equal(bench.count('drop:alive-versions'), 1);
  test.equal(bench.count('drop:alive-address'), 2);
  test.equal(bench.count('drop:members-full'), 1);
  test.end();
});

void t.test(
  'alive: a name stays at its address while it lives, and may move when it left or is long dead',
  (test) => {
    const bench = new Bench();
    bench.alive('a', 2);
    bench.alive('a', 3, { incarnation: 9 });
    bench.alive('a', 3, { incarnation: 10 });
    test.equal(bench.swim.member('a')?.addr.ip, '10.0.0.2');
    test.same(types(bench), ['join', 'conflict'], 'told once');
    const port = 7946;
    const vsn = Uint8Array.of(1, 5, 2, 0, 0, 0);
    const moved = {
      node: 'a',
      addr: Uint8Array.of(10, 0, 0, 3),
      port,
      incarnation: 2,
      meta: null,
      vsn,
    };
    bench.hear('10.0.0.9', accuse('dead', 'a', 1, 'a'), { type: 'alive', ...moved });
    test.match(bench.swim.member('a'), { state: 'left', addr: { ip: '10.0.0.2' } }, 'not in one breath');
    bench.alive('a', 2, { incarnation: 2 });
    bench.hear('10.0.0.9', accuse('dead', 'a', 2, 'a'));
    bench.wait(9900);
    bench.alive('a', 3, { incarnation: 3 });
    test.equal(bench.swim.member('a')?.addr.ip, '10.0.0.2', 'not while a refutation may be under way');
    bench.wait(200);
    const asked = bench.actions.flatMap((action) => (action.type === 'dial' ? [action.to.ip] : []));
    test.same(asked.slice(0, 1), ['10.0.0.2'], 'at the old address whether it has left');
    bench.alive('a', 3, { incarnation: 1 });
    test.match(
      bench.swim.member('a'),
      { state: 'alive', addr: { ip: '10.0.0.3' } },
      'even with an old incarnation',
    );
    bench.hear('10.0.0.9', accuse('dead', 'a', 1, 'b'));
    test.equal(bench.stateOf('a'), 'dead');
    bench.alive('a', 4, { incarnation: 5 });
    test.equal(bench.stateOf('a'), 'dead', 'not yet');
    test.end();
  },
);

void t.test('alive: the 16-byte form of an IPv4 address is the same address', (test) => {
  const bench = new Bench();
  bench.alive('a', 2);
  const mapped = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 2);
  bench.alive('a', 2, { addr: mapped, incarnation: 2 });
  test.match(bench.swim.member('a'), { incarnation: 2, addr: { ip: '10.0.0.2' } });
  test.same(types(bench), ['join']);
  test.end();
});

void t.test('what is said of us is refuted, our own echo is not', (test) => {
  const bench = new Bench();
  bench.alive('a', 2);
  const own = (): number => bench.swim.self.incarnation;
  const me = { addr: Uint8Array.of(10, 0, 0, 1), vsn: Uint8Array.of(1, 5, 2, 0, 255, 0) };
  bench.alive('me', 1, me);
  test.equal(own(), 1, 'the echo, with nil for our empty meta');
  bench.hear('10.0.0.2', accuse('suspect', 'me', 1));
  test.equal(own(), 2);
  bench.hear('10.0.0.2', accuse('suspect', 'me', 1));
  test.equal(own(), 2, 'an old accusation');
  bench.hear('10.0.0.2', accuse('dead', 'me', 50));
  test.equal(own(), 51);
  bench.alive('me', 1, { ...me, incarnation: 60, meta: Uint8Array.of(9) });
  test.equal(own(), 61, 'an old life');
  bench.hear('10.0.0.2', accuse('dead', 'me', 61, 'me'));
  test.equal(own(), 62, 'a leave that we did not say');
  test.equal(bench.swim.counters().healthScore, 4);
  bench.forget();
  bench.wait(300);
  const [said] = bench.said('alive').filter(({ node }) => node === 'me');
  test.match(said, { incarnation: 62, port: 7946 });
  bench.hear('10.0.0.2', accuse('dead', 'me', 0xffff_ffff), accuse('suspect', 'me', 100_000));
  bench.hear('10.0.0.2', accuse('dead', 'me', 0xfff0_0000));
  bench.alive('me', 1, { ...me, incarnation: 0x7fff_ffff, meta: Uint8Array.of(9) });
  test.equal(own(), 62, 'no number that leads to the end');
  test.equal(bench.count('drop:incarnation-far'), 3);
  test.end();
});

void t.test('there is no last word: refutations go on behind the highest number', (test) => {
  const [bench, other] = [new Bench(), new Bench({ name: 'other', addr: { ip: '10.0.0.2', port: 7946 } })];
  other.alive('me', 1);
  let rounds = 0;
  for (let own = 1; rounds < 2; own = bench.swim.self.incarnation) {
    const lie = accuse('dead', 'me', (own + 50_000) % 2 ** 32);
    bench.hear('10.0.0.3', lie);
    other.hear('10.0.0.3', lie);
    if (other.stateOf('me') !== 'dead') break;
    if (bench.swim.self.incarnation < own) rounds += 1;
    other.alive('me', 1, { incarnation: bench.swim.self.incarnation });
    if (other.stateOf('me') !== 'alive') break;
    bench.forget();
    other.forget();
  }
  test.equal(rounds, 2);
  test.end();
});

void t.test('a number far from what is known counts only from the node itself', (test) => {
  const bench = new Bench();
  bench.alive('a', 2, { incarnation: 7 });
  bench.alive('a', 2, { incarnation: 0xffff_ffff, meta: Uint8Array.of(9) });
  bench.alive('a', 2, { incarnation: 0x7fff_ffff, meta: Uint8Array.of(9) });
  bench.hear('10.0.0.9', accuse('dead', 'a', 0xffff_ffff), accuse('dead', 'a', 0xfff0_0000));
  bench.hear('10.0.0.9', accuse('suspect', 'a', 70_000));
  test.match(bench.swim.member('a'), { state: 'alive', incarnation: 7, meta: new Uint8Array(0) });
  test.equal(bench.count('drop:incarnation-far'), 3);
  bench.wait(600);
  const asked = bench.actions.filter(({ type }) => type === 'dial');
  test.match(asked, [{ to: { ip: '10.0.0.2', port: 7946 } }], 'it is asked, once');

  const node = (incarnation: number): PushPullNode => ({
    name: 'a',
    addr: Uint8Array.of(10, 0, 0, 2),
    port: 7946,
    meta: Uint8Array.of(1),
    incarnation,
    state: 0,
    vsn: Uint8Array.of(1, 5, 2, 0, 0, 0),
  });
  const rest = { type: 'pushPull', join: false, signedInts: false, userState: new Uint8Array(0) } as const;
  bench.dialIn(2, '10.0.0.9', { ...rest, nodes: [node(0x7fff_ffff)] });
  test.equal(bench.swim.member('a')?.incarnation, 7, 'said from elsewhere');
  bench.dialIn(4, '10.0.0.2', { ...rest, nodes: [node(0x7fff_ff00)] });
  test.match(bench.swim.member('a'), { incarnation: 0x7fff_ff00, meta: Uint8Array.of(1) }, 'itself: up');
  bench.dialIn(6, '10.0.0.2', { ...rest, nodes: [{ ...node(1), name: 'b' }, node(80_000)] });
  test.equal(bench.swim.member('a')?.incarnation, 80_000, 'and down, wherever in its list');
  test.end();
});

void t.test('doubts are bounded: few members at a time, each once in five seconds', (test) => {
  const bench = new Bench();
  for (let i = 2; i < 22; i++) bench.alive(`n${i}`, i);
  for (let round = 0; round < 5; round++) {
    for (let i = 2; i < 22; i++) bench.hear('10.0.0.9', accuse('dead', `n${i}`, 1_000_000));
  }
  bench.wait(600);
  test.equal(bench.count('doubt-merge'), 8);
  bench.wait(5000);
  bench.hear('10.0.0.9', accuse('dead', 'n2', 1_000_000));
  bench.wait(600);
  test.equal(bench.count('doubt-merge'), 9);
  test.end();
});

void t.test('suspect, confirmed by others, dead; the sooner the more confirm', (test) => {
  for (const [confirmers, endMs] of [
    [[], 24_000],
    [['b'], 11_381],
    [['b', 'b'], 11_381],
    [['b', 'c'], 4000],
    [['b', 'c', 'd'], 4000],
  ] as const) {
    // Nobody here answers pings, so our own detector is put to sleep.
    const bench = new Bench({ probeIntervalMs: 1000, indirectChecks: 0 });
    for (const [i, name] of ['a', 'b', 'c', 'd', 'e'].entries()) bench.alive(name, i + 2);
    bench.hear('10.0.0.3', accuse('suspect', 'a', 1, 'x'));
    test.equal(bench.stateOf('a'), 'suspect');
    const startMs = bench.now;
    for (const name of confirmers) bench.hear('10.0.0.3', accuse('suspect', 'a', 1, name));
    while (bench.stateOf('a') === 'suspect' && bench.now < 60_000) {
      bench.wait(1);
      // Keep the prober from confirming by itself: answer for everybody.
      for (const { seqNo, sourcePort } of bench.said('ping')) {
        if (sourcePort !== 0) bench.hear('10.0.0.99', { type: 'ack', seqNo, payload: null });
      }
      bench.sent.length = 0;
    }
    test.equal(bench.stateOf('a'), 'dead');
    const tookMs = bench.now - startMs;
    test.ok(Math.abs(tookMs - endMs) <= 2, `${confirmers.join()}: ${tookMs} of ${endMs} ms`);
  }
  test.end();
});

void t.test('suspect: refuted by a higher incarnation only', (test) => {
  const bench = new Bench();
  bench.alive('a', 2);
  bench.hear('10.0.0.3', accuse('suspect', 'nobody', 1), accuse('suspect', 'a', 0));
  test.equal(bench.stateOf('a'), 'alive');
  bench.hear('10.0.0.3', accuse('suspect', 'a', 1));
  bench.alive('a', 2);
  test.equal(bench.stateOf('a'), 'suspect');
  bench.alive('a', 2, { incarnation: 2 });
  test.equal(bench.stateOf('a'), 'alive');
  test.same(types(bench), ['join', 'suspect', 'alive']);
  test.end();
});

void t.test('dead and left, and back', (test) => {
  const bench = new Bench();
  bench.alive('a', 2);
  bench.hear('10.0.0.3', accuse('dead', 'a', 1));
  bench.hear('10.0.0.3', accuse('dead', 'a', 1));
  bench.hear('10.0.0.3', accuse('suspect', 'a', 1));
  test.equal(bench.stateOf('a'), 'dead');
  bench.alive('a', 2, { incarnation: 2 });
  bench.hear('10.0.0.2', accuse('dead', 'a', 2, 'a'));
  test.equal(bench.stateOf('a'), 'left');
  bench.alive('a', 2, { incarnation: 3 });
  test.same(types(bench), ['join', 'dead', 'join', 'left', 'join']);
  test.end();
});

void t.test('leaving: said to others, alive of us ignored, silent afterwards', (test) => {
  const bench = new Bench();
  bench.alive('a', 2);
  bench.forget();
  bench.swim.leave(bench.now);
  bench.poll();
  bench.wait(1000);
  test.match(bench.said('dead')[0], { node: 'me', from: 'me', incarnation: 1 });
  test.ok(types(bench).includes('leave-done'));
  bench.alive('me', 1, { incarnation: 9 });
  test.equal(bench.swim.self.state, 'left');
  bench.forget();
  bench.wait(120_000);
  test.same(bench.said('ping'), []);
  test.same(bench.actions, []);
  const alone = new Bench();
  alone.swim.leave(alone.now);
  alone.poll();
  test.same(types(alone), ['leave-done'], 'nobody to tell');
  test.end();
});

void t.test('a change of meta is a new incarnation; too long a meta is refused', (test) => {
  const bench = new Bench();
  bench.swim.setMeta(bench.now, Uint8Array.of(5));
  test.equal(bench.swim.self.incarnation, 2);
  test.throws(() => bench.swim.setMeta(bench.now, new Uint8Array(513)), RangeError);
  test.throws(() => new Bench({ name: '' }), RangeError);
  test.throws(() => new Bench({ addr: { ip: 'host', port: 1 } }), RangeError);
  test.throws(() => new Bench({ addr: { ip: '10.0.0.1', port: 0 } }), RangeError);
  test.throws(() => new Bench({ meta: new Uint8Array(513) }), RangeError);
  test.end();
});

void t.test('the dead are forgotten after a while, and no sooner', (test) => {
  const bench = new Bench();
  bench.alive('a', 2);
  bench.hear('10.0.0.3', accuse('dead', 'a', 1));
  bench.wait(29_000);
  test.equal(bench.stateOf('a'), 'dead');
  bench.wait(5000);
  test.equal(bench.stateOf('a'), undefined);
  test.equal(bench.swim.members().length, 1, 'ourselves');
  test.end();
});
