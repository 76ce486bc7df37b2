/**
 * memberlist's scaling formulas (gossip.md 2.6, 2.9, 2.10). Deterministic over engines: logarithms are made of IEEE
 * multiplications only, since `Math.log10` may differ in the last bit between versions of V8.
 */

/** log10 for n ≥ 1, to about 1e-12. Exact for powers of ten. */
export function log10(n: number): number {
  let whole = 0;
  let x = n;
  while (x >= 10) {
    x /= 10;
    whole += 1;
  }
  let fraction = 0;
  for (let bit = 0.5; bit > 1e-12; bit /= 2) {
    x *= x;
    if (x >= 10) {
      x /= 10;
      fraction += bit;
    }
  }
  return whole + fraction;
}

/** Shortest time a suspicion lasts among `n` known nodes, ms. */
export function suspicionMinMs(mult: number, n: number, probeIntervalMs: number): number {
  const thousandths = Math.floor(Math.max(1, log10(Math.max(1, n))) * 1000);
  return (mult * thousandths * probeIntervalMs) / 1000;
}

/** Confirmations wanted before a suspicion lasts only the minimum; 0 when there are not enough nodes for it. */
export function confirmationsWanted(mult: number, n: number): number {
  const wanted = mult - 2;
  return n - 2 < wanted ? 0 : wanted;
}

/** How long a suspicion lasts from its start, after `confirmed` of `wanted` independent confirmations, ms. */
export function suspicionTimeoutMs(minMs: number, maxMs: number, wanted: number, confirmed: number): number {
  if (wanted < 1) return minMs;
  const share = log10(confirmed + 1) / log10(wanted + 1);
  return Math.max(minMs, Math.floor(maxMs - (maxMs - minMs) * share));
}

/** Packets that a broadcast goes out in: mult × ceil(log10(n + 1)), and that logarithm is n's count of digits. */
export function retransmitLimit(mult: number, n: number): number {
  let digits = 1;
  for (let rest = n; rest >= 10; rest /= 10) digits += 1;
  return mult * digits;
}

/** Nodes per unit of the push/pull scale: a push/pull has about 90 bytes a node, twice an interval and host. */
const PUSH_PULL_NODES = 100;

/**
 * Factor on the push/pull interval: 1 up to 32 nodes, then one more for each doubling begun, as memberlist has it. Above
 * some 600 nodes it grows with their number, so that push/pulls cost a host the same 0.6 kB/s in a cluster of any size.
 */
export function pushPullScale(n: number): number {
  return n <= 32 ? 1 : Math.max(32 - Math.clz32(n - 1) - 5 + 1, n / PUSH_PULL_NODES);
}
