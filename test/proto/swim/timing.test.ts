import t from 'tap';
import {
  confirmationsWanted,
  log10,
  pushPullScale,
  retransmitLimit,
  suspicionMinMs,
  suspicionTimeoutMs,
} from '../../../proto/swim/timing.ts';

/** The LAN values that gossip.md 2.6, 2.9 and 2.10 give. */
void t.test('suspicion lasts as long as Lifeguard says', (test) => {
  for (const [n, minS, maxS] of [
    [1, 4, 24],
    [10, 4, 24],
    [100, 8, 48],
    [1000, 12, 72],
    [10_000, 16, 96],
  ] as const) {
    const minMs = suspicionMinMs(4, n, 1000);
    test.equal(minMs, minS * 1000, `${n} nodes`);
    test.equal(suspicionTimeoutMs(minMs, minMs * 6, 2, 0), maxS * 1000);
    test.equal(suspicionTimeoutMs(minMs, minMs * 6, 2, 2), minS * 1000);
  }
  // 4 × 1.698 (log10 50 cut to three decimals) × 1 s.
  test.equal(suspicionMinMs(4, 50, 1000), 6792);
  // 24 − 20 × ln 2 / ln 3 seconds, floored.
  test.equal(suspicionTimeoutMs(4000, 24_000, 2, 1), 11_381);
  test.equal(suspicionTimeoutMs(4000, 24_000, 0, 0), 4000, 'nobody there to confirm');
  test.end();
});

void t.test('confirmations are wanted where there are enough nodes', (test) => {
  test.same(
    [2, 3, 4, 5].map((n) => confirmationsWanted(4, n)),
    [0, 0, 2, 2],
  );
  test.equal(confirmationsWanted(3, 3), 1);
  test.end();
});

void t.test('transmissions and push/pull scale', (test) => {
  test.same(
    [0, 1, 9, 10, 99, 100, 999, 1000, 9999].map((n) => retransmitLimit(4, n)),
    [4, 4, 4, 8, 8, 12, 12, 16, 16],
  );
  test.same([1, 32, 33, 64, 65, 1000, 10_000].map(pushPullScale), [1, 1, 2, 2, 3, 10, 100]);
  test.end();
});

void t.test('log10 is that of the library to 1e-11, and exact at powers of ten', (test) => {
  for (let n = 1; n < 100_000; n += 37) {
    if (Math.abs(log10(n) - Math.log10(n)) > 1e-11) test.fail(`log10(${n}) = ${log10(n)}`);
  }
  test.same([1, 10, 100, 1000, 10_000].map(log10), [0, 1, 2, 3, 4]);
  test.end();
});
