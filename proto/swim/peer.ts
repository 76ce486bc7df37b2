import type { Address } from '../env.ts';
import type { PushPullNode } from '../memberlist/messages.ts';
import type { MemberState } from './interface.ts';
import type { Suspicion } from './suspicions.ts';
import type { Versions } from './versions.ts';

/**
 * What we hold of one node, ourselves included. To be read: a healthy node's record may be shared by the tables of many
 * members in one process (member-image.ts). Who changes it asks the table for an own one first (`MemberTable.edit`).
 */
export interface Peer {
  readonly name: string;
  readonly addr: Address;
  /** The 4 or 16 bytes as they were announced, for passing on. */
  readonly addrBytes: Uint8Array;
  /** null and empty mean the same, and are passed on as they came. */
  readonly meta: Uint8Array | null;
  readonly vsn: Versions;
  readonly incarnation: number;
  readonly state: MemberState;
  readonly stateChangeMs: number;
  readonly suspicion: Suspicion | undefined;
  readonly conflictAtMs: number;
  /** Where the table keeps it; the table's own business. */
  readonly place: number;
}

/** A record that belongs to one table. */
export type OwnPeer = { -readonly [K in keyof Peer]: Peer[K] };

/** Takes part: gets pings and gossip. */
export function isUp({ state }: Peer): boolean {
  return state === 'alive' || state === 'suspect';
}

/** Index = the State number of a push/pull node. */
const WIRE_STATES = ['alive', 'suspect', 'dead', 'left'] as const;

/** As push/pulls carry it. */
export function nodeOf({ name, addr, addrBytes, incarnation, meta, state, vsn }: Peer): PushPullNode {
  const stateNumber = WIRE_STATES.indexOf(state);
  return { name, addr: addrBytes, incarnation, meta, port: addr.port, state: stateNumber, vsn };
}

export function addressKey({ ip, port }: Address): string {
  return `${ip} ${port}`;
}

export function isSameAddress(a: Address, b: Address): boolean {
  return a.port === b.port && a.ip === b.ip;
}
