import t from 'tap';
import { tunnelCryptoReady } from '../../agent/crypto/tunnel-crypto.ts';
import { SeededRng, below } from '../../proto/rng.ts';
import { random } from '../../proto/tunnel/crypto.ts';
import { TunnelHost, agree, pskOf } from '../proto/tunnel/host.ts';

/**
 * Handshakes and keepalives of two hosts, broken, cut, mixed and noise: nothing throws, nothing is answered with more than
 * came, memory stays bounded, and both hosts still come together. OVERLAYD_FUZZ_RUNS, OVERLAYD_SEED.
 */
t.setTimeout(180_000);
const RUNS = Number(process.env['OVERLAYD_FUZZ_RUNS'] ?? 20_000);
const SEED = Number(process.env['OVERLAYD_SEED'] ?? 17);
await tunnelCryptoReady;

void t.test('whatever comes', (test) => {
  const rng = new SeededRng(SEED).fork('tunnel');
  const timing = { rekeyIntervalMs: 3_000, dhPerSecond: 200 };
  const a = new TunnelHost({ name: 'a', addr: { ip: '10.0.0.1', port: 4789 }, seed: SEED, timing });
  const b = new TunnelHost({ name: 'b', addr: { ip: '10.0.0.2', port: 4789 }, seed: SEED + 1, timing });
  for (const host of [a, b]) host.tunnels.setPsks(0, [pskOf(1), pskOf(2)]);
  a.setPeer(0, b);
  b.setPeer(0, a);
  const seen: Uint8Array[] = [new Uint8Array(32)];
  let now = 0;
  const deliver = (isFaithful: boolean): void => {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      from.tunnels.handleDeadline(now);
      for (const { bytes } of from.poll()) {
        seen[below(rng, 64)] = bytes.slice();
        if (isFaithful || below(rng, 3) > 0) to.handle(now, bytes, from.addr);
      }
    }
  };
  for (let run = 0; run < RUNS; run++) {
    now += below(rng, 20);
    deliver(false);
    const [to, from] = below(rng, 2) === 0 ? [a, b] : [b, a];
    const bytes = broken(rng, seen);
    try {
      to.tunnels.handleDatagram(now, bytes, from.addr);
    } catch (error) {
      throw new Error(`seed ${SEED}, run ${run}: ${Buffer.from(bytes).toString('hex')}`, { cause: error });
    }
    if (to.installed.size > 8) test.fail(`seed ${SEED}, run ${run}: ${to.installed.size} sessions`);
  }
  for (let i = 0; i < 4_000 && !agree(a, b); i++) {
    now += 20;
    deliver(true);
  }
  test.ok(agree(a, b), `seed ${SEED}: they come together`);
  const drops = [...a.tunnels.counters()].filter(([name]) => name.startsWith('drop:'));
  test.comment(JSON.stringify(Object.fromEntries(drops)));
  for (const reason of ['malformed', 'unknown-psk', 'mac1', 'unknown-index', 'keepalive', 'repeated'])
    test.ok(a.count(`drop:${reason}`) + b.count(`drop:${reason}`) > 0, reason);
  test.end();
});

/** One of the messages of late, with a few bits or its size changed, as it was, or noise with a header that is right. */
function broken(rng: SeededRng, seen: readonly (Uint8Array | undefined)[]): Uint8Array {
  const original = seen[below(rng, seen.length)] ?? new Uint8Array(152);
  const kind = below(rng, 6);
  if (kind === 0) return original.slice();
  if (kind === 1) return original.slice(0, below(rng, original.length + 1));
  const bytes = new Uint8Array(below(rng, 12) === 0 ? below(rng, 300) : original.length);
  if (kind === 2) {
    bytes.set(random(rng, bytes.length));
    bytes.set(original.subarray(0, Math.min(8, bytes.length)));
    return bytes;
  }
  bytes.set(original.subarray(0, bytes.length));
  for (let i = 1 + below(rng, 3); i > 0 && bytes.length > 0; i--) {
    const at = below(rng, bytes.length);
    bytes[at] = bytes[at]! ^ (1 << below(rng, 8));
  }
  return bytes;
}
