import t from 'tap';
import { encodeMessage } from '../../../proto/memberlist/messages.ts';
import type { Message } from '../../../proto/memberlist/messages.ts';
import { Bench } from './bench.ts';

/** Pings, relays, broadcasts and user messages of gossip.md 2.8 and 2.9, from both sides. */
const ping = (node: string, seqNo: number, more: object = {}): Message => ({
  type: 'ping',
  node,
  seqNo,
  sourceAddr: null,
  sourceNode: '',
  sourcePort: 0,
  ...more,
});

function until(bench: Bench, isReached: () => boolean): void {
  for (let i = 0; i < 5000 && !isReached(); i++) bench.wait(1);
}

void t.test(
  'a ping is answered to its source address, with the payload for those who understand it',
  (test) => {
    const takesUserData = (meta: Uint8Array): boolean => meta.length > 0;
    const bench = new Bench({ takesUserData }, { ackPayload: () => Uint8Array.of(0xd7) });
    bench.alive('a', 2, { meta: Uint8Array.of(1) });
    bench.forget();
    bench.hear('10.0.0.9', ping('me', 77));
    test.match(bench.sent[0], { to: { ip: '10.0.0.9', port: 7946 } });
    test.match(bench.said('ack')[0], { seqNo: 77, payload: null }, 'a stranger');
    bench.forget();
    bench.hear(
      '10.0.0.9',
      ping('me', 78, { sourceAddr: Uint8Array.of(10, 0, 0, 2), sourcePort: 7000, sourceNode: 'a' }),
    );
    test.match(bench.sent[0], { to: { ip: '10.0.0.2', port: 7000 } });
    test.same(bench.said('ack')[0], { type: 'ack', seqNo: 78, payload: Uint8Array.of(0xd7) });
    bench.forget();
    bench.hear('10.0.0.9', ping('other', 79));
    test.same(bench.sent, []);
    test.equal(bench.count('drop:ping-for-other'), 1);
    test.end();
  },
);

void t.test('who cannot be answered is not heard: datagrams from port 0', (test) => {
  const bench = new Bench();
  const bytes = encodeMessage(ping('me', 77));
  bench.swim.handleDatagram(bench.now, bytes, { ip: '10.0.0.9', port: 0 });
  bench.poll();
  test.same(bench.sent, []);
  test.equal(bench.count('drop:source-port'), 1);
  test.equal(bench.count('ping:in'), 0);
  bench.swim.handleDatagram(bench.now, bytes, { ip: '10.0.0.9', port: 1 });
  bench.poll();
  test.match(bench.sent, [{ to: { ip: '10.0.0.9', port: 1 } }]);
  test.end();
});

void t.test('who is held dead and pings hears of it', (test) => {
  const bench = new Bench();
  bench.alive('a', 2);
  bench.hear('10.0.0.3', { type: 'dead', node: 'a', incarnation: 1, from: 'b' });
  bench.forget();
  bench.hear('10.0.0.2', ping('me', 5, { sourceNode: 'a' }));
  test.match(bench.sent[0]?.messages, [
    { type: 'ack', seqNo: 5 },
    { type: 'dead', node: 'a', incarnation: 1, from: 'me' },
  ]);
  test.end();
});

void t.test('no answer: relays and TCP at half time, a suspicion at the end', (test) => {
  const bench = new Bench();
  for (const [i, name] of ['a', 'b', 'c', 'd', 'e'].entries()) bench.alive(name, i + 2);
  until(bench, () => bench.said('ping').length > 0);
  const [first] = bench.said('ping') as [Extract<Message, { type: 'ping' }>];
  const victim = first.node;
  const startMs = bench.now;
  test.match(first, { sourceNode: 'me', sourcePort: 7946 });
  until(bench, () => bench.said('indirectPing').length > 0);
  test.equal(bench.now - startMs, 500);
  const asks = bench.said('indirectPing');
  test.equal(asks.length, 3);
  for (const ask of asks) test.match(ask, { node: victim, seqNo: first.seqNo, nack: true, port: 7946 });
  test.match(bench.actions.filter(({ type }) => type === 'dial')[0], { to: bench.swim.member(victim)?.addr });
  // Two of the three relays are honest about it.
  for (const host of ['10.0.0.3', '10.0.0.4']) bench.hear(host, { type: 'nack', seqNo: first.seqNo });
  until(bench, () => bench.stateOf(victim) === 'suspect');
  test.equal(bench.now - startMs, 1000);
  test.equal(bench.swim.counters().healthScore, 1, 'one nack was missing');
  test.end();
});

