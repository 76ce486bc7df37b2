import t from 'tap';
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
    bench.hear('10.0.0.9', accuse('dead', 'a', 1, 'a'));
    test.equal(bench.stateOf('a'), 'left');
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
  bench.hear('10.0.0.2', accuse('dead', 'me', 0xffff_ffff));
  test.equal(own(), 0xffff_ffff, 'no wrap to zero');
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
