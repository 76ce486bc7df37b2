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
  readonly #onCancel: () => void;

  constructor(atMs: number, sequence: number, run: (now: number) => void, onCancel: () => void) {
    this.atMs = atMs;
    this.sequence = sequence;
    this.run = run;
    this.#onCancel = onCancel;
  }

  cancel(): void {
    if (this.run === undefined) return;
    this.run = undefined;
    this.#onCancel();
  }
}

/** Below this many cancelled entries a sweep is not worth it. */
const SWEEP_FROM = 64;

export class TimerHeap {
  #heap: Entry[] = [];
  #sequence = 0;
  #cancelled = 0;

  at(atMs: number, run: (now: number) => void): Timer {
    const entry = new Entry(atMs, this.#sequence++, run, () => {
      this.#cancelled += 1;
    });
    this.#heap.push(entry);
    this.#up(this.#heap.length - 1);
    if (this.#cancelled > SWEEP_FROM && this.#cancelled * 2 > this.#heap.length) this.#sweep();
    return entry;
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
    if (this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#down();
  }

  #up(from: number): void {
    let i = from;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!this.#isBefore(i, parent)) return;
      this.#swap(i, parent);
      i = parent;
    }
  }

  #down(): void {
    let i = 0;
    for (;;) {
      let first = i;
      for (const child of [2 * i + 1, 2 * i + 2]) {
        if (child < this.#heap.length && this.#isBefore(child, first)) first = child;
      }
      if (first === i) return;
      this.#swap(i, first);
      i = first;
    }
  }

  #isBefore(i: number, j: number): boolean {
    const a = this.#heap[i] as Entry;
    const b = this.#heap[j] as Entry;
    return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence);
  }

  #swap(i: number, j: number): void {
    const entry = this.#heap[i] as Entry;
    this.#heap[i] = this.#heap[j] as Entry;
    this.#heap[j] = entry;
  }
}