void t.test('an answer by a relay saves it; one over TCP as well', (test) => {
  for (const way of ['relay', 'tcp'] as const) {
    const bench = new Bench();
    for (const [i, name] of ['a', 'b', 'c'].entries()) bench.alive(name, i + 2);
    until(bench, () => bench.said('indirectPing').length > 0);
    const { node, seqNo } = bench.said('ping')[0] as Extract<Message, { type: 'ping' }>;
    if (way === 'relay') {
      bench.hear('10.0.0.77', { type: 'ack', seqNo, payload: null });
    } else {
      const dial = bench.actions.find(({ type }) => type === 'dial') as { id: number };
      bench.swim.handleStreamConnect(bench.now, dial.id);
      const ack = encodeMessage({ type: 'ack', seqNo, payload: null });
      bench.swim.handleStreamData(bench.now, dial.id, ack);
      bench.poll();
    }
    bench.wait(600);
    test.equal(bench.stateOf(node), 'alive', way);
    test.equal(bench.swim.counters().healthScore, 0);
    test.equal(bench.count('udp-broken'), way === 'tcp' ? 1 : 0);
    test.equal(bench.swim.member(node)?.rttMs, undefined, 'only direct answers tell the round trip');
  }
  test.end();
});

void t.test('a suspect is told what is said of it', (test) => {
  const bench = new Bench();
  bench.alive('a', 2);
  bench.hear('10.0.0.3', { type: 'suspect', node: 'a', incarnation: 1, from: 'x' });
  bench.forget();
  until(bench, () => bench.said('ping').length > 0);
  const packet = bench.sent.find(({ messages }) => messages[0]?.type === 'ping');
  test.match(packet?.messages, [
    { type: 'ping', node: 'a' },
    { type: 'suspect', node: 'a', from: 'me' },
  ]);
  test.equal(packet?.bytes[0], 12, 'with a CRC: the target is known');
  test.end();
});

void t.test('relaying: ack in time, nack when late, nothing after', (test) => {
  const bench = new Bench();
  const ask = (seqNo: number, nack: boolean): Message =>
    ({
      ...ping('z', seqNo),
      type: 'indirectPing',
      nack,
      port: 0,
      target: Uint8Array.of(10, 0, 0, 50),
    }) as Message;
  bench.hear('10.0.0.2', ask(41, true));
  test.match(bench.sent[0]?.to, { ip: '10.0.0.50', port: 7946 }, 'our own port when none is given');
  const own = bench.said('ping')[0] as Extract<Message, { type: 'ping' }>;
  test.match(own, { node: 'z', sourceNode: 'me' });
  bench.forget();
  bench.hear('10.0.0.50', { type: 'ack', seqNo: own.seqNo, payload: Uint8Array.of(1) });
  test.same(bench.sent[0]?.to, { ip: '10.0.0.2', port: 7946 });
  test.same(bench.said('ack'), [{ type: 'ack', seqNo: 41, payload: null }]);
  bench.forget();
  bench.hear('10.0.0.2', ask(42, true), ask(43, false));
  const late = bench.said('ping')[0] as Extract<Message, { type: 'ping' }>;
  bench.wait(501);
  test.same(bench.said('nack'), [{ type: 'nack', seqNo: 42 }]);
  bench.forget();
  bench.hear('10.0.0.50', { type: 'ack', seqNo: late.seqNo, payload: null });
  test.same(bench.said('ack'), []);
  test.equal(bench.count('drop:ack-unexpected'), 1);
  for (let i = 0; i < 2000; i++) bench.hear('10.0.0.2', ask(i, false));
  test.equal(bench.count('drop:indirect-busy'), 2000 - 1024);
  test.end();
});

