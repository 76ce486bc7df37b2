import t from 'tap';
import type { Test } from 'tap';
import { tunnelCrypto, tunnelCryptoReady } from '../../../agent/crypto/tunnel-crypto.ts';
import type { Address } from '../../../proto/env.ts';
import { SeededRng } from '../../../proto/rng.ts';
import { concat, random } from '../../../proto/tunnel/crypto.ts';
import { INITIATION_BYTES, TYPE, initiationHeader } from '../../../proto/tunnel/messages.ts';
import { DEFAULT_TIMING } from '../../../proto/tunnel/options.ts';
import { macKeysOf, macOf } from '../../../proto/tunnel/psk.ts';
import { TunnelHost, agree, pskOf } from './host.ts';

/** A hundred thousand initiations in a second, of each kind that there is, against one host with one good session. */
await tunnelCryptoReady;

const FLOOD = 100_000;
const PSK = pskOf(9);
const ADDR_B: Address = { ip: '10.0.0.2', port: 4789 };

function victim(): { a: TunnelHost; b: TunnelHost } {
  const a = new TunnelHost({ name: 'a', addr: { ip: '10.0.0.1', port: 4789 }, seed: 1 });
  const b = new TunnelHost({ name: 'b', addr: ADDR_B, seed: 2 });
  for (const host of [a, b]) host.tunnels.setPsks(0, [PSK]);
  a.setPeer(0, b);
  b.setPeer(0, a);
  a.tunnels.handleDeadline(100);
  exchange(a, b, 100);
  return { a, b };
}

function exchange(a: TunnelHost, b: TunnelHost, now: number): void {
  for (let i = 0; i < 20; i++) {
    for (const { bytes } of a.poll()) b.handle(now, bytes, a.addr);
    for (const { bytes } of b.poll()) a.handle(now, bytes, b.addr);
  }
}

/** What a member of the cluster can make without being one of the peers: right in everything but who it is. */
function forged(rng: SeededRng, macKey: Uint8Array): Uint8Array {
  const body = concat(initiationHeader(rng.u32(), PSK.id), random(rng, 108));
  const covered = concat(body, macOf(tunnelCrypto, macKey, body));
  return concat(covered, new Uint8Array(16));
}

/** Spends `FLOOD` datagrams over a second; what went out meanwhile. */
function flood(a: TunnelHost, from: (i: number) => Address, next: (i: number) => Uint8Array): Uint8Array[] {
  const sent: Uint8Array[] = [];
  for (let i = 0; i < FLOOD; i++) {
    a.handle(1_000 + i / 100, next(i), from(i));
    if (i % 512 === 0) sent.push(...a.poll().map(({ bytes }) => bytes));
  }
  return [...sent, ...a.poll().map(({ bytes }) => bytes)];
}

const spoofed = (i: number): Address => ({ ip: `10.${i & 255}.${(i >> 8) & 255}.7`, port: portOf(i) });
const asPeer = (i: number): Address => ({ ip: ADDR_B.ip, port: portOf(i) });
const portOf = (i: number): number => 1 + (i % 0xffff);

void t.test('from anywhere, without the cluster key: not one Diffie-Hellman, not one byte', (test) => {
  const { a, b } = victim();
  test.ok(agree(a, b));
  const rng = new SeededRng(1);
  const message = new Uint8Array(INITIATION_BYTES);
  const next = (i: number): Uint8Array => {
    message.set(random(rng, message.length));
    message.set(initiationHeader(i, PSK.id));
    return message;
  };
  const before = a.count('dh');
  test.same(flood(a, spoofed, next), []);
  test.equal(a.count('drop:unknown-source'), FLOOD);
  test.same(flood(a, asPeer, next), [], 'from the address of a peer');
  test.equal(a.count('dh'), before);
  // Within the bound on MACs the mac1 is looked at, above it nothing is.
  test.equal(a.count('drop:mac1') + a.count('drop:busy'), FLOOD);
  test.ok(a.count('drop:mac1') <= DEFAULT_TIMING.macsPerSecond * 1.3);
  undisturbed(test, a, b);
  test.end();
});

