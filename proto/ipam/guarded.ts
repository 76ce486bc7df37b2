/**
 * The ward's side: what our guardians say, and what to do when they are no more.
 *
 * - A word for our session and life extends our lease, counted from when we sent the sign of life that it answers, and says
 *   which change of ours they have. One guardian is enough once all have a copy that names them.
 * - The life of ours is in somebody's list of ended lives: all is lost.
 * - The life of our guardian is in such a list and ours is not: whoever ended it is our guardian now. It took over that
 *   guardian's own list with the estate, so it would know of our end.
 */
import type { Estate, Guardian, WardRecord } from './estate.ts';
import { isEarlier, isSameGuardian } from './estate.ts';
import type { Holding } from './holding.ts';

/** Two foundings of one pool met: the later one is void. */
export function yieldToEarlier(now: number, holding: Holding): void {
  for (const [name, { estate }] of holding.peers) {
    const theirs = estate?.lineage;
    if (theirs === undefined || holding.lineage === undefined || !isEarlier(theirs, holding.lineage))
      continue;
    holding.lose(now, 'other-lineage', name);
  }
}

export function noticeOwnEnd(now: number, holding: Holding): void {
  const by = closerOf(holding, holding.life);
  if (by !== undefined) holding.lose(now, 'closed', by);
}

/** Who ended that life and has it counted. */
export const closerOf = (holding: Holding, life: number): string | undefined => holding.closers.get(life);

export function hearGuardians(now: number, holding: Holding): void {
  const { guardians } = holding.estate;
  if (!holding.isBorn || guardians.length === 0) return;
  const words = guardians.flatMap((guardian) => wordOf(holding, guardian) ?? []);
  takeBackFromCopies(now, holding, words);
  const good = words.filter(({ status }) => status === 'noted');
  const { rev } = holding.estate;
  const have = good.filter((word) => word.rev === rev).length;
  if (have > 0 && have === guardians.length && !holding.isSettled) {
    holding.isSettled = true;
    holding.touch();
  }
  if (have > 0 && holding.isSettled && holding.noted !== rev) holding.count();
  for (const word of good) {
    if (word.beat !== holding.beat) continue;
    if (!holding.isSettled && !holding.retained.includes(word.guardian.name)) continue;
    extendLease(holding);
  }
}

function extendLease(holding: Holding): void {
  const until = holding.beatSentMs + holding.options.leaseMs;
  if (holding.isConfirmed && holding.leaseUntilMs >= until) return;
  holding.isConfirmed = true;
  holding.leaseUntilMs = Math.max(holding.leaseUntilMs, until);
  holding.version++;
}

/** What the guardian says to us as we are now. */
function wordOf(holding: Holding, guardian: Guardian): WardRecord | undefined {
  const word = holding.wordOf(guardian.name, holding.self);
  if (word === undefined || word.session !== holding.session || word.life !== holding.life) return undefined;
  return isSameGuardian(word.guardian, guardian) ? word : undefined;
}

/** Our disk was set back to an earlier day: the copies are newer. */
function takeBackFromCopies(now: number, holding: Holding, words: readonly WardRecord[]): void {
  const newest = newestCopy(words);
  if (newest === undefined || newest.rev <= holding.estate.rev || holding.lineage === undefined) return;
  holding.adopt(now, holding.life, holding.lineage, newest);
}

/** Of one life; undefined while a guardian that may have a newer one has not spoken. */
function newestCopy(words: readonly WardRecord[]): Estate | undefined {
  let newest: Estate | undefined;
  for (const { status, estate } of words) {
    if (status === 'restore' && estate !== undefined && (newest?.rev ?? -1) < estate.rev) newest = estate;
  }
  const isWhole = newest?.guardians.every((guardian) =>
    words.some((word) => isSameGuardian(word.guardian, guardian) && word.status === 'restore'),
  );
  return isWhole === true ? newest : undefined;
}

/** Nobody so far: somebody may have kept our estate from before our disk was lost, or gives us a first range. */
export function beBorn(now: number, holding: Holding): void {
  if (holding.isBorn) return;
  const byLife = new Map<number, WardRecord[]>();
  for (const name of holding.peers.keys()) {
    const word = holding.wordOf(name, holding.self);
    if (word?.session !== holding.session || word.status !== 'restore') continue;
    const known = byLife.get(word.life);
    if (known === undefined) byLife.set(word.life, [word]);
    else known.push(word);
  }
  for (const [life, words] of byLife) {
    const estate = newestCopy(words);
    const from = words[0]!;
    if (estate === undefined || isLaterFounding(holding, from)) continue;
    holding.adopt(now, life, from.lineage, estate);
    holding.events.push({ type: 'restored', from: from.guardian.name });
    return;
  }
}

function isLaterFounding(holding: Holding, { lineage }: WardRecord): boolean {
  for (const { estate } of holding.peers.values()) {
    if (estate?.lineage !== undefined && isEarlier(estate.lineage, lineage)) return true;
  }
  return false;
}

/** Guardians that ended, or that lost their disk and so our copy. */
export function replaceGuardians(now: number, holding: Holding): void {
  if (!holding.isBorn) return;
  const { guardians, isRoot } = holding.estate;
  for (const guardian of guardians) {
    const closer = closerOf(holding, guardian.life);
    const theirs = holding.peers.get(guardian.name)?.estate;
    if (closer !== undefined && closer !== guardian.name) {
      if (isRoot) {
        // It cannot be the only copy: who is left of two goes on.
        const left = guardians.filter((each) => each !== guardian);
        if (left.length > 0) return holding.changeGuardians(now, left);
        continue;
      }
      const { life, ledger } = holding.peers.get(closer)!.estate!;
      holding.isConfirmed = false;
      holding.leaseUntilMs = -Infinity;
      holding.setGuardians(now, [{ name: closer, life, ledger }], [closer]);
      return;
    }
    if (theirs !== undefined && theirs.life === guardian.life && theirs.ledger !== guardian.ledger) {
      const renewed = { ...guardian, ledger: theirs.ledger };
      holding.renewGuardians(
        now,
        guardians.map((each) => (each === guardian ? renewed : each)),
      );
      if (holding.estate.guardians !== guardians) return;
    }
  }
}