void t.test('broadcasts ride along, in packets of at most 1,400 bytes, user messages last', (test) => {
  const rides = Array.from({ length: 40 }, (_, i) => new Uint8Array(100).fill(i));
  const budgets: number[] = [];
  const broadcasts = (_now: number, overhead: number, budget: number): Uint8Array[] => {
    budgets.push(budget);
    return rides.slice(0, Math.max(0, Math.floor(budget / (100 + overhead))));
  };
  const bench = new Bench({}, { broadcasts });
  for (let i = 2; i < 30; i++) bench.alive(`node-${i}`, i);
  bench.forget();
  bench.wait(5000);
  test.ok(budgets.length > 10);
  for (const { bytes, messages } of bench.sent) {
    test.ok(bytes.length <= 1400 + 5, `${bytes.length} bytes`);
    const firstUser = messages.findIndex(({ type }) => type === 'user');
    if (firstUser >= 0) test.ok(messages.slice(firstUser).every(({ type }) => type === 'user'));
  }
  test.ok(
    bench.sent.some(({ messages }) => messages[0]?.type === 'user'),
    'gossip of user messages alone',
  );
  // n = 29: limit 8 packets for each broadcast.
  const times = bench.said('alive').filter(({ node }) => node === 'node-7').length;
  test.equal(times, 8);
  test.end();
});

void t.test('a delegate that gives too much does not make packets too long', (test) => {
  const bench = new Bench({}, { broadcasts: () => [new Uint8Array(1000), new Uint8Array(1000)] });
  bench.alive('a', 2);
  bench.wait(1000);
  for (const { bytes } of bench.sent) test.ok(bytes.length <= 1405);
  test.ok(bench.count('drop:user-broadcast-too-long') > 0);
  test.end();
});

void t.test(
  'user messages: one packet at most, with a CRC for who knows it; received with the sender’s name',
  (test) => {
    const bench = new Bench();
    bench.alive('a', 2);
    bench.forget();
    bench.swim.sendUser(bench.now, { ip: '10.0.0.2', port: 7946 }, Uint8Array.of(1, 2));
    bench.swim.sendUser(bench.now, { ip: '10.0.0.99', port: 7946 }, new Uint8Array(1394));
    bench.poll();
    test.same(
      bench.sent.map(({ bytes }) => bytes[0]),
      [12, 8],
    );
    test.throws(
      () => bench.swim.sendUser(bench.now, { ip: '10.0.0.2', port: 7946 }, new Uint8Array(1400)),
      RangeError,
    );
    bench.hear('10.0.0.2', { type: 'user', bytes: Uint8Array.of(9) });
    bench.hear('10.0.0.98', { type: 'user', bytes: Uint8Array.of(8) });
    test.match(bench.events, [
      { type: 'user', node: 'a', bytes: Uint8Array.of(9), reliable: false },
      { type: 'user', node: undefined, bytes: Uint8Array.of(8) },
    ]);
    test.end();
  },
);

void t.test('a stall: blames itself, gives suspects time, asks a peer at once', (test) => {
  const bench = new Bench();
  bench.alive('a', 2);
  bench.hear('10.0.0.3', { type: 'suspect', node: 'a', incarnation: 1, from: 'x' });
  bench.alive('b', 3);
  bench.forget();
  bench.now += 60_000;
  bench.swim.handleDeadline(bench.now);
  bench.poll();
  test.equal(bench.stateOf('a'), 'suspect');
  test.equal(bench.count('stall'), 1);
  test.ok(
    bench.actions.some(({ type }) => type === 'dial'),
    'a push/pull',
  );
  test.ok(bench.swim.counters().healthScore >= 1);
  test.end();
});
