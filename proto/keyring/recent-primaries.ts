/**
 * Which key each other host sealed with when it was last seen. A host that is away may come back with it, so a key does not go
 * before all who had it as primary have been gone for a day.
 */
export interface KeyHolder {
  readonly name: string;
  /** Alive or suspect. */
  readonly isLive: boolean;
  /** Fingerprints that it announces, the primary first; none: it gossips in clear. */
  readonly keys: readonly string[];
}

interface Seen {
  readonly primary: string;
  goneMs: number | undefined;
}

export const GONE_FOR_MS = 24 * 3_600_000;
const SEEN_MAX = 16_384;

export class RecentPrimaries {
  readonly #seen = new Map<string, Seen>();

  update(now: number, members: readonly KeyHolder[]): void {
    const live = new Set<string>();
    for (const { name, isLive, keys } of members) {
      if (!isLive) continue;
      live.add(name);
      const [primary] = keys;
      if (primary === undefined) this.#seen.delete(name);
      else if (this.#seen.get(name)?.primary !== primary || this.#seen.get(name)?.goneMs !== undefined)
        this.#seen.set(name, { primary, goneMs: undefined });
    }
    for (const [name, seen] of this.#seen) {
      if (live.has(name)) continue;
      seen.goneMs ??= now;
      if (now - seen.goneMs > GONE_FOR_MS || this.#seen.size > SEEN_MAX) this.#seen.delete(name);
    }
  }

  /** It is not to come back. */
  forget(name: string): void {
    this.#seen.delete(name);
  }

  /** Hosts that had it as primary when they were last seen, within the day; sorted. */
  of(fingerprint: string): string[] {
    const names: string[] = [];
    for (const [name, { primary }] of this.#seen) if (primary === fingerprint) names.push(name);
    return names.sort();
  }
}
