/**
 * Changes for the reader, each key once: its length is bounded by what there is to look at, however often it changes.
 *
 * An array with a head beside a set, not a Map that is eaten from the front: that walks over its own holes.
 */
import type { StateChange } from './interface.ts';

export class ChangeQueue {
  #changes: StateChange[] = [];
  #head = 0;
  readonly #queued = new Set<string>();

  add(change: StateChange): void {
    const key = keyOf(change);
    if (this.#queued.has(key)) return;
    this.#queued.add(key);
    this.#changes.push(change);
  }

  take(): StateChange | undefined {
    const change = this.#changes[this.#head];
    if (change === undefined) return undefined;
    this.#head++;
    this.#queued.delete(keyOf(change));
    if (this.#head * 2 > this.#changes.length) {
      this.#changes = this.#changes.slice(this.#head);
      this.#head = 0;
    }
    return change;
  }
}

const keyOf = ({ scope, table, keyHex }: StateChange): string => `${scope}/${table}/${keyHex}`;
