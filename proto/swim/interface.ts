import type { Address } from '../env.ts';
import type { Banned } from './bans.ts';

/**
 * The membership protocol as a pure object (sans I/O).
 *
 * Four kinds of methods: getters; `handle*` (something came from network or clock); commands; `poll*` (what the caller
 * must do now). After any handle or command, poll until undefined: transmit, stream, event; then sleep until
 * `nextDeadline()` and call `handleDeadline`. `now` is monotonic milliseconds and never goes backwards.
 */
export type MemberState = 'alive' | 'suspect' | 'dead' | 'left';

export interface Member {
  readonly name: string;
  readonly addr: Address;
  readonly meta: Uint8Array;
  readonly state: MemberState;
  readonly incarnation: number;
  /** Monotonic ms of the last change of `state`. */
  readonly stateChangeMs: number;
  /** Smoothed round trip of direct probes, ms; undefined before the first. */
  readonly rttMs: number | undefined;
}

/** What the layer above puts on the wire through memberlist, and what it does not need to know of. */
export interface SwimDelegate {
  /** User state for a push/pull (gossip.md 7.6 step 1). */
  localState(now: number, join: boolean): Uint8Array;
  /** User messages to ride on a packet, `budget` bytes at most in all, `overhead` bytes counted for each. */
  broadcasts(now: number, overhead: number, budget: number): Uint8Array[];
  /** False when `broadcasts` would give nothing; saves asking again and again. */
  hasBroadcasts?(): boolean;
  /** Payload of our acks. */
  ackPayload(now: number): Uint8Array;
}

export type SwimEvent =
  | { readonly type: 'join' | 'update' | 'suspect' | 'alive' | 'dead' | 'left'; readonly member: Member }
  /**
   * A user message. `addr` is where it came from (with `reliable` the port is a passing one), `node` the name that
   * announced this address (or the only one with this IP); undefined when none did. Neither is proof of anything.
   */
  | {
      readonly type: 'user';
      readonly bytes: Uint8Array;
      readonly addr: Address;
      readonly node: string | undefined;
      readonly reliable: boolean;
    }
  /** User state of a push/pull with the node at `addr`; `node` as for user messages. */
  | {
      readonly type: 'remote-state';
      readonly bytes: Uint8Array;
      readonly addr: Address;
      readonly node: string | undefined;
      readonly join: boolean;
    }
  | { readonly type: 'ack-payload'; readonly node: string; readonly bytes: Uint8Array }
  /** A known name is announced from another address. */
  | { readonly type: 'conflict'; readonly existing: Member; readonly other: Address }
  /** Of `join`, and of every attempt at a seed. */
  | { readonly type: 'join-result'; readonly addr: Address; readonly error: string | undefined }
  /** Packets or streams that no key of ours opens, `count` since the last of these events; the last came from `addr`. */
  | { readonly type: 'undecryptable'; readonly addr: Address; readonly count: number }
  /** A host that was shut out by `setBans` still talks to us; told of now and then. */
  | { readonly type: 'banned'; readonly name: string; readonly addr: Address }
  /** Our leave message has been sent as often as it is going to be. */
  | { readonly type: 'leave-done' };

export interface Transmit {
  readonly to: Address;
  readonly bytes: Uint8Array;
}

/** Orders about streams (TCP). Ids of dialled streams are odd, of accepted ones even (given by the caller). */
export type StreamAction =
  | { readonly type: 'dial'; readonly id: number; readonly to: Address; readonly timeoutMs: number }
  | { readonly type: 'write'; readonly id: number; readonly bytes: Uint8Array }
  /** Half-close after what was written; */
  | { readonly type: 'end'; readonly id: number }
  /** Drop it now. */
  | { readonly type: 'close'; readonly id: number };

export interface SwimCounters {
  /** Keys "type:in" and "type:out" with memberlist's message names; and drops by reason as "drop:reason". */
  readonly counts: ReadonlyMap<string, number>;
  readonly healthScore: number;
}

export interface SwimNode {
  handleDatagram(now: number, bytes: Uint8Array, from: Address): void;
  /** A peer dialled us: `id` is even and unused. */
  handleStreamOpen(now: number, id: number, from: Address): void;
  /** Our dial succeeded. */
  handleStreamConnect(now: number, id: number): void;
  handleStreamData(now: number, id: number, bytes: Uint8Array): void;
  /** The peer half-closed (`error` undefined) or the stream failed. */
  handleStreamEnd(now: number, id: number, error: string | undefined): void;
  handleDeadline(now: number): void;
  nextDeadline(): number;

  pollTransmit(): Transmit | undefined;
  pollStream(): StreamAction | undefined;
  pollEvent(): SwimEvent | undefined;

  /** Push/pull with each address; one 'join-result' event per address. */
  join(now: number, addresses: readonly Address[]): void;
  /** Seeds to join from now on, again whenever none of them is alive. */
  setSeeds(now: number, seeds: readonly Address[]): void;
  /** Where members of an earlier life were: tried behind the seeds, for as long as nobody else is there. */
  setKnown(now: number, known: readonly Address[]): void;
  leave(now: number): void;
  /** From now on nothing is heard of these and nothing said to them; the same list again changes nothing. */
  setBans(now: number, bans: readonly Banned[]): void;
  setMeta(now: number, meta: Uint8Array): void;
  /** One UDP user message of at most `userPacketBytes`; throws RangeError above. */
  sendUser(now: number, to: Address, bytes: Uint8Array): void;
  /** One TCP user message. */
  sendUserReliable(now: number, to: Address, bytes: Uint8Array): void;

  readonly self: Member;
  readonly userPacketBytes: number;
  /** All that are known, ourselves included; the dead and the left for half a minute. */
  members(): readonly Member[];
  member(name: string): Member | undefined;
  counters(): SwimCounters;
}
