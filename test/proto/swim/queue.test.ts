import t from 'tap';
import { BroadcastQueue } from '../../../proto/swim/broadcast-queue.ts';
import { TimerHeap } from '../../../proto/swim/timer-heap.ts';

const bytes = (length: number, fill = 0): Uint8Array => new Uint8Array(length).fill(fill);
const lengths = (taken: Uint8Array[]): number[] => taken.map(({ length }) => length);

void t.test('least sent first, then longer, then newer; the largest that fits', (test) => {
  const queue = new BroadcastQueue();
  queue.add('a', bytes(10, 1));
  queue.add('b', bytes(30, 2));
  queue.add('c', bytes(10, 3));
  test.same(lengths(queue.take(2, 34, 9)), [30], 'one overhead of 2');
  const next = queue.take(2, 24, 9);
  test.same(
    next.map(([first]) => first),
    [3, 1],
    'the unsent before the longer one already sent, newer first',
  );
  test.same(lengths(queue.take(2, 100, 9)), [30, 10, 10]);
  test.same(lengths(queue.take(2, 11, 9)), [], 'nothing fits');
  test.same(lengths(queue.take(2, 25, 9)), [10, 10], 'passes over what is too long');
  test.end();
});

void t.test('a subject has one message; each goes out so many times', (test) => {
  const queue = new BroadcastQueue();
  let done = 0;
  queue.add('a', bytes(5), () => (done += 1));
  queue.add('a', bytes(6), () => (done += 10));
  test.equal(done, 1, 'the replaced one is done');
  test.equal(queue.size, 1);
  for (let i = 0; i < 4; i++) test.same(lengths(queue.take(2, 100, 4)), [6]);
  test.equal(done, 11);
  test.same(queue.take(2, 100, 4), []);
  test.equal(queue.size, 0);
  test.end();
});

void t.test('no more messages than asked for', (test) => {
  const queue = new BroadcastQueue();
  for (let i = 0; i < 300; i++) queue.add(`n${i}`, bytes(1));
  test.equal(queue.take(2, 1400, 4).length, 255);
  test.equal(queue.take(2, 1400, 4, 10).length, 10);
  test.end();
});

void t.test('timers run in order of time and then of setting, and not when cancelled', (test) => {
  const heap = new TimerHeap();
  const ran: string[] = [];
  heap.at(5, () => ran.push('b'));
  heap.at(1, () => ran.push('a'));
  heap.at(5, () => ran.push('c'));
  const cancelled = heap.at(2, () => ran.push('never'));
  heap.at(9, () => ran.push('later'));
  cancelled.cancel();
  cancelled.cancel();
  test.equal(heap.nextMs(), 1);
  heap.runDue(5);
  test.same(ran, ['a', 'b', 'c']);
  test.equal(heap.nextMs(), 9);
  heap.runDue(9);
  test.equal(heap.nextMs(), Infinity);
  test.end();
});

void t.test('many cancelled timers are swept without losing the others', (test) => {
  const heap = new TimerHeap();
  let ran = 0;
  for (let i = 0; i < 10_000; i++) {
    const timer = heap.at((i * 7919) % 1000, () => (ran += 1));
    if (i % 10 !== 0) timer.cancel();
  }
  heap.runDue(1000);
  test.equal(ran, 1000);
  test.end();
});
