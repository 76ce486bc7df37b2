import type { Rng } from '../env.ts';
import type { ProbeBudget } from './probe-budget.ts';

/** What path-MTU discovery goes by. Sizes are bytes of an underlay IP packet, times ms. */
export interface PathTiming {
  /** Never probed below: who takes less takes nothing. Also the control of every round: small enough to always pass. */
  readonly floorBytes: number;
  /** BASE_PLPMTU of RFC 8899 §5.1.2: expected to pass everywhere. */
  readonly baseBytes: number;
  /** A search ends when what passes and what does not are so close. */
  readonly stepBytes: number;
  /** How long an answer is waited for: while no round trip was measured, at least, at most. */
  readonly firstWaitMs: number;
  readonly leastWaitMs: number;
  readonly mostWaitMs: number;
  /** Between confirmations of what passes (CONFIRMATION_TIMER), while there is traffic and without; with many peers longer. */
  readonly confirmActiveMs: number;
  readonly confirmIdleMs: number;
  /** Traffic is taken to last for so long after it was noticed. */
  readonly activeForMs: number;
  /** Until more than passes is tried again (PMTU_RAISE_TIMER): at first, after a black hole, and at most. */
  readonly raiseMs: number;
  readonly raiseSoonMs: number;
  readonly raiseMostMs: number;
  /** A peer that has never answered is asked again after this, then ever later up to confirmIdleMs. */
  readonly silentMs: number;
  /** Probes unanswered in a row, while smaller ones were answered, that count as an answer (MAX_PROBES): more on lossy paths. */
  readonly tries: number;
  readonly triesMost: number;
}

export const DEFAULT_TIMING: PathTiming = {
  floorBytes: 576,
  baseBytes: 1_200,
  stepBytes: 8,
  firstWaitMs: 500,
  leastWaitMs: 100,
  mostWaitMs: 1_000,
  confirmActiveMs: 500,
  confirmIdleMs: 30_000,
  activeForMs: 2_000,
  raiseMs: 60_000,
  raiseSoonMs: 10_000,
  raiseMostMs: 600_000,
  silentMs: 1_000,
  tries: 3,
  triesMost: 8,
};

export interface SearchOptions {
  /** The largest packet that our own interface takes (MAX_PLPMTU). */
  readonly linkBytes: number;
  readonly rng: Rng;
  readonly timing: PathTiming;
  /** Shared by all paths of the host. */
  readonly budget: ProbeBudget;
  /** Whether probes can be sent at all now: to a peer of a sealed network only in a session. */
  readonly canProbe: () => boolean;
}
