/**
 * Versions of what hosts say to each other, and how two hosts agree on one (checklist 3.7): each says the range that it
 * speaks, both take the highest that is in both ranges. Where there is none, each refuses the other and says so.
 *
 * A version goes up when an older host would misunderstand what a newer one says; what an older one passes over
 * (records, messages and items of new kinds) needs none.
 */
export interface VersionRange {
  readonly min: number;
  readonly max: number;
}

/** Records and their messages; told in Meta. */
export const STATE_VERSIONS: VersionRange = { min: 1, max: 1 };

/** Sealed sessions; told in the handshake. 1: says nothing of versions. 2: the reserved bytes of both payloads tell them. */
export const TUNNEL_VERSIONS: VersionRange = { min: 1, max: 2 };

/** What both speak; undefined: nothing. */
export function commonVersion(ours: VersionRange, theirs: VersionRange): number | undefined {
  const version = Math.min(ours.max, theirs.max);
  return version >= ours.min && version >= theirs.min ? version : undefined;
}

export const rangeText = ({ min, max }: VersionRange): string =>
  min === max ? `${min}` : `${min} to ${max}`;