void t.test(
  'from inside the cluster: Diffie-Hellmans and cookies are bounded, a proven host gets through',
  (test) => {
    const { a, b } = victim();
    const rng = new SeededRng(2);
    const macKey = macKeysOf(tunnelCrypto, PSK, a.staticKeys.publicKey).mac1.reveal();
    const before = a.count('dh');
    const sent = flood(a, asPeer, () => forged(rng, macKey));
    const { dhPerSecond, cookiesPerSecond } = DEFAULT_TIMING;
    const spent = a.count('dh') - before;
    test.comment(`${spent} operations, ${sent.length} cookies`);
    test.ok(spent > 0 && spent <= dhPerSecond * 2.5, 'burst and a second');
    test.ok(sent.length > 0 && sent.length <= cookiesPerSecond * 2.1);
    test.ok(
      sent.every((bytes) => bytes[0] === TYPE.cookie && bytes.length < INITIATION_BYTES),
      'nothing but cookies',
    );
    undisturbed(test, a, b);

    // While it goes on, a host that has restarted comes in by its cookie.
    const again = new TunnelHost({
      name: 'b',
      addr: ADDR_B,
      seed: 3,
      staticByte: 2,
      wallMs: 1_800_000_100_000,
    });
    again.tunnels.setPsks(2_000, [PSK]);
    again.setPeer(2_000, a);
    let now = 2_000;
    for (; now < 12_000 && !agree(a, again); now += 1) {
      for (let i = 0; i < 5; i++) a.handle(now, forged(rng, macKey), asPeer(i));
      again.tunnels.handleDeadline(now);
      for (const { bytes } of again.poll()) a.handle(now, bytes, ADDR_B);
      // Spoofed senders never see their answers.
      for (const { to, bytes } of a.poll()) if (to.port === ADDR_B.port) again.handle(now, bytes, a.addr);
    }
    test.ok(agree(a, again), 'within ten seconds');
    test.ok(again.count('in:cookie') > 0);
    test.comment(`${now - 2_000} ms, ${again.count('in:cookie')} cookies`);
    test.end();
  },
);

void t.test('what came from port 0 gets neither an answer nor a cookie', (test) => {
  const { a } = victim();
  const rng = new SeededRng(7);
  const macKey = macKeysOf(tunnelCrypto, PSK, a.staticKeys.publicKey).mac1.reveal();
  const sent = flood(
    a,
    () => ({ ip: ADDR_B.ip, port: 0 }),
    () => forged(rng, macKey),
  );
  test.same(sent, []);
  test.equal(a.count('drop:source-port'), FLOOD);
  test.end();
});

void t.test('one recorded initiation, again and again: answered once, then a look into a set', (test) => {
  const { a, b } = victim();
  const recorded = new TunnelHost({
    name: 'b',
    addr: ADDR_B,
    seed: 4,
    staticByte: 2,
    wallMs: 1_800_000_100_000,
  });
  recorded.tunnels.setPsks(0, [PSK]);
  recorded.setPeer(0, a);
  recorded.tunnels.handleDeadline(50);
  const [{ bytes } = { bytes: new Uint8Array(0) }] = recorded.poll();
  const before = a.count('dh');
  const sent = flood(a, asPeer, () => bytes);
  test.equal(sent.length, 1);
  test.ok(a.count('dh') - before <= 4);
  test.ok(a.count('drop:repeated') + a.count('drop:busy') === FLOOD - 1);
  undisturbed(test, a, b);
  test.end();
});

void t.test('responses, cookies and keepalives out of nothing cost a look at their index', (test) => {
  const { a, b } = victim();
  const rng = new SeededRng(5);
  const before = a.count('dh');
  for (const [type, size] of [
    [TYPE.response, 80],
    [TYPE.cookie, 56],
    [TYPE.keepalive, 32],
  ] as const) {
    const message = new Uint8Array(size);
    const sent = flood(a, asPeer, () => {
      message.set(random(rng, message.length));
      message.set([type, 0, 0, 0]);
      return message;
    });
    test.same(sent, []);
  }
  test.equal(a.count('dh'), before);
  test.ok(a.count('drop:unknown-index') > FLOOD * 2.9);
  undisturbed(test, a, b);
  test.end();
});

function undisturbed(test: Test, a: TunnelHost, b: TunnelHost): void {
  const { refused, received } = a.data;
  test.ok(agree(a, b), 'the session stands');
  for (let i = 0; i < 10; i++) a.handle(2_000, b.seal(2_000, 'a', `${i}`)!, ADDR_B);
  test.same({ ...a.data, received: received + 10, refused }, a.data, 'and carries');
}
