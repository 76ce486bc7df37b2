import type { VersionRange } from './options.ts';

/**
 * Version rules of a memberlist cluster (gossip.md 2.12): every node must speak a protocol and a delegate version that
 * all alive nodes understand, else push/pull is refused as a whole.
 *
 * Of protocols we ask only whether a node and we understand each other, and leave out the one that does not: memberlist
 * refuses the whole list, so that whoever makes up a node of another protocol keeps everybody from joining.
 *
 * overlayd speaks protocol 2 of 1..5. It has no delegate versions of its own (its state layer has numbers in its own
 * messages), so it offers the whole range 0..255 and *adopts* the version of the cluster it is in: 0 among plain
 * memberlist nodes, 4 among Serf agents, who refuse anything else. `isFlexible` tells such nodes.
 */
export const PROTOCOL_VERSION: VersionRange = [1, 5, 2];
/** Who has at least this as highest protocol can answer so. */
export const SPEAKS = { tcpPing: 3, nack: 4, crc: 5 } as const;

/** pMin, pMax, pCur, dMin, dMax, dCur, as in the Vsn field. */
export type Versions = Uint8Array;

const [P_MAX, D_MIN, D_MAX, D_CUR] = [1, 3, 4, 5] as const;

export interface VersionHolder {
  readonly name: string;
  readonly isAlive: boolean;
  readonly vsn: Versions;
}

/**
 * What differs among many nodes: one holder for each kind of versions and liveness. A cluster of thousands has few, so
 * the rules below need not look at every node.
 */
export class VersionKinds {
  readonly #kinds = new Map<number, VersionHolder>();
  #lastKey = -1;

  /** `vsn` as it came or as it is kept. */
  add(name: string, isAlive: boolean, vsn: Uint8Array | null): void {
    let key = isAlive ? 1 : 0;
    // 49 bits, which a double holds exactly.
    for (let i = 0; i < 6; i++) key = key * 256 + (vsn?.[i] ?? 0);
    if (key === this.#lastKey) return;
    this.#lastKey = key;
    if (!this.#kinds.has(key)) this.#kinds.set(key, { name, isAlive, vsn: normalVersions(vsn) });
  }

  get all(): readonly VersionHolder[] {
    return [...this.#kinds.values()];
  }
}

/** Always six bytes: older Go members read the sixth unchecked. */
export function ownVersions(delegate: VersionRange): Versions {
  return Uint8Array.of(...PROTOCOL_VERSION, ...delegate);
}

/** Six bytes whatever came; what is missing is 0. */
export function normalVersions(vsn: Uint8Array | null): Versions {
  const six = new Uint8Array(6);
  if (vsn !== null) six.set(vsn.subarray(0, 6));
  return six;
}

/** Whether a node of these versions and we understand each other (gossip.md 2.2, steps 2 and 3); who says nothing does not. */
export function speaksOurs(vsn: Uint8Array | null): boolean {
  if (vsn === null || vsn.length < 6) return false;
  const [min, max, current] = vsn as unknown as VersionRange;
  const [ourMin, ourMax, ours] = PROTOCOL_VERSION;
  return isWithin(ours, { min, max }) && isWithin(current, { min: ourMin, max: ourMax });
}

export function maxProtocol(vsn: Versions): number {
  return vsn[P_MAX] as number;
}

export function isFlexible(vsn: Versions): boolean {
  return vsn[D_MIN] === 0 && vsn[D_MAX] === 255;
}

/** Why delegates of these nodes cannot be in one cluster; undefined when they can. A stale version of a flexible one is none. */
export function versionConflict(nodes: Iterable<VersionHolder>): string | undefined {
  const all = [...nodes];
  const delegate = commonRange(all, D_MIN, D_MAX);
  for (const { name, vsn } of all) {
    if (!isFlexible(vsn) && !isWithin(vsn[D_CUR] as number, delegate)) {
      return `delegate version of ${name} does not fit the cluster`;
    }
  }
  return delegate.min > delegate.max ? 'delegate versions of the cluster do not overlap' : undefined;
}

/** The delegate version to speak beside these nodes: the current one as long as it fits, else theirs. */
export function delegateVersionBeside(current: number, others: Iterable<VersionHolder>): number {
  const alive = [...others].filter(({ isAlive }) => isAlive);
  const range = commonRange(alive, D_MIN, D_MAX);
  if (range.min > range.max || isWithin(current, range)) return current;
  const spoken = alive.map(({ vsn }) => vsn[D_CUR] as number).find((version) => isWithin(version, range));
  return spoken ?? range.min;
}

interface Range {
  min: number;
  max: number;
}

function commonRange(nodes: readonly VersionHolder[], min: number, max: number): Range {
  const range = { min: 0, max: 255 };
  for (const { isAlive, vsn } of nodes) {
    if (!isAlive) continue;
    range.min = Math.max(range.min, vsn[min] as number);
    range.max = Math.min(range.max, vsn[max] as number);
  }
  return range;
}

function isWithin(version: number, { min, max }: Range): boolean {
  return version >= min && version <= max;
}
