/** Path probes inside sessions (issue 5.5): nothing without a session, and nothing believed that the session does not vouch for. */
import t from 'tap';
import { tunnelCryptoReady } from '../../../agent/crypto/tunnel-crypto.ts';
import type { PathTransmit } from '../../../proto/pmtu/paths.ts';
import { Paths } from '../../../proto/pmtu/paths.ts';
import { clearAnswer } from '../../../proto/pmtu/messages.ts';
import { SeededRng } from '../../../proto/rng.ts';
import { SEALED_PROBE_BYTES } from '../../../proto/tunnel/probes.ts';
import { TunnelHost, pskOf } from '../tunnel/host.ts';
import { Link } from './link.ts';

await tunnelCryptoReady;

const A = { ip: '192.0.2.1', port: 4789 };
const B = { ip: '192.0.2.2', port: 4789 };

function hosts(): { a: TunnelHost; b: TunnelHost } {
  const a = new TunnelHost({ name: 'a', addr: A, seed: 1 });
  const b = new TunnelHost({ name: 'b', addr: B, seed: 2 });
  for (const host of [a, b]) host.tunnels.setPsks(0, [pskOf(9)]);
  a.setPeer(0, b);
  b.setPeer(0, a);
  return { a, b };
}

/** Lets both talk until each sends on a session. */
function connect({ a, b }: { a: TunnelHost; b: TunnelHost }): void {
  for (let now = 0; now < 2_000; now += 10) {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      from.tunnels.handleDeadline(now);
      for (const { bytes } of from.poll()) to.handle(now, bytes.slice(), from.addr);
    }
  }
}

void t.test('5.5: without a session nothing goes out; with one the path is found as ever', async (sub) => {
  const pair = hosts();
  const link = new Link({ mtu: 1400, seals: [pair.a.tunnels, pair.b.tunnels] });
  link.isBusy = true;
  link.run(5_000);
  sub.equal(link.sent.packets, 0);
  sub.equal(link.path.mtu, 1500);
  connect(pair);
  link.run(6_000);
  sub.equal(link.path.mtu, 1400);
  sub.equal(link.sent.largestAnswer, SEALED_PROBE_BYTES);
  link.mtu = 1280;
  const took = link.run(10_000, () => link.path.mtu <= 1280);
  sub.ok(took < 1_500, `${took} ms`);
});

void t.test(
  '5.5: probes and answers that the session does not vouch for are refused, bit by bit',
  async (sub) => {
    const pair = hosts();
    connect(pair);
    const of = (host: TunnelHost, seed: number): Paths => {
      const paths = new Paths({ rng: new SeededRng(seed), seal: () => host.tunnels });
      const addr = host === pair.a ? B : A;
      paths.setPeer(0, host === pair.a ? 'b' : 'a', { addr, linkBytes: 1500, isSealed: true });
      return paths;
    };
    const a = of(pair.a, 1);
    const b = of(pair.b, 2);
    const all = (paths: Paths): PathTransmit[] => {
      const out: PathTransmit[] = [];
      for (let next = paths.pollTransmit(); next !== undefined; next = paths.pollTransmit()) out.push(next);
      return out;
    };
    a.handleDeadline(200);
    const probes = all(a).map(({ bytes }) => bytes);
    sub.ok(probes.length >= 3);
    const hand = (to: Paths, bytes: Uint8Array, from = A): void => {
      to.handleDatagram(200, bytes.slice(0, 64), bytes.length, from);
    };
    const [first = new Uint8Array(), ...others] = probes;
    for (let bit = 0; bit < SEALED_PROBE_BYTES * 8; bit++) {
      const forged = first.slice();
      forged[bit >> 3] = (forged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      hand(b, forged);
    }
    sub.ok(
      all(b).every(({ bytes }) => bytes.length < first.length),
      'at most a clear question was asked',
    );
    hand(b, first);
    const [answer] = all(b);
    const answered = answer?.bytes ?? new Uint8Array();
    sub.equal(answered.length, SEALED_PROBE_BYTES);
    for (let bit = 0; bit < SEALED_PROBE_BYTES * 8; bit++) {
      const forged = answered.slice();
      forged[bit >> 3] = (forged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      hand(a, forged, B);
    }
    hand(a, first, B);
    hand(a, clearAnswer(1_472, 1), B);
    sub.equal(a.path('b')?.proven, undefined, 'nothing of this was believed');
    hand(a, answered, B);
    sub.equal(a.path('b')?.proven, first.length + 28);
    const before = a.counters().get('drop:unknown-token') ?? 0;
    hand(a, answered, B);
    sub.equal(a.counters().get('drop:unknown-token'), before + 1, 'said again it means nothing');
    for (const probe of others) hand(b, probe);
    for (const { bytes } of all(b)) hand(a, bytes, B);
    sub.equal(a.path('b')?.mtu, 1500);
  },
);
