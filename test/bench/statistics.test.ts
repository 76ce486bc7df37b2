import t from 'tap';
import { median, quantileOfSorted, ratioToReference, summarize } from '../../bench/harness/statistics.ts';

void t.test('median is the middle value, or the mean of the two in the middle', async (test) => {
  test.equal(median([7]), 7);
  test.equal(median([9, 1, 5]), 5);
  test.equal(median([4, 1, 3, 2]), 2.5);
  test.equal(median([10, 9, 100]), 10, 'numbers are compared as numbers');
  test.throws(() => median([]), RangeError);
});

void t.test('median leaves its argument as it was', async (test) => {
  const values = [3, 1, 2];
  median(values);
  test.same(values, [3, 1, 2]);
});

void t.test('quantile takes the nearest rank', async (test) => {
  const sorted = Float64Array.from({ length: 100 }, (_, index) => index + 1);
  test.equal(quantileOfSorted(sorted, 0.5), 50);
  test.equal(quantileOfSorted(sorted, 0.99), 99);
  test.equal(quantileOfSorted(sorted, 1), 100);
  test.equal(quantileOfSorted([42], 0.01), 42);
  test.throws(() => quantileOfSorted([], 0.5), RangeError);
  for (const q of [0, -1, 1.1, Number.NaN])
    test.throws(() => quantileOfSorted([1], q), RangeError, `q = ${q}`);
});

void t.test('summary holds median and extremes', async (test) => {
  test.same(summarize([5, 1, 3]), { median: 3, min: 1, max: 5 });
  test.equal(summarize([]), undefined);
});

void t.test('ratio is of the medians, its extremes of the runs side by side', async (test) => {
  // Run by run 0.5, 0.6, 0.4: the machine was slow in run 1 for both, which the pairs cancel.
  test.same(ratioToReference([10, 6, 8], [20, 10, 20]), { median: 8 / 20, min: 0.4, max: 0.6 });
});

void t.test('failed runs count for neither side of a pair', async (test) => {
  const ratio = ratioToReference([10, undefined, 30], [20, 20, undefined]);
  test.same(ratio, { median: 20 / 20, min: 0.5, max: 0.5 });
  test.same(
    ratioToReference([10, undefined], [undefined, 5]),
    { median: 2, min: 2, max: 2 },
    'no pair at all',
  );
});

void t.test('no ratio without figures or to nothing', async (test) => {
  test.equal(ratioToReference([], [1]), undefined);
  test.equal(ratioToReference([undefined], [1]), undefined);
  test.equal(ratioToReference([1], [undefined]), undefined);
  test.equal(ratioToReference([1], []), undefined);
  test.equal(ratioToReference([1, 1, 1], [0, 0, 0]), undefined, 'a reference of zero');
});
