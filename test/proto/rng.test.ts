import t from 'tap';
import { SeededRng, below, shuffle } from '../../proto/rng.ts';

const draws = (rng: SeededRng, count: number): number[] => Array.from({ length: count }, () => rng.u32());

void t.test('a seed is a sequence; forks are their own and do not draw from the parent', (test) => {
  test.same(draws(new SeededRng(1), 20), draws(new SeededRng(1), 20));
  test.notSame(draws(new SeededRng(1), 20), draws(new SeededRng(2), 20));
  const parent = new SeededRng(1);
  const fork = parent.fork('a');
  draws(fork, 100);
  test.same(draws(parent, 20), draws(new SeededRng(1), 20));
  test.same(draws(new SeededRng(1).fork('a'), 5), draws(parent.fork('a'), 5), 'whenever it is made');
  test.notSame(draws(parent.fork('a'), 5), draws(parent.fork('b'), 5));
  test.end();
});

void t.test('numbers are in range and spread evenly', (test) => {
  const rng = new SeededRng(99);
  const buckets = Array.from({ length: 16 }, () => 0);
  for (let i = 0; i < 16_000; i++) {
    const value = rng.float();
    if (!(value >= 0 && value < 1)) test.fail(`${value}`);
    const bucket = below(rng, 16);
    buckets[bucket] = (buckets[bucket] as number) + 1;
  }
  for (const count of buckets) test.ok(count > 850 && count < 1150, `${count} of about 1000`);
  const bytes = new Uint8Array(64);
  // oxlint-disable-next-line unicorn/no-array-fill-with-reference-type -- no array
  rng.fill(bytes);
  test.ok(new Set(bytes).size > 30);
  const items = Array.from({ length: 50 }, (_, i) => i);
  shuffle(rng, items);
  test.same(
    [...items].sort((a, b) => a - b),
    Array.from({ length: 50 }, (_, i) => i),
  );
  test.notSame(
    items,
    [...items].sort((a, b) => a - b),
  );
  test.end();
});
