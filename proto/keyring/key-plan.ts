import type { KeyAction } from './operation.ts';

/**
 * What shall be with each key: the latest operation that was heard of, by fingerprint. Merging is commutative and idempotent,
 * so hosts that have heard the same mean the same, whatever the order, and after any split.
 */
export interface PlannedKey {
  readonly action: KeyAction;
  readonly isRotated: boolean;
  readonly stamp: number;
}

/** Room for what one or two hosts make up (rotation.ts has a bound for each) beside any plan; the latest count. */
const PLANNED_MAX = 1_024;
const RANK: Readonly<Record<KeyAction, number>> = { add: 1, use: 2, remove: 3 };

export class KeyPlan {
  readonly #planned = new Map<string, PlannedKey>();

  get(fingerprint: string): PlannedKey | undefined {
    return this.#planned.get(fingerprint);
  }

  get all(): ReadonlyMap<string, PlannedKey> {
    return this.#planned;
  }

  /** Later than everything heard of. */
  get nextStamp(): number {
    let last = 0;
    for (const { stamp } of this.#planned.values()) last = Math.max(last, stamp);
    return last + 1;
  }

  /** The latest that all should come to use, of those that `isHeld` by somebody; undefined: that of the files. */
  desired(isHeld: (fingerprint: string) => boolean): string | undefined {
    let found: string | undefined;
    for (const [fingerprint, { action }] of this.#planned) {
      if (action !== 'use' || (found !== undefined && !this.isAfter(fingerprint, found))) continue;
      if (isHeld(fingerprint)) found = fingerprint;
    }
    return found;
  }

  isRemoved(fingerprint: string): boolean {
    return this.#planned.get(fingerprint)?.action === 'remove';
  }

  /** True when it is news. */
  merge(fingerprint: string, { action, isRotated, stamp }: PlannedKey): boolean {
    const known = this.#planned.get(fingerprint);
    if (known !== undefined) {
      const isOld = stamp < known.stamp || (stamp === known.stamp && RANK[action] <= RANK[known.action]);
      if (isOld) return false;
    }
    this.#planned.set(fingerprint, { action, isRotated, stamp });
    if (this.#planned.size > PLANNED_MAX) this.#forgetOldest();
    return true;
  }

  forget(fingerprint: string): void {
    this.#planned.delete(fingerprint);
  }

  /** Of two planned ones: by stamp; equal ones (proposed on both sides of a split) by fingerprint. */
  isAfter(a: string, b: string): boolean {
    const [first, second] = [this.#planned.get(a)!, this.#planned.get(b)!];
    return first.stamp > second.stamp || (first.stamp === second.stamp && a > b);
  }

  #forgetOldest(): void {
    let oldest: string | undefined;
    for (const fingerprint of this.#planned.keys()) {
      if (oldest === undefined || this.isAfter(oldest, fingerprint)) oldest = fingerprint;
    }
    if (oldest !== undefined) this.#planned.delete(oldest);
  }
}
