/**
 * Small integers for the data path's tables, given out and taken back at run time.
 *
 * One that was freed comes last and not at once: what its last holder's frames taught may still be on its way.
 */
const REST_MS = 2_000;

export class IndexPool {
  readonly #end: number;
  readonly #freed: { readonly index: number; readonly atMs: number }[] = [];
  #next: number;

  /** From `first` to below `end`. */
  constructor(first: number, end: number) {
    this.#next = first;
    this.#end = end;
  }

  /** undefined: all are in use, or were a moment ago. */
  take(nowMs: number): number | undefined {
    if (this.#next < this.#end) return this.#next++;
    const [oldest] = this.#freed;
    if (oldest === undefined || nowMs - oldest.atMs < REST_MS) return undefined;
    this.#freed.shift();
    return oldest.index;
  }

  free(nowMs: number, index: number): void {
    this.#freed.push({ index, atMs: nowMs });
  }
}
