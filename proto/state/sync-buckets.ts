/**
 * Where there are many owners a SYNC begins with sums over groups of them, so that two replicas that agree, or nearly,
 * need not list every log: 64 sums are half a kilobyte, the lines of 1,000 logs thirty.
 *
 * Which group an owner belongs to goes by its name alone, the same on all hosts.
 */
import { add64 } from './hash.ts';
import type { SyncLine } from './messages.ts';
import type { OwnerLog } from './owner-log.ts';

export const SYNC_BUCKETS = 64;
/** Up to this many logs their lines are said at once: that costs no more than the sums. */
export const SYNC_LINES_DIRECT = 16;

/** FNV-1a over the name, mixed. */
export function bucketOf(owner: string, of: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < owner.length; i++) hash = Math.imul(hash ^ owner.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  return ((hash ^ (hash >>> 13)) >>> 0) % of;
}

/** What anybody can be told of: logs that reach somewhere. */
const isTold = (log: OwnerLog): boolean => log.have > 0;

export function bucketSums(logs: Iterable<OwnerLog>, of: number): bigint[] {
  const sums = Array.from({ length: of }, () => 0n);
  for (const log of logs) {
    if (!isTold(log)) continue;
    const bucket = bucketOf(log.owner, of);
    sums[bucket] = add64(sums[bucket]!, log.lineHash);
  }
  return sums;
}

/** Those of the logs that are in one of the buckets; all where no buckets are given. */
export function linesOf(logs: Iterable<OwnerLog>, of = 1, buckets: readonly number[] = [0]): SyncLine[] {
  const wanted = new Set(buckets);
  const lines: SyncLine[] = [];
  for (const log of logs) if (isTold(log) && wanted.has(bucketOf(log.owner, of))) lines.push(log.line());
  return lines;
}
