/** What the state layer is told at birth, and its numbers (gossip.md 7), each with its reason. */
import type { FaultInjector, Rng } from '../env.ts';
import type { IdentityOptions } from './identities.ts';
import type { SavedRevocation } from './revocations.ts';
import type { Signer, Verifier } from './signing.ts';

export interface StateOptions {
  /** Our member name. */
  readonly node: string;
  /** Higher than that of every earlier run of this node (ms since 1970). */
  readonly epoch: bigint;
  /** Largest UDP user message, bytes: memberlist's 1,400 less seal, label and framing. */
  readonly packetBytes?: number;
  /** State traffic out, bytes per second, and how much may go at once. */
  readonly rateBytes?: number;
  readonly burstBytes?: number;
  /** How long after start what we wrote in an earlier run stays in force at the others, though not yet said again. */
  readonly settleMs?: number;
  /** Rows of a dead owner stay in force that long. */
  readonly deadHoldMs?: number;
  /** Base interval of anti-entropy, one random interested peer per scope. */
  readonly syncIntervalMs?: number;
  /** Bounds of memory: records of one owner in one scope (and their bytes, owner-log.ts), owners in one scope. */
  readonly recordsPerLog?: number;
  readonly ownersPerScope?: number;
}

export interface StateDeps {
  readonly rng: Rng;
  /** Wall clock, ms since 1970; for the hybrid logical clock alone. */
  readonly wall: () => number;
  /** This host's identity, stable over restarts. */
  readonly signer: Signer;
  readonly verifier: Verifier;
  /** Whose keys are known or given. */
  readonly identities?: IdentityOptions;
  /** In simulations only. */
  readonly fault?: FaultInjector | undefined;
  /** Which keys are void, as heard of in earlier runs. */
  readonly revocations?: readonly SavedRevocation[];
}

export type StateConfig = Required<StateOptions>;

export function withDefaults(options: StateOptions): StateConfig {
  return {
    packetBytes: 1_350,
    rateBytes: 256 * 1_024,
    burstBytes: 256 * 1_024,
    settleMs: 30_000,
    deadHoldMs: 30_000,
    syncIntervalMs: 30_000,
    recordsPerLog: 131_072,
    ownersPerScope: 16_384,
    ...options,
  };
}
