import { inspect } from 'node:util';
import t from 'tap';
import type { Test } from 'tap';
import { tunnelCryptoReady } from '../../../agent/crypto/tunnel-crypto.ts';
import type { Address } from '../../../proto/env.ts';
import { TYPE } from '../../../proto/tunnel/messages.ts';
import type { TunnelTiming } from '../../../proto/tunnel/options.ts';
import { TunnelHost, agree, pskOf, staticKeysOf } from './host.ts';

await tunnelCryptoReady;

const ADDR_A: Address = { ip: '10.0.0.1', port: 4789 };
const ADDR_B: Address = { ip: '10.0.0.2', port: 4789 };

/** Two hosts on a line that takes a millisecond; only A knows when to begin, so that the roles are sure. */
class Line {
  readonly a: TunnelHost;
  readonly b: TunnelHost;
  now = 0;
  /** False loses it. */
  filter: (from: TunnelHost, bytes: Uint8Array) => boolean = () => true;
  readonly seen: { readonly from: TunnelHost; readonly bytes: Uint8Array }[] = [];

  constructor(timing: Partial<TunnelTiming> = {}) {
    this.a = new TunnelHost({ name: 'a', addr: ADDR_A, seed: 1, timing });
    this.b = new TunnelHost({ name: 'b', addr: ADDR_B, seed: 2, timing });
    this.a.tunnels.setPsks(0, [pskOf(9)]);
    this.b.tunnels.setPsks(0, [pskOf(9)]);
    this.b.setPeer(0, this.a);
    // B's own attempt would be the first otherwise.
    this.b.poll();
    this.a.setPeer(0, this.b);
  }

  run(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      this.#deliver();
      const next = Math.min(this.a.tunnels.nextDeadline(), this.b.tunnels.nextDeadline());
      if (next > end) break;
      this.now = Math.max(this.now, next);
      this.a.tunnels.handleDeadline(this.now);
      this.b.tunnels.handleDeadline(this.now);
    }
    this.now = end;
  }

  #deliver(): void {
    for (let wasIdle = false; !wasIdle;) {
      wasIdle = true;
      for (const [from, to] of [
        [this.a, this.b],
        [this.b, this.a],
      ] as const) {
        for (const { bytes } of from.poll()) {
          wasIdle = false;
          this.seen.push({ from, bytes });
          this.now += 1;
          if (this.filter(from, bytes)) to.handle(this.now, bytes.slice(), from.addr);
        }
      }
    }
  }
}

const types = (line: Line): string =>
  line.seen.map(({ from, bytes }) => `${from.name}${bytes[0]}:${bytes.length}`).join(' ');

void t.test(
  'a session: three messages and an answer; the responder sends on it only after it heard',
  (test) => {
    const line = new Line();
    line.filter = (_, bytes) => bytes[0] !== TYPE.keepalive;
    line.run(100);
    const [initiator, responder] = line.a.inUse.size === 1 ? [line.a, line.b] : [line.b, line.a];
    test.same(
      initiator.events.map(({ type }) => type),
      ['install', 'use'],
    );
    test.same(
      responder.events.map(({ type }) => type),
      ['install'],
      'it receives, no more',
    );
    test.equal(responder.seal(line.now, initiator.name, 'too early'), undefined);
    const datagram = initiator.seal(line.now, responder.name, 'first')!;
    responder.handle(line.now, datagram, initiator.addr);
    test.same(responder.received, ['first']);
    responder.poll();
    test.same(
      responder.events.map(({ type }) => type),
      ['install', 'use'],
      'a data message is as good as a keepalive',
    );
    initiator.handle(line.now, responder.seal(line.now, initiator.name, 'second')!, responder.addr);
    test.same(initiator.received, ['second']);
    test.ok(agree(line.a, line.b));
    test.match(line.a.status(line.now, 'b'), { state: 'established', rekeys: 0 });
    test.end();
  },
);

void t.test('nothing is answered with more bytes than came', (test) => {
  const line = new Line({ rekeyIntervalMs: 5_000 });
  line.run(30_000);
  test.match(types(line), /1:152 \w2:80 \w5:32 \w5:32/);
  const size = (type: number): Set<number> =>
    new Set(line.seen.filter(({ bytes }) => bytes[0] === type).map(({ bytes }) => bytes.length));
  test.same([...size(1), ...size(2), ...size(5)], [152, 80, 32]);
  test.ok(line.a.count('session:rekey') >= 5);
  test.end();
});

