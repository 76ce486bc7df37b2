/**
 * That a word about a key does not go with the host that said it: at least three visible hosts carry each in their logs.
 *
 * Who has a word that fewer carry puts it into its own log, the first by name at once, the next ones a second later each. When
 * its signer has itself been revoked since, no newcomer would take it: then it is said anew under the carrier's own signature, if
 * it was known well before that. So no revoked host finds a mouth in whoever has not heard of its revocation yet.
 */
import { toHex } from './bytes.ts';
import type { Identities } from './identities.ts';
import { TABLE } from './interface.ts';
import type { OwnLogs } from './own-logs.ts';
import type { Owners } from './owners.ts';
import { recordId } from './record.ts';
import type { Revocation } from './revocation.ts';
import { canonicalHex, revocationKey, signRevocation } from './revocation.ts';
import type { Signer } from './signing.ts';

/** A word that is obeyed. */
export interface HeldRevocation {
  readonly word: Revocation;
  /** When it was taken in, ms since 1970. */
  readonly takenMs: number;
  /** When we begin to carry it, if it is still carried by too few; Infinity: it is carried. */
  carryMs: number;
}

/** A word as the visible logs have it. */
export interface FoundRevocation {
  readonly word: Revocation;
  readonly carriers: Set<string>;
}

export interface RevocationCarriersDeps {
  readonly self: string;
  readonly signer: Signer;
  readonly owners: Owners;
  readonly identities: Identities;
  readonly ownLogs: OwnLogs;
}

const CARRIERS = 3;
const CARRY_STEP_MS = 1_000;
/** Who is so far behind in the row leaves it to the others. */
const CARRY_RANK_MAX = 15;
/** After start: until we have heard what is carried. */
const SETTLE_MS = 10_000;
/** A word goes everywhere within seconds: what was known so long before its signer's own revocation was no revoked host's. */
const SETTLED_WORD_MS = 60_000;

export class RevocationCarriers {
  readonly #deps: RevocationCarriersDeps;
  readonly #selfHex: string;
  #startMs: number | undefined;

  constructor(deps: RevocationCarriersDeps) {
    this.#deps = deps;
    this.#selfHex = toHex(deps.signer.publicKey);
  }

  /** Sees to it that enough hosts carry each word; gives when our next turn comes. */
  carry(
    now: number,
    words: ReadonlyMap<string, HeldRevocation>,
    found: ReadonlyMap<string, FoundRevocation>,
  ): number {
    const { self, ownLogs } = this.#deps;
    this.#startMs ??= now;
    const newest = new Map<string, FoundRevocation>();
    for (const each of found.values()) {
      const canonical = canonicalHex(each.word.keyHex);
      if (isSame(each.word, words.get(canonical)?.word)) newest.set(canonical, each);
    }
    let nextMs = Infinity;
    for (const [canonical, held] of words) {
      // Under a signature that no newcomer takes it is as good as not carried.
      const isVain = this.isSignerRevoked(held.word);
      const carriers = (isVain ? undefined : newest.get(canonical)?.carriers) ?? new Set<string>();
      const isBehind = !isVain && this.#carriesOlder(canonical);
      if (carriers.has(self)) held.carryMs = Infinity;
      else if (isBehind || this.#isCarryDue(now, held, carriers)) {
        const word = this.#carriable(held, words);
        if (word !== undefined) ownLogs.put(now, 0, TABLE.revocation, revocationKey(word.keyHex), word.bytes);
      } else nextMs = Math.min(nextMs, held.carryMs);
    }
    return nextMs;
  }

  /** What our log says of a key must not be behind what we obey. */
  #carriesOlder(canonical: string): boolean {
    const own = this.#deps.ownLogs.log(0);
    const record = own?.records.get(recordId(TABLE.revocation, canonical));
    return record !== undefined && !record.tombstone;
  }

  /** Too few carry it, and it is our turn. */
  #isCarryDue(now: number, held: HeldRevocation, carriers: ReadonlySet<string>): boolean {
    const isOwn = held.word.byKeyHex === this.#selfHex;
    if (isOwn) return true;
    if (carriers.size >= CARRIERS) {
      held.carryMs = Infinity;
      return false;
    }
    if (held.carryMs === Infinity) {
      const rank = this.#rank(carriers);
      if (rank > CARRY_RANK_MAX) return false;
      held.carryMs = Math.max(now, this.#startMs! + SETTLE_MS) + (rank + 1) * CARRY_STEP_MS;
    }
    return now >= held.carryMs;
  }

  /** How many of those who could carry it come before us by name. */
  #rank(carriers: ReadonlySet<string>): number {
    const { owners, self } = this.#deps;
    let rank = 0;
    for (const name of owners.peers()) if (name < self && !carriers.has(name)) rank++;
    return rank;
  }

  /** Of another; our own word is ours whatever others say. */
  isSignerRevoked({ byKeyHex }: Revocation): boolean {
    return byKeyHex !== this.#selfHex && this.#deps.identities.isRevokedKey(byKeyHex);
  }

  /** The word as a newcomer would take it; under our own signature where its signer's counts no more. */
  #carriable(
    { word, takenMs }: HeldRevocation,
    words: ReadonlyMap<string, HeldRevocation>,
  ): Revocation | undefined {
    const { identities, self, signer } = this.#deps;
    if (!this.isSignerRevoked(word)) return word;
    const end = words.get(canonicalHex(word.byKeyHex));
    if (end === undefined || end.takenMs - takenMs < SETTLED_WORD_MS) return undefined;
    if (!identities.mayRevoke(self, this.#selfHex) || identities.isRevokedKey(this.#selfHex))
      return undefined;
    return signRevocation({ ...word, stamp: word.stamp + 1 }, self, signer);
  }
}

const isSame = (one: Revocation, other: Revocation | undefined): boolean =>
  one.stamp === other?.stamp && one.action === other.action && one.byKeyHex === other.byKeyHex;
