import type { Address } from '../env.ts';
import type { Secret } from './secret.ts';

/**
 * Orders to the data path, in the order in which they are to be done; they come before what `pollTransmit` gives.
 *
 * install: from now on datagrams with `localIndex` are opened with `receiveKey` (AES-256-GCM, counter as in messages.ts).
 * The keys are overwritten when the session ends: who installs them makes a copy, and wipes that one on `remove`.
 * use: datagrams to this peer are sealed with the session's `sendKey`, to `remoteIndex`, its counter from 0, each once.
 * remove: neither any more. A peer without a session in use gets nothing.
 */
export type SessionEvent =
  | {
      readonly type: 'install';
      readonly peer: string;
      readonly localIndex: number;
      readonly remoteIndex: number;
      readonly sendKey: Secret;
      readonly receiveKey: Secret;
      readonly role: 'initiator' | 'responder';
    }
  | { readonly type: 'use'; readonly peer: string; readonly localIndex: number }
  | { readonly type: 'remove'; readonly peer: string; readonly localIndex: number };

export interface TunnelTransmit {
  readonly to: Address;
  readonly bytes: Uint8Array;
}

/** Where a peer is, as its signed records tell. */
export interface TunnelPeer {
  /** X25519, 32 bytes. */
  readonly staticKey: Uint8Array;
  readonly addr: Address;
}

export type TunnelProblem =
  | 'no answer'
  | 'no common version'
  | 'no cluster key'
  | 'no common cluster key'
  | 'identity unknown'
  | 'unusable identity'
  | 'wrong address';

export interface TunnelStatus {
  readonly peer: string;
  /** established: in use and alive; silent: in use, but nothing comes; handshake: none yet; idle: no cluster key. */
  readonly state: 'established' | 'silent' | 'handshake' | 'idle';
  /** Of the session in use. */
  readonly ageMs: number | undefined;
  /** Sessions since the first one. */
  readonly rekeys: number;
  /** That both speak on it. */
  readonly version: number | undefined;
  /** What went wrong last, until a session stands. */
  readonly lastError: TunnelProblem | undefined;
}
