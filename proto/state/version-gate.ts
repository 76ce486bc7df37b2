import { decodeMeta, foreignMetaVersion } from '../swim/meta.ts';
import { STATE_VERSIONS, commonVersion, rangeText } from '../versions.ts';
import type { VersionRange } from '../versions.ts';

/**
 * Whose records may come in: hosts whose Meta names a version of the state protocol that is spoken here. Others are members
 * of the cluster and nothing more: they get none of our records, theirs are not taken, and both sides say why.
 */
const REFUSED_MAX = 1_024;

export class VersionGate {
  readonly #ours: VersionRange;
  readonly #refused = new Map<string, string>();
  readonly #onRefused: (name: string, why: string) => void;

  constructor(
    onRefused: (name: string, why: string) => void = () => {},
    ours: VersionRange = STATE_VERSIONS,
  ) {
    this.#ours = ours;
    this.#onRefused = onRefused;
  }

  /** Looks at a member's Meta; false: it is to be left alone. Members of other kinds pass, they have no records. */
  admit(name: string, meta: Uint8Array): boolean {
    const why = refusal(this.#ours, meta);
    if (why === undefined) {
      this.#refused.delete(name);
      return true;
    }
    if (this.#refused.get(name) === why) return false;
    if (this.#refused.size >= REFUSED_MAX) this.#refused.delete(this.#refused.keys().next().value as string);
    this.#refused.set(name, why);
    this.#onRefused(name, why);
    return false;
  }

  isRefused(name: string): boolean {
    return this.#refused.has(name);
  }

  /** Why, by name. */
  get refused(): ReadonlyMap<string, string> {
    return this.#refused;
  }

  forget(name: string): void {
    this.#refused.delete(name);
  }
}

/** Why a host with this Meta cannot be understood; undefined: it can, or it is none of ours. */
export function refusal(ours: VersionRange, meta: Uint8Array): string | undefined {
  const metaVersion = foreignMetaVersion(meta);
  if (metaVersion !== undefined)
    return `it describes itself in version ${metaVersion}, which is not known here`;
  const decoded = decodeMeta(meta);
  if (decoded === undefined) return undefined;
  const theirs = { min: decoded.stateProtocolMin, max: decoded.stateProtocolMax };
  if (commonVersion(ours, theirs) !== undefined) return undefined;
  const older = theirs.max < ours.min ? 'it' : 'this host';
  return `it speaks state protocol ${rangeText(theirs)}, this host ${rangeText(ours)}: ${older} is the older one`;
}