void t.test('by count: rekeyed at the one limit, ended at the other', (test) => {
  const line = new Line({ rekeyAfterMessages: 50, rejectAfterMessages: 80 });
  line.run(500);
  test.ok(agree(line.a, line.b));
  const first = line.a.inUse.get('b');
  for (let i = 0; i < 49; i++) line.a.seal(line.now, 'b', 'x');
  line.run(10_000);
  test.equal(line.a.inUse.get('b'), first);
  line.a.seal(line.now, 'b', 'x');
  line.run(10_000);
  test.not(line.a.inUse.get('b'), first, 'another');
  test.equal(line.a.count('session:rekey'), 1);
  line.run(20_000);
  test.equal(line.a.installed.size, 1);

  line.filter = () => false;
  for (let i = 0; i < 80; i++) line.a.seal(line.now, 'b', 'x');
  line.a.poll();
  test.equal(line.a.inUse.size, 0, 'nobody answers, but that many it must not be');
  test.equal(line.a.seal(line.now, 'b', 'x'), undefined);
  test.equal(line.a.count('session:used-up'), 1);
  line.filter = () => true;
  line.run(40_000);
  test.ok(agree(line.a, line.b));
  test.end();
});

void t.test('another interval counts for the session in use too', (test) => {
  const line = new Line({ rekeyIntervalMs: 3_600_000 });
  line.run(60_000);
  test.equal(line.a.status(line.now, 'b').rekeys, 0);
  for (const { tunnels } of [line.a, line.b]) tunnels.setRekeyInterval(10_000);
  line.run(1_000);
  test.equal(line.a.status(line.now, 'b').rekeys, 1, 'it is older than that already');
  line.run(60_000);
  const { rekeys } = line.a.status(line.now, 'b');
  test.ok(rekeys >= 6 && rekeys <= 9, `${rekeys} more in a minute`);
  for (const { tunnels } of [line.a, line.b]) tunnels.setRekeyInterval(3_600_000);
  line.run(60_000);
  test.ok(line.a.status(line.now, 'b').rekeys <= rekeys + 1, 'and a longer one');
  test.end();
});

void t.test('a session is not used for ever when the other side is gone', (test) => {
  const line = new Line({ rekeyIntervalMs: 1_000_000 });
  line.run(1_000);
  test.ok(agree(line.a, line.b));
  line.filter = () => false;
  line.run(60_000);
  test.match(line.a.status(line.now, 'b'), { state: 'silent', lastError: 'no answer' });
  const before = line.seen.length;
  line.run(600_000);
  test.ok(line.seen.length - before < 2 * 30, 'at a slow pace');
  test.ok(line.seen.length - before > 2 * 15);
  line.run(2_000_000);
  test.match(line.a.status(line.now, 'b'), { state: 'handshake', ageMs: undefined });
  test.equal(line.a.installed.size, 0);
  test.equal(line.a.count('session:too-old'), 1);
  line.filter = () => true;
  line.run(40_000);
  test.ok(agree(line.a, line.b), 'and comes back by itself');
  test.end();
});

void t.test('keys: wiped at the end, shown nowhere', (test) => {
  const line = new Line();
  line.run(500);
  const install = line.a.events.find((event) => event.type === 'install')!;
  if (install.type !== 'install') throw new Error('no session');
  const bytes = install.sendKey.reveal();
  const hex = Buffer.from(bytes).toString('hex');
  const shown = [
    JSON.stringify(install),
    inspect(install, { showHidden: true, depth: 9 }),
    inspect(line.a.tunnels, { showHidden: true, depth: 9 }),
    JSON.stringify(line.a.tunnels),
    String(install.sendKey),
  ].join('\n');
  test.notMatch(shown, hex);
  test.notMatch(shown, [...bytes.subarray(0, 6)].join(', '));
  test.notMatch(shown, [...bytes.subarray(0, 6)].join(','));
  line.a.tunnels.removePeer('b');
  test.ok(bytes.every((byte) => byte === 0));
  test.ok(install.receiveKey.reveal().every((byte) => byte === 0));
  line.a.poll();
  test.equal(line.a.installed.size, 0);
  test.equal(line.a.tunnels.nextDeadline(), Infinity, 'nothing goes on');
  test.same(line.a.tunnels.sessions(0), []);
  line.a.tunnels.removePeer('b');
  test.end();
});

void t.test('a session that ended before anyone saw it was never there', (test) => {
  const line = new Line();
  line.filter = () => false;
  line.run(30);
  for (const { from, bytes } of line.seen)
    (from === line.a ? line.b : line.a).tunnels.handleDatagram(line.now, bytes, from.addr);
  const answered = [line.a, line.b].filter((host) => host.count('out:response') === 1);
  test.equal(answered.length, 1, 'one of them gives way');
  const [host] = answered;
  host!.tunnels.removePeer(host === line.a ? 'b' : 'a');
  test.equal(host!.tunnels.pollSession(), undefined);
  test.end();
});

