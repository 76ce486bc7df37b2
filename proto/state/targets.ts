/** Whom a message of a scope goes to. */
import type { Rng } from '../env.ts';
import type { Store } from './store.ts';

/** Up to this many interested peers are told directly; more by epidemic (gossip.md 7.5). */
export const DIRECT_MAX = 32;

export class Targets {
  readonly #self: string;
  readonly #store: Store;
  readonly #rng: Rng;

  constructor(self: string, store: Store, rng: Rng) {
    this.#self = self;
    this.#store = store;
    this.#rng = rng;
  }

  /** Interested peers, us left out. */
  peers(scope: number): string[] {
    return this.#store.interested(scope).filter((name) => name !== this.#self);
  }

  /** News goes straight to all who are interested. */
  isDirect(scope: number): boolean {
    const names = this.#store.interested(scope);
    return names.length <= DIRECT_MAX || (names.length === DIRECT_MAX + 1 && names.includes(this.#self));
  }

  /** All interested peers when they are few; undefined when news must spread by epidemic. */
  direct(scope: number): string[] | undefined {
    return this.isDirect(scope) ? this.peers(scope) : undefined;
  }

  /** `count` different ones of `items`, or all. */
  sample<T>(items: readonly T[], count: number): T[] {
    const pool = [...items];
    for (let i = 0; i < Math.min(count, pool.length); i++) {
      const j = i + Math.floor(this.#rng.float() * (pool.length - i));
      [pool[i], pool[j]] = [pool[j]!, pool[i]!];
    }
    return pool.slice(0, count);
  }
}

/** ceil(log10(n + 1)) without floating logarithms, so that all platforms agree. */
export function decades(n: number): number {
  let result = 0;
  for (let bound = 1; bound < n + 1; bound *= 10) result++;
  return Math.max(1, result);
}
