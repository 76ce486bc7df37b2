/**
 * Owners whose records came and whom membership has never told us of, nor an earlier run: mostly hosts that died before we came, or whose
 * announcement is still under way. Any member can make them up, so they have a small budget of their own, no pin (identities.ts), and
 * nobody is sent their logs unasked. Members, whether live, dead for less than a day, or pinned, are no strangers.
 */
import type { Identities } from './identities.ts';
import { isSameBytes } from './signing.ts';
import type { Owners } from './owners.ts';
import type { Store } from './store.ts';

/** The dead of a large cluster fit; what is beyond is asked for once it is alive. */
const OWNERS_MAX = 4_096;
/** In all their logs: 1.4 kB each at most. Sixteen hashes of spent entries count as one. */
const RECORDS_MAX = 65_536;
const SPENT_OF_RECORD = 16;
/** Counted anew so often; in between what is taken in is added. */
const COUNTED_FOR_MS = 1_000;

export class Strangers {
  readonly #store: Store;
  readonly #owners: Owners;
  readonly #identities: Identities;
  readonly #names = new Set<string>();
  #records = 0;
  #countedMs = -Infinity;

  constructor(store: Store, owners: Owners, identities: Identities) {
    this.#store = store;
    this.#owners = owners;
    this.#identities = identities;
  }

  is(owner: string): boolean {
    return !this.#owners.isMember(owner) && this.#identities.keyOf(owner) === undefined;
  }

  /** Whether there is room for more of a stranger in that scope. */
  hasRoom(now: number, scope: number, owner: string): boolean {
    if (now - this.#countedMs >= COUNTED_FOR_MS) this.#count(now);
    const isCounted = this.#names.has(owner) || this.#names.size < OWNERS_MAX;
    return isCounted && this.#records < RECORDS_MAX && this.#store.hasRoomForStrangers(scope);
  }

  /** Whether what we have of it, if anything, is under this key. */
  isUnderKey(owner: string, key: Uint8Array): boolean {
    for (const log of this.#store.logsOf(owner)) if (!isSameBytes(log.key, key)) return false;
    return true;
  }

  /** So many entries of a stranger were taken in. */
  took(owner: string, entries: number): void {
    this.#names.add(owner);
    this.#records += entries;
  }

  /** It is a member after all: the key that it came with is its own. */
  welcome(owner: string): void {
    for (const { key, epoch } of this.#store.logsOf(owner))
      if (this.#identities.check(owner, key, epoch) === undefined) this.#identities.accept(owner, key, epoch);
  }

  #count(now: number): void {
    this.#countedMs = now;
    this.#names.clear();
    this.#records = 0;
    for (const scope of this.#store.scopes()) {
      for (const { owner, records, spent } of this.#store.logs(scope)) {
        if (!this.is(owner)) continue;
        this.#names.add(owner);
        this.#records += records.size + spent / SPENT_OF_RECORD;
      }
    }
  }
}
