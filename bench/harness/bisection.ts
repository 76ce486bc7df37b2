/**
 * Highest packet rate a path carries without loss, by bisection over paced rates (the throughput test of RFC 2544
 * section 26.1, with a loss bound in place of zero because other jobs share the machine).
 *
 * An unpaced trial comes first: it bounds the search from above, and ends it when even that loses nothing.
 * Not done here: sending. The trial is an argument, which is what the unit tests replace.
 */

export interface Trial {
  /** Packets a second really sent: a busy sender falls behind the asked rate. */
  readonly offeredPps: number;
  readonly receivedPps: number;
  /** Lost share of what was sent, 0 to 1. */
  readonly loss: number;
}

export interface BisectionOptions {
  /** A trial passes up to and including this share of loss. */
  readonly maxLoss: number;
  /** The search ends when the bounds are this close, as a share of the upper one. */
  readonly resolution: number;
  /** A path that loses even below this rate is given up: its result is 0. */
  readonly floorPps: number;
  /** Attempts per rate; one that passes is enough, so that a disturbance by another job does not end as the result. */
  readonly attempts: number;
}

export interface BisectionResult {
  /** Received rate of the best trial that passed; 0 when none did. */
  readonly pps: number;
  readonly trials: readonly (Trial & { readonly askedPps: number })[];
}

/** Rate at which a trial is unpaced: as fast as the sender can. */
export const UNPACED = 0;

/** A sender below this share of the asked rate has met its own limit: asking for more would tell nothing. */
const SENDER_LIMITED = 0.97;

export async function bisectRate(
  trial: (askedPps: number) => Promise<Trial>,
  options: BisectionOptions,
): Promise<BisectionResult> {
  const trials: (Trial & { askedPps: number })[] = [];
  let best = 0;
  const passes = async (askedPps: number): Promise<Trial | undefined> => {
    for (let attempt = 0; attempt < options.attempts; attempt++) {
      const outcome = await trial(askedPps);
      trials.push({ askedPps, ...outcome });
      if (outcome.loss > options.maxLoss) continue;
      best = Math.max(best, outcome.receivedPps);
      return outcome;
    }
    return undefined;
  };

  if (await passes(UNPACED)) return { pps: best, trials };
  // Under overload a path often delivers less than its best, so only the offered rate is a safe upper bound.
  let high = Math.max(...trials.map((each) => each.offeredPps));
  let low = 0;
  let next = firstGuess(trials, high);
  while (high - low > options.resolution * high && high > options.floorPps) {
    const passed = await passes(next);
    if (!passed) {
      high = next;
    } else {
      low = Math.max(low, next);
      if (passed.offeredPps < SENDER_LIMITED * next) break;
    }
    next = (low + high) / 2;
  }
  return { pps: best, trials };
}

/** What came through unpaced is near the answer for most paths; the middle when it says nothing. */
function firstGuess(trials: readonly Trial[], high: number): number {
  const delivered = Math.max(...trials.map((each) => each.receivedPps));
  return delivered > 0 && delivered < high ? delivered : high / 2;
}
