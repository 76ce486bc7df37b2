import t from 'tap';
import { MAX_STEP, incarnationOrder, nextIncarnation } from '../../../proto/swim/incarnation.ts';

const TOP = 0xffff_ffff;

void t.test('near by it is the order of numbers, also over the top; else it is far', (test) => {
  for (const [said, known, order] of [
    [5, 5, 'same'],
    [6, 5, 'newer'],
    [4, 5, 'older'],
    [5 + MAX_STEP, 5, 'newer'],
    [6 + MAX_STEP, 5, 'far'],
    [5, 5 + MAX_STEP, 'older'],
    [5, 6 + MAX_STEP, 'far'],
    [2 ** 31, 1, 'far'],
    [1, TOP, 'newer'],
    [TOP, 1, 'older'],
    [TOP - MAX_STEP - 1, 1, 'far'],
    [0, TOP, 'older'],
    [0, 1, 'older'],
    [TOP, 0, 'newer'],
    [0, 0, 'same'],
  ] as const) {
    test.equal(incarnationOrder(said, known), order, `${said} beside ${known}`);
  }
  test.end();
});

void t.test('the next is newer, and never 0', (test) => {
  for (const incarnation of [0, 1, 2 ** 31 - 1, 2 ** 31, TOP - 1, TOP]) {
    test.equal(incarnationOrder(nextIncarnation(incarnation), incarnation), 'newer');
  }
  test.equal(nextIncarnation(TOP), 1);
  test.end();
});
