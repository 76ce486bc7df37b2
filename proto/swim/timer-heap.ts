/**
 * Timers of a sans-I/O object: a binary heap of (time, order of making). Two timers for one moment run in the order
 * they were set, which keeps runs reproducible. A cancelled timer stays in the heap until its time or a sweep.
 */
export interface Timer {
  cancel(): void;
}

class Entry implements Timer {
  readonly atMs: number;
  readonly sequence: number;
  run: ((now: number) => void) | undefined;
  readonly #heap: TimerHeap;

  constructor(atMs: number, sequence: number, run: (now: number) => void, heap: TimerHeap) {
    this.atMs = atMs;
    this.sequence = sequence;
    this.run = run;
    this.#heap = heap;
  }

  cancel(): void {
    if (this.run === undefined) return;
    this.run = undefined;
    this.#heap.noteCancelled();
  }
}

/** Below this many cancelled entries a sweep is not worth it. */
const SWEEP_FROM = 64;

export class TimerHeap {
  #heap: Entry[] = [];
  #sequence = 0;
  #cancelled = 0;

  at(atMs: number, run: (now: number) => void): Timer {
    const entry = new Entry(atMs, this.#sequence++, run, this);
    this.#up(entry, this.#heap.length);
    if (this.#cancelled > SWEEP_FROM && this.#cancelled * 2 > this.#heap.length) this.#sweep();
    return entry;
  }

  /** For the timers alone. */
  noteCancelled(): void {
    this.#cancelled += 1;
  }

  /** Time of the earliest timer, Infinity when there is none. */
  nextMs(): number {
    this.#dropCancelledTop();
    return this.#heap[0]?.atMs ?? Infinity;
  }

  /** Runs all that are due, in order. Timers set meanwhile for this moment run too. */
  runDue(now: number): void {
    for (;;) {
      this.#dropCancelledTop();
      const top = this.#heap[0];
      if (top === undefined || top.atMs > now) return;
      this.#pop();
      const { run } = top;
      // Done: a cancel from now on must not count it as one that waits for a sweep.
      top.run = undefined;
      run?.(now);
    }
  }

  #dropCancelledTop(): void {
    while (this.#heap[0] !== undefined && this.#heap[0].run === undefined) {
      this.#pop();
      this.#cancelled -= 1;
    }
  }

  /** Probes cancel two timers each second: without this the heap would keep them until their time. */
  #sweep(): void {
    const live = this.#heap.filter(({ run }) => run !== undefined);
    // A sorted array is a heap.
    this.#heap = live.sort((a, b) => a.atMs - b.atMs || a.sequence - b.sequence);
    this.#cancelled = 0;
  }

  #pop(): void {
    const last = this.#heap.pop() as Entry;
    if (this.#heap.length > 0) this.#down(last);
  }

  /** Puts the entry where it belongs between place `from` (the first that is free) and the top. */
  #up(entry: Entry, from: number): void {
    const heap = this.#heap;
    let i = from;
    while (i > 0) {
      const parent = heap[(i - 1) >> 1] as Entry;
      if (!isBefore(entry, parent)) break;
      heap[i] = parent;
      i = (i - 1) >> 1;
    }
    heap[i] = entry;
  }

  /** Puts the entry where it belongs below the top, which is free. */
  #down(entry: Entry): void {
    const heap = this.#heap;
    const { length } = heap;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= length) break;
      if (child + 1 < length && isBefore(heap[child + 1] as Entry, heap[child] as Entry)) child += 1;
      if (!isBefore(heap[child] as Entry, entry)) break;
      heap[i] = heap[child] as Entry;
      i = child;
    }
    heap[i] = entry;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence);
}
