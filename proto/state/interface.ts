import type { Banned } from '../swim/bans.ts';
import type { SwimDelegate } from '../swim/interface.ts';

/**
 * The replicated state as a pure object: per-owner logs over memberlist's user messages (one owner writes, all read).
 * Same contract as the membership object: handle, command, then poll until undefined, then sleep until nextDeadline.
 */
export const TABLE = {
  vtep: 1,
  interest: 2,
  network: 3,
  endpoint: 4,
  service: 5,
  ipClaim: 6,
  keyring: 7,
  networkGone: 10,
  revocation: 12,
  range: 13,
  rangeWard: 14,
} as const;
export type Table = (typeof TABLE)[keyof typeof TABLE];

export interface StateRecord {
  readonly scope: number;
  readonly owner: string;
  readonly table: Table;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly hlc: bigint;
}

/** A message to a member, by name; `reliable` goes over TCP. */
export interface StateTransmit {
  readonly to: string;
  readonly bytes: Uint8Array;
  readonly reliable: boolean;
}

/** Something visible changed under (scope, table, key): look again. Key is lower-case hex. */
export interface StateChange {
  readonly scope: number;
  readonly table: Table;
  readonly keyHex: string;
}

/** A visible claim on a key by one owner. */
export interface Claim {
  readonly owner: string;
  /** The owner is dead but inside its hold time: loses to any live claim. */
  readonly held: boolean;
  readonly value: Uint8Array;
  readonly hlc: bigint;
}

export interface StateNode {
  /** What memberlist carries for us. */
  readonly delegate: SwimDelegate;

  /** Writes or replaces an own record; batched for 20 ms before it is sent. Throws RangeError when over the limits. */
  put(now: number, scope: number, table: Table, key: Uint8Array, value: Uint8Array): void;
  delete(now: number, scope: number, table: Table, key: Uint8Array): void;

  /** Before leaving: by this word of ours alone our records go at once everywhere. */
  sayGoodbye(now: number): void;
  /** After leave and join by hand: says all our records again, as a new life. */
  renew(now: number): void;

  /** A user message whose first byte is 0xD7 came from the member `from`. */
  handleMessage(now: number, from: string, bytes: Uint8Array): void;
  /** The user state of a push/pull. */
  handleRemoteState(now: number, from: string, bytes: Uint8Array): void;
  handleAckPayload(now: number, from: string, bytes: Uint8Array): void;
  /** Membership as memberlist sees it; `epoch` is from the member's Meta (undefined: it has no state layer). */
  handleMemberAlive(now: number, name: string, epoch: bigint | undefined): void;
  handleMemberDead(now: number, name: string): void;
  handleMemberLeft(now: number, name: string): void;
  handleDeadline(now: number): void;
  nextDeadline(): number;

  pollTransmit(): StateTransmit | undefined;
  pollChange(): StateChange | undefined;

  /** Visible claims on one key, best first (gossip.md 7.7 for endpoints; newest HLC for the other tables). */
  claims(scope: number, table: Table, keyHex: string): readonly Claim[];
  /** All visible records of a table in a scope. */
  records(scope: number, table: Table): Iterable<StateRecord>;
  /** Scopes (VNIs) that we take part in: our own interest records. */
  interests(): ReadonlySet<number>;
  /** Live owners with an interest record for the scope, us included. */
  interested(scope: number): readonly string[];
  /** Whom membership is to have nothing to do with; the same list as long as nothing changes. */
  bans(): readonly Banned[];
  /** What tells a revoked host why nobody talks to it. */
  noticeFor(name: string): Uint8Array | undefined;
  /** 64-bit root of a scope, for tests: equal roots = equal state. */
  root(scope: number): bigint;
  counters(): ReadonlyMap<string, number>;
}
