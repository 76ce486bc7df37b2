import { array, assert, integer, oneof, property } from 'fast-check';
import t from 'tap';
import { ReplayWindow, WINDOW } from '../../../proto/tunnel/replay-window.ts';

/** The rule in one line, with a memory of everything. */
class Slow {
  readonly #seen = new Set<number>();
  #highest = -1;

  commit(counter: number): boolean {
    if (this.#seen.has(counter) || this.#highest - counter >= WINDOW) return false;
    this.#seen.add(counter);
    this.#highest = Math.max(this.#highest, counter);
    return true;
  }
}

void t.test('edges of the window', (test) => {
  const cases: readonly (readonly [commits: readonly number[], counter: number, isNew: boolean])[] = [
    [[], 0, true],
    [[0], 0, false],
    [[0], 1, true],
    [[1], 0, true],
    [[WINDOW - 1], 0, true],
    [[0, WINDOW - 1], 0, false],
    [[WINDOW], 0, false],
    [[WINDOW], 1, true],
    [[1, WINDOW], 1, false],
    [[WINDOW + 31], 31, false],
    [[WINDOW + 31], 32, true],
    [[5, 3 * WINDOW], 2 * WINDOW + 1, true],
    [[5, 3 * WINDOW], 2 * WINDOW, false],
    [[2 ** 40], 2 ** 40 - WINDOW + 1, true],
    [[2 ** 40], 2 ** 40 - WINDOW, false],
    [[2 ** 53 - 1], 2 ** 53 - 1, false],
    [[], 2 ** 53, false],
    [[], -1, false],
    [[], 0.5, false],
    [[], NaN, false],
  ];
  for (const [commits, counter, isNew] of cases) {
    const window = new ReplayWindow();
    for (const each of commits) window.commit(each);
    test.equal(window.isNew(counter), isNew, `${commits.join(' ')} then ${counter}`);
  }
  test.end();
});

void t.test('random walks agree with a set of everything seen', (test) => {
  const step = oneof(
    { weight: 6, arbitrary: integer({ min: -40, max: 60 }) },
    { weight: 2, arbitrary: integer({ min: -WINDOW - 70, max: WINDOW + 70 }) },
    { weight: 1, arbitrary: integer({ min: -3 * WINDOW, max: 5 * WINDOW }) },
  );
  assert(
    property(array(step, { maxLength: 600 }), (steps) => {
      const window = new ReplayWindow();
      const slow = new Slow();
      let at = 0;
      for (const by of steps) {
        at = Math.max(0, at + by);
        const isNew = window.isNew(at);
        const committed = window.commit(at);
        if (isNew !== committed || committed !== slow.commit(at)) return false;
      }
      return true;
    }),
    { numRuns: 300 },
  );
  test.end();
});

void t.test('nothing is refused that comes once, in any order inside the window', (test) => {
  const window = new ReplayWindow();
  let refused = 0;
  for (let block = 0; block < 20; block++) {
    for (let i = 0; i < 4096; i++) {
      // 2731 has no divisor in common with 4096: every counter of the block, in a scattered order.
      if (!window.commit(block * 4096 + ((i * 2731) % 4096))) refused += 1;
    }
  }
  test.equal(refused, 0);
  test.equal(window.highest, 20 * 4096 - 1);
  test.end();
});