void t.test(
  'setPeer: nothing new changes nothing; another key, or another name for it, is another peer',
  (test) => {
    const line = new Line();
    line.run(500);
    const before = line.a.events.length;
    line.a.setPeer(line.now, line.b);
    line.run(100);
    test.equal(line.a.events.length, before);
    const addr = line.b.addr;
    line.a.tunnels.setPeer(line.now, 'b', { staticKey: staticKeysOf(77).publicKey, addr });
    line.a.poll();
    test.equal(line.a.installed.size, 0, 'the sessions were the other’s');
    line.a.setPeer(line.now, line.b);
    line.run(5_000);
    test.ok(agree(line.a, line.b));
    line.a.tunnels.setPeer(line.now, 'b2', { staticKey: line.b.staticKeys.publicKey, addr });
    test.same(
      line.a.tunnels.sessions(line.now).map(({ peer }) => peer),
      ['b2'],
    );
    test.equal(
      line.a.tunnels.setPeer(line.now, 'me', { staticKey: line.a.staticKeys.publicKey, addr }),
      false,
    );
    test.equal(line.a.count('peer:own-key'), 1);
    test.throws(
      () => line.a.tunnels.setPeer(line.now, 'c', { staticKey: new Uint8Array(31), addr }),
      /32 bytes/,
    );
    test.end();
  },
);

void t.test('a worthless static key is said, and tried no more often than a dead peer', (test) => {
  const line = new Line();
  line.a.tunnels.setPeer(0, 'zero', { staticKey: new Uint8Array(32), addr: { ip: '10.0.0.3', port: 1 } });
  line.run(300_000);
  test.equal(line.a.status(line.now, 'zero').lastError, 'unusable identity');
  test.ok(line.a.count('handshake:unusable') < 15);
  test.end();
});

void t.test(
  'who is not a peer, or not where it should be, is not answered; both sides can see why',
  (test) => {
    const line = new Line();
    const stranger = new TunnelHost({ name: 's', addr: ADDR_B, seed: 3 });
    stranger.tunnels.setPsks(0, [pskOf(9)]);
    stranger.setPeer(0, line.a);
    stranger.tunnels.handleDeadline(50);
    const [message] = stranger.poll();
    line.a.handle(60, message!.bytes, ADDR_B);
    test.equal(line.a.count('drop:unknown-identity'), 1);
    test.equal(line.a.status(60, 'b').lastError, 'identity unknown', 'the peer at that address');
    line.a.handle(60, message!.bytes, { ip: '10.7.7.7', port: 4789 });
    test.equal(line.a.count('drop:unknown-source'), 1);

    const third = new TunnelHost({ name: 't', addr: { ip: '10.0.0.3', port: 4789 }, seed: 4 });
    line.a.setPeer(60, third);
    line.b.tunnels.handleDeadline(50);
    const initiation = line.b.poll().find(({ bytes }) => bytes[0] === 1)!;
    line.a.handle(60, initiation.bytes, third.addr);
    test.equal(line.a.count('drop:wrong-address'), 1);
    test.equal(line.a.status(60, 'b').lastError, 'wrong address');
    test.ok(
      line.a.poll().every(({ bytes }) => bytes[0] === 1),
      'no answer',
    );
    line.a.handle(61, initiation.bytes, ADDR_B);
    test.equal(line.a.count('out:response'), 1, 'from the right one it is still good');
    test.end();
  },
);

void t.test(
  'every touched byte of every message is refused, and what was not touched still works',
  (test) => {
    const kinds = new Map<number, number>();
    for (const type of [TYPE.initiation, TYPE.response, TYPE.keepalive]) touch(test, type, kinds);
    test.same([...kinds.keys()], [1, 2, 5]);
    test.end();
  },
);

function touch(test: Test, type: number, kinds: Map<number, number>): void {
  const line = new Line();
  line.filter = (from, bytes) => {
    if (bytes[0] !== type || kinds.has(type)) return true;
    const to = from === line.a ? line.b : line.a;
    const before = [to.events.length, to.count('out:response'), to.installed.size].join(' ');
    for (let i = 0; i < bytes.length; i++) {
      const touched = bytes.slice();
      touched[i] = touched[i]! ^ 0x10;
      // mac2 is looked at only under load.
      if (type === TYPE.initiation && i >= 136) continue;
      to.handle(line.now, touched, from.addr);
      const answers = to.poll().filter((answer) => answer.bytes[0] !== TYPE.initiation);
      if (answers.length > 0) test.fail(`type ${type}, byte ${i}: answered`);
    }
    kinds.set(type, bytes.length);
    test.equal([to.events.length, to.count('out:response'), to.installed.size].join(' '), before);
    return true;
  };
  line.run(20_000);
  test.ok(agree(line.a, line.b), `type ${type}`);
}
