/**
 * How many live records of one table a log of another host may have, where each is more work than a look at its key. What is above
 * is not taken, and so the liar's log is never like its own: no honest host comes near.
 */
import { TABLE } from './interface.ts';

export const TABLE_LIVE_MAX: ReadonlyMap<number, number> = new Map<number, number>([
  // Of one host 256 keys count (keyring/rotation.ts), and what was said before a restart goes once all is said anew.
  [TABLE.keyring, 1_024],
  // A host carries at most 4,096 words (revocations.ts).
  [TABLE.revocation, 8_192],
]);

/** For our own log. */
export const NO_TABLE_LIMITS: ReadonlyMap<number, number> = new Map();
