import t from 'tap';
import { tunnelCrypto, tunnelCryptoReady } from '../../../agent/crypto/tunnel-crypto.ts';
import type { Address } from '../../../proto/env.ts';
import { SeededRng } from '../../../proto/rng.ts';
import { random } from '../../../proto/tunnel/crypto.ts';
import { DataPathEcho, ECHO_BYTES, ECHO_TYPE, isEcho } from '../../../proto/tunnel/echo.ts';
import type { EchoState } from '../../../proto/tunnel/echo.ts';
import type { TunnelPsk } from '../../../proto/tunnel/psk.ts';
import { pskOf } from './host.ts';

/** Two hosts and what lies between them: which of the four ways is shut, and how long a datagram takes. */
await tunnelCryptoReady;

const PORT = 4789;
const WALL = 1_800_000_000_000;
const DELAY_MS = 10;

interface Net {
  /** Whether a datagram from the host with this number to this port passes. */
  passes: (from: number, toDataPort: boolean) => boolean;
}

class Pair {
  readonly addrs: Address[] = [
    { ip: '10.0.0.1', port: PORT },
    { ip: '10.0.0.2', port: PORT },
  ];
  readonly echoes: DataPathEcho[];
  readonly net: Net = { passes: () => true };
  now = 0;
  sent = 0;
  readonly #flying: { at: number; to: number; bytes: Uint8Array; from: Address; aside: boolean }[] = [];

  constructor(psks: readonly TunnelPsk[][] = [[], []], clockAheadMs = 0, keyed = false) {
    this.echoes = [0, 1].map((i) => {
      const wall = (): number => WALL + this.now + i * clockAheadMs;
      const echo = new DataPathEcho({ crypto: tunnelCrypto, rng: new SeededRng(i + 1), wall });
      echo.setKeys(psks[i]!, psks[i]!.length === 0);
      echo.setPeers(0, new Map([[`h${1 - i}`, { addr: this.addrs[1 - i]!, keyed }]]));
      return echo;
    });
  }

  run(ms: number): void {
    for (const end = this.now + ms; this.now < end; this.now++) {
      for (const datagram of this.#flying.splice(0)) {
        if (datagram.at > this.now) this.#flying.push(datagram);
        else
          this.echoes[datagram.to]!.handleDatagram(this.now, datagram.bytes, datagram.from, datagram.aside);
      }
      this.echoes.forEach((echo, i) => {
        if (echo.nextDeadline() <= this.now) echo.handleDeadline(this.now);
        for (let out = echo.pollTransmit(); out !== undefined; out = echo.pollTransmit()) {
          this.sent++;
          const toDataPort = out.to.port === PORT;
          if (!this.net.passes(i, toDataPort)) continue;
          const from = { ip: this.addrs[i]!.ip, port: 50_000 + i };
          this.#flying.push({
            at: this.now + DELAY_MS,
            to: 1 - i,
            bytes: out.bytes,
            from,
            aside: !toDataPort,
          });
        }
      });
    }
  }

  state(host: number): EchoState {
    return this.echoes[host]!.status(this.now)[0]!.state;
  }

  count(host: number, name: string): number {
    return this.echoes[host]!.counters().get(name) ?? 0;
  }
}

void t.test(
  '3.6 an open port is found open, with round trip and clock; at rest it costs a datagram in four seconds',
  async (t) => {
    const pair = new Pair([[], []], 2_500);
    pair.run(1_000);
    t.equal(pair.state(0), 'open');
    t.equal(pair.state(1), 'open');
    const [status] = pair.echoes[0]!.status(pair.now);
    t.ok(Math.abs((status?.rttMs ?? 0) - 2 * DELAY_MS) <= 2);
    t.ok(Math.abs((status?.clockAheadMs ?? 0) - 2_500) <= 2, `${status?.clockAheadMs}`);
    const before = pair.sent;
    pair.run(60_000);
    t.ok(pair.sent - before <= 70, `${pair.sent - before} in a minute, requests and answers of both`);
    t.match(pair.echoes[0]!.pollChange(), { peer: 'h1', state: 'open', before: 'unknown' });
    t.equal(pair.echoes[0]!.pollChange(), undefined);
  },
);

void t.test('3.6 a port that is shut is told within ten seconds', async (t) => {
  const pair = new Pair();
  pair.run(5_000);
  // A filter without state before h1: nothing from h0 reaches it.
  pair.net.passes = (from) => from !== 0;
  pair.run(10_000);
  t.equal(pair.state(0), 'silent', 'h0 gets no answer from there');
  t.equal(pair.state(1), 'silent', 'nor does h1');
  pair.net.passes = () => true;
  pair.run(8_000);
  t.equal(pair.state(0), 'open');
  t.equal(pair.state(1), 'open');
});

