import t from 'tap';
import type { Message } from '../../../proto/memberlist/messages.ts';
import { Bench } from './bench.ts';

/** What gossip.md 2.6 to 2.8 say of a member's own health, and where we go beyond Go's memberlist in it (issue 3.3). */
type Said<T extends Message['type']> = Extract<Message, { type: T }>;

const suspect = (node: string, incarnation: number, from: string): Message => ({
  type: 'suspect',
  node,
  incarnation,
  from,
});

function until(bench: Bench, isReached: () => boolean): void {
  for (let i = 0; i < 20_000 && !isReached(); i++) bench.wait(1);
}

/** With five peers, at the moment of its first ping; nobody answers by himself. */
function probing(): { bench: Bench; victim: string; seqNo: number } {
  const bench = new Bench();
  for (const [i, name] of ['a', 'b', 'c', 'd', 'e'].entries()) bench.alive(name, i + 2);
  until(bench, () => bench.said('ping').length > 0);
  const { node, seqNo } = bench.said('ping')[0] as Said<'ping'>;
  return { bench, victim: node, seqNo };
}

void t.test('3.3: a relay says no early enough for the asker, and yes even after that', (test) => {
  const bench = new Bench();
  const ask = { sourceAddr: null, sourceNode: '', sourcePort: 0, port: 7946, nack: true } as const;
  const target = Uint8Array.of(10, 0, 0, 50);
  bench.hear('10.0.0.2', { type: 'indirectPing', node: 'z', seqNo: 42, target, ...ask });
  const { seqNo } = bench.said('ping')[0] as Said<'ping'>;
  bench.wait(399);
  test.same(bench.said('nack'), []);
  bench.wait(2);
  // The asker asked at half of its interval and judges at its end: 500 ms later.
  test.same(bench.said('nack'), [{ type: 'nack', seqNo: 42 }]);
  bench.hear('10.0.0.50', { type: 'ack', seqNo, payload: null });
  test.same(bench.said('ack'), [{ type: 'ack', seqNo: 42, payload: null }], 'it lives after all');
  bench.wait(200);
  test.equal(bench.said('nack').length, 1);
  test.end();
});

void t.test('3.3: a healthy cluster that loses a host stays healthy', (test) => {
  const { bench, victim, seqNo } = probing();
  until(bench, () => bench.said('indirectPing').length > 0);
  const relays = bench.sent.filter(({ messages }) => messages[0]?.type === 'indirectPing');
  test.equal(relays.length, 3);
  bench.wait(400);
  for (const { to } of relays) bench.hear(to.ip, { type: 'nack', seqNo });
  until(bench, () => bench.stateOf(victim) === 'suspect');
  test.equal(bench.swim.counters().healthScore, 0);
  test.end();
});

void t.test('3.3: a nack that comes twice does not stand for a relay that is silent', (test) => {
  const { bench, victim, seqNo } = probing();
  until(bench, () => bench.said('indirectPing').length > 0);
  for (let i = 0; i < 3; i++) bench.hear('10.0.0.3', { type: 'nack', seqNo });
  until(bench, () => bench.stateOf(victim) === 'suspect');
  test.equal(bench.swim.counters().healthScore, 2);
  test.end();
});

void t.test('3.3: who refuted while it was probed is not accused of the life before', (test) => {
  const { bench, victim } = probing();
  const host = bench.swim.member(victim)?.addr.ip ?? '';
  bench.hear('10.0.0.9', suspect(victim, 1, 'x'));
  bench.alive(victim, Number(host.split('.')[3]), { incarnation: 2 });
  bench.wait(1100);
  test.equal(bench.count('probe-failed'), 1);
  test.equal(bench.stateOf(victim), 'alive');
  test.end();
});

void t.test('3.3: the score stretches the probe, up to eight times; answers bring it back', (test) => {
  const bench = new Bench();
  bench.alive('a', 2);
  for (let i = 1; i <= 9; i++) bench.hear('10.0.0.2', suspect('me', bench.swim.self.incarnation, 'x'));
  test.equal(bench.swim.counters().healthScore, 7);
  bench.forget();
  until(bench, () => bench.said('ping').length > 0);
  const startMs = bench.now;
  bench.forget();
  until(bench, () => bench.stateOf('a') === 'suspect');
  test.equal(bench.now - startMs, 8000);
  for (let i = 0; i < 3; i++) {
    // The next probe may have begun the moment that this one ended.
    until(bench, () => bench.said('ping').length > 0);
    const { seqNo } = bench.said('ping').at(-1) as Said<'ping'>;
    bench.forget();
    bench.hear('10.0.0.2', { type: 'ack', seqNo, payload: null });
  }
  test.equal(bench.swim.counters().healthScore, 4);
  test.end();
});

void t.test(
  '3.3: a host that is stopped again and again still sees a death, and its own time counts',
  (test) => {
    const bench = new Bench({ indirectChecks: 0 });
    bench.alive('a', 2);
    bench.hear('10.0.0.3', suspect('a', 1, 'x'));
    // Half a second of life in every five; two are no cluster that could confirm: 4 s of suspicion.
    let livedMs = 0;
    while (bench.stateOf('a') === 'suspect' && livedMs < 20_000) {
      bench.wait(500);
      livedMs += 500;
      bench.now += 4500;
      bench.swim.handleDeadline(bench.now);
      bench.poll();
    }
    test.equal(bench.stateOf('a'), 'dead');
    test.ok(livedMs >= 3500 && livedMs <= 6000, `dead after ${livedMs} ms of its own time`);
    test.ok(bench.count('stall') > 5);
    test.end();
  },
);

void t.test('3.3: confirmations from before a stall are not forgotten', (test) => {
  const bench = new Bench({ indirectChecks: 0 });
  for (const [i, name] of ['a', 'b', 'c', 'd'].entries()) bench.alive(name, i + 2);
  for (const from of ['x', 'b', 'c']) bench.hear('10.0.0.3', suspect('a', 1, from));
  bench.now += 60_000;
  bench.swim.handleDeadline(bench.now);
  bench.poll();
  test.equal(bench.stateOf('a'), 'suspect', 'its refutation may lie in the socket');
  const startMs = bench.now;
  until(bench, () => bench.stateOf('a') === 'dead');
  test.ok(bench.now - startMs <= 4000, `dead after another ${bench.now - startMs} ms`);
  test.end();
});

void t.test('3.3: without Lifeguard all of that is off', (test) => {
  const bench = new Bench({ lifeguard: false });
  bench.alive('a', 2);
  bench.hear('10.0.0.3', suspect('a', 1, 'x'));
  bench.forget();
  until(bench, () => bench.said('ping').length > 0);
  const told = bench.said('suspect').filter(({ from }) => from === 'me');
  test.same(told, [], 'a suspect is not told');
  bench.now += 60_000;
  bench.swim.handleDeadline(bench.now);
  bench.poll();
  test.equal(bench.count('stall'), 0);
  test.equal(bench.stateOf('a'), 'dead');
  test.equal(bench.swim.counters().healthScore, 0);
  test.end();
});
