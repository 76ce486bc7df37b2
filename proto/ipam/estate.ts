/**
 * What a host holds of one pool of addresses (one subnet of one network): its estate, and the rules of its parts.
 *
 * An estate has one writer, its host, and a copy at each guardian. A change counts ("is noted") once a guardian has the
 * copy on its disk; others act on what is noted only. So whoever takes an estate over knows what left it before.
 */
import type { Block } from './block.ts';
import { merge } from './block.ts';

/** Who keeps the copy: this disk of this host in this life. */
export interface Guardian {
  readonly name: string;
  readonly life: number;
  /** Of the disk: a host that lost its disk has lost its copies. */
  readonly ledger: number;
}

/** A block on its way: not its donor's any more, the receiver's once that has it. */
export interface Gift {
  readonly id: number;
  readonly block: Block;
  readonly to: string;
  /** The life of the receiver that may take it; it begins with this gift when `isFirst`. */
  readonly life: number;
  /** The run of the receiver that may take it: what an earlier one took and forgot is not to be had again. */
  readonly session: number;
  readonly isFirst: boolean;
}

/** A gift that was taken, for as long as its donor may still offer it. */
export interface Taken {
  readonly id: number;
  readonly donor: string;
  readonly donorLife: number;
  /** The donor's estate when it was offered. */
  readonly donorRev: number;
}

export interface Estate {
  /** Counts the changes. */
  readonly rev: number;
  /** It stands at the root of the tree of guardians: its guardians are its own wards. */
  readonly isRoot: boolean;
  /** None: alone so far. The root has an heir, then a witness; others have one. */
  readonly guardians: readonly Guardian[];
  readonly own: readonly Block[];
  readonly gifts: readonly Gift[];
  readonly taken: readonly Taken[];
  /** Lives that ended, here or at one whose estate came here: they hold nothing any more. */
  readonly closed: readonly number[];
  /** Parts of `own` that Docker's own IPAM hands out from. */
  readonly docker: readonly Block[];
}

/** Which founding of the pool this goes back to: two that were founded apart must not be mixed. */
export interface Lineage {
  /** Wall clock, ms since 1970. */
  readonly atMs: number;
  readonly origin: string;
}

export const isSameLineage = (a: Lineage, b: Lineage): boolean => a.atMs === b.atMs && a.origin === b.origin;

/** The earlier founding stands, then the lower name. */
export const isEarlier = (a: Lineage, b: Lineage): boolean =>
  a.atMs !== b.atMs ? a.atMs < b.atMs : a.origin < b.origin;

/** What a host says of itself to all. */
export interface EstateRecord {
  /** Grows with every start of the host, and whenever it begins anew. */
  readonly session: number;
  readonly ledger: number;
  /** 0: it has nothing, and never had in this session. */
  readonly life: number;
  readonly lineage: Lineage | undefined;
  /** Counts its signs of life. */
  readonly beat: number;
  /** The last change that counts. */
  readonly noted: number;
  /** Free addresses as a power of two, rounded down; -1: none. */
  readonly freeBits: number;
  readonly estate: Estate;
}

/**
 * What a guardian says to a ward. `noted`: it has the copy; `restore`: take the copy over, yours is lost or older;
 * `promised`: as a witness it has given the estate up to the heir.
 */
export type WardStatus = 'noted' | 'restore' | 'promised';

export interface WardRecord {
  readonly ward: string;
  readonly status: WardStatus;
  /** Of the ward: whom it is said to. */
  readonly session: number;
  readonly life: number;
  readonly lineage: Lineage;
  /** The guardian that says so. */
  readonly guardian: Guardian;
  /** The ward's beat that was heard last. */
  readonly beat: number;
  /** An operator wants it taken over now. */
  readonly isWanted: boolean;
  /** The copy; of a ward that knows it all only its revision is told. */
  readonly rev: number;
  readonly estate: Estate | undefined;
}

export const NO_ESTATE: Estate = {
  rev: 0,
  isRoot: false,
  guardians: [],
  own: [],
  gifts: [],
  taken: [],
  closed: [],
  docker: [],
};

/** All that it says counts. */
export const isEffective = (record: EstateRecord): boolean =>
  record.life !== 0 && record.noted >= record.estate.rev;

export const isGuardian = (estate: Estate, guardian: Guardian): boolean =>
  estate.guardians.some((each) => isSameGuardian(each, guardian));

export const isSameGuardian = (a: Guardian, b: Guardian): boolean =>
  a.name === b.name && a.life === b.life && a.ledger === b.ledger;

/** An ended life's estate goes to another, which remembers all that was settled in it. */
export function inherit(heir: Estate, life: number, left: Estate): Estate {
  return {
    ...heir,
    own: merge([...heir.own, ...left.own]),
    gifts: [...heir.gifts, ...left.gifts.filter(({ id }) => !heir.gifts.some((gift) => gift.id === id))],
    taken: [...heir.taken, ...left.taken.filter(({ id }) => !heir.taken.some((each) => each.id === id))],
    closed: [...new Set([...heir.closed, ...left.closed, life])],
  };
}