void t.test('3.6 a firewall that lets answers through: shut here', async (t) => {
  const pair = new Pair();
  // Requests of h1 pass, as does what comes back to where they came from; h0's datagrams to h1's data port do not.
  pair.net.passes = (from, toDataPort) => !(from === 0 && toDataPort);
  pair.run(10_000);
  t.equal(pair.state(1), 'shut-here');
  t.equal(pair.state(0), 'silent');
  const [status] = pair.echoes[0]!.status(pair.now);
  t.ok((status?.heardMs ?? Infinity) < 5_000, 'but h1 is heard');
});

void t.test('loss is no shut port', async (t) => {
  const pair = new Pair();
  const rng = new SeededRng(9);
  pair.net.passes = () => rng.float() > 0.1;
  let shut = 0;
  for (let i = 0; i < 600; i++) {
    pair.run(1_000);
    for (const host of [0, 1]) if (pair.state(host) === 'silent') shut++;
  }
  t.ok(shut < 30, `${shut} of 1200 looks at 19 % loss of pairs`);
});

void t.test('with a cluster key strangers get no answer; any key in common will do', async (t) => {
  const [a, b, c] = [pskOf(1), pskOf(2), pskOf(3)];
  const pair = new Pair(
    [
      [a, b],
      [c, b],
    ],
    0,
    true,
  );
  pair.run(10_000);
  t.equal(pair.state(0), 'open');
  t.equal(pair.state(1), 'open');
  const strangers = new Pair([[a], [c]], 0, true);
  strangers.run(10_000);
  t.equal(strangers.state(0), 'silent');
  t.ok(strangers.count(1, 'drop:mac') > 0);
  t.equal(strangers.count(1, 'out:answer'), 0);
  const clear = new Pair([[], [c]]);
  clear.run(10_000);
  t.equal(clear.count(1, 'out:answer'), 0, 'nor who has no key');
});

void t.test('what came from port 0 is not answered', async (t) => {
  const pair = new Pair();
  pair.net.passes = () => false;
  const asides: Uint8Array[] = [];
  const asker = new DataPathEcho({ crypto: tunnelCrypto, rng: new SeededRng(5), wall: () => WALL });
  asker.setPeers(0, new Map([['h0', { addr: pair.addrs[0]!, keyed: false }]]));
  for (let now = 0; asides.length === 0; now += 100) {
    asker.handleDeadline(now);
    for (let out = asker.pollTransmit(); out !== undefined; out = asker.pollTransmit())
      if (out.bytes[1] === 1) asides.push(out.bytes);
  }
  const answered = (port: number): unknown => {
    pair.echoes[0]!.handleDatagram(1, asides[0]!, { ip: '10.0.0.9', port }, false);
    return pair.echoes[0]!.pollTransmit()?.to;
  };
  t.same(answered(1), { ip: '10.0.0.9', port: 1 });
  t.equal(answered(0), undefined);
  t.equal(pair.count(0, 'drop:source-port'), 1);
});

void t.test('whatever comes: counted, answered with no more than came, and up to a rate', async (t) => {
  const pair = new Pair();
  const echo = pair.echoes[0]!;
  const from = { ip: '10.0.0.2', port: 1 };
  const rng = new SeededRng(3);
  for (let i = 0; i < 10_000; i++) {
    const bytes = random(rng, i % 64);
    if (bytes.length > 0) bytes[0] = 16 + (i & 1);
    echo.handleDatagram(1, bytes, from, (i & 2) === 0);
  }
  t.equal(echo.pollTransmit(), undefined);
  t.equal(pair.count(0, 'drop:malformed') + pair.count(0, 'drop:mac'), 10_000);
  // A request that is right, again and again.
  const other = new DataPathEcho({ crypto: tunnelCrypto, rng, wall: () => WALL });
  other.setPeers(0, new Map([['h0', { addr: pair.addrs[0]!, keyed: false }]]));
  other.handleDeadline(1_000);
  const request = other.pollTransmit()!.bytes;
  t.equal(request.length, ECHO_BYTES);
  t.ok(isEcho(request) && request[0] === ECHO_TYPE.request);
  let answers = 0;
  for (let i = 0; i < 100_000; i++) {
    echo.handleDatagram(1_000 + i / 100, request, from, false);
    for (let out = echo.pollTransmit(); out !== undefined; out = echo.pollTransmit()) {
      answers++;
      if (out.bytes.length > request.length) t.fail('an answer is longer than its request');
    }
  }
  t.ok(answers >= 500 && answers <= 1_100, `${answers} answers in a second`);
  t.ok(pair.count(0, 'drop:rate') > 90_000);
});
