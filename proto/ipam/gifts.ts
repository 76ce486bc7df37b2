/**
 * Blocks on their way from one estate to another.
 *
 * A gift leaves its donor's blocks in the same change that names it, and stays named until the receiver's record shows,
 * as something that counts, that it was taken. The receiver takes what the donor's record shows as something that counts,
 * and remembers the gift for as long as an offer of it may still be about. A receiver's life that ended has taken what its
 * closer's list says; the rest goes back. So whatever gets lost or comes twice or late, each block is in one place.
 *
 * A gift is held out to one run of its receiver, and to the next when its donor hears of that. All offers that are still
 * about once a gift was forgotten are to the run that forgot it, which knows the newer record of the donor, or to earlier ones.
 */
import type { Block } from './block.ts';
import { isInside, merge } from './block.ts';
import type { EstateRecord, Gift, Taken } from './estate.ts';
import { NO_ESTATE, isEffective } from './estate.ts';
import { closerOf } from './guarded.ts';
import type { Holding } from './holding.ts';
import { without } from './space.ts';

/** At most so many at a time: each has to fit into the record. */
const GIFTS_MAX = 16;

/** What of ours has arrived, or never will. */
export function settleGifts(holding: Holding): void {
  for (const gift of holding.estate.gifts) {
    const fate = fateOf(holding, gift);
    if (fate === undefined) {
      readdress(holding, gift);
      continue;
    }
    const gifts = holding.estate.gifts.filter((each) => each !== gift);
    const own = fate === 'back' ? merge([...holding.estate.own, gift.block]) : holding.estate.own;
    holding.change({ gifts, own });
  }
}

/** Its receiver began anew and may not have taken it before. */
function readdress(holding: Holding, gift: Gift): void {
  const theirs = holding.peers.get(gift.to)?.estate;
  if (gift.isFirst || theirs?.life !== gift.life || theirs.session <= gift.session) return;
  const next = { ...gift, session: theirs.session };
  holding.change({ gifts: holding.estate.gifts.map((each) => (each === gift ? next : each)) });
}

function fateOf(holding: Holding, gift: Gift): 'there' | 'back' | undefined {
  // It came to us with the estate of its donor.
  if (gift.to === holding.self && gift.life === holding.life)
    return isTaken(holding.estate.taken, gift) ? 'there' : 'back';
  const theirs = holding.peers.get(gift.to)?.estate;
  if (theirs !== undefined && theirs.life === gift.life) {
    if (gift.isFirst) return 'there';
    if (isEffective(theirs) && isTaken(theirs.estate.taken, gift)) return 'there';
  }
  if (holding.estate.closed.includes(gift.life)) {
    return isTaken(holding.estate.taken, gift) ? 'there' : gift.isFirst ? undefined : 'back';
  }
  const closer = closerOf(holding, gift.life);
  if (closer === undefined || gift.isFirst) return undefined;
  return isTaken(holding.peers.get(closer)!.estate!.estate.taken, gift) ? 'there' : 'back';
}

const isTaken = (taken: readonly Taken[], gift: Gift): boolean => taken.some(({ id }) => id === gift.id);

/** What others hold out to us. */
export function takeGifts(holding: Holding): void {
  if (!holding.isBorn) return;
  for (const [donor, { estate: record }] of holding.peers) {
    if (record === undefined || donor === holding.self || !isEffective(record) || !holding.isKin(record))
      continue;
    // What an ended life offered is its closer's to give.
    if (holding.mayBeOver(record.life)) continue;
    for (const gift of record.estate.gifts) if (isForUs(holding, gift)) take(holding, donor, record, gift);
  }
}

function isForUs(holding: Holding, gift: Gift): boolean {
  const isToUs = gift.to === holding.self && gift.life === holding.life && gift.session === holding.session;
  return isToUs && !gift.isFirst && !isTaken(holding.estate.taken, gift);
}

function take(holding: Holding, donor: string, record: EstateRecord, gift: Gift): void {
  if (!isInside(gift.block, holding.options.subnet)) return;
  const entry = { id: gift.id, donor, donorLife: record.life, donorRev: record.estate.rev };
  const taken = [...holding.estate.taken, entry];
  const own = merge([...holding.estate.own, gift.block]);
  if (holding.fits({ own, taken })) holding.change({ own, taken });
}

/** What need not be remembered any more: the donor, as it is now or as whoever took it over, no longer offers it. */
export function forgetTaken(holding: Holding): void {
  if (!holding.isBorn) return;
  for (const entry of holding.estate.taken) {
    const next = followUp(holding, entry);
    if (next === entry) continue;
    const taken = holding.estate.taken.flatMap((each) => (each === entry ? (next ?? []) : each));
    holding.change({ taken });
  }
}

function followUp(holding: Holding, entry: Taken): Taken | undefined {
  if (holding.estate.closed.includes(entry.donorLife) || entry.donorLife === holding.life) {
    // The offer is ours now, if there is one.
    return holding.estate.gifts.some(({ id }) => id === entry.id) ? entry : undefined;
  }
  const record = holding.peers.get(entry.donor)?.estate;
  if (record?.life === entry.donorLife) {
    const isOffered = record.estate.gifts.some(({ id }) => id === entry.id);
    const isSince = isEffective(record) && record.estate.rev > entry.donorRev;
    return isSince && !isOffered ? undefined : entry;
  }
  const closer = closerOf(holding, entry.donorLife);
  if (closer === undefined) return entry;
  const { life, estate } = holding.peers.get(closer)!.estate!;
  return { id: entry.id, donor: closer, donorLife: life, donorRev: estate.rev - 1 };
}

/** Gives a block of ours to a host of the pool. False when it does not fit. */
export function give(
  holding: Holding,
  to: string,
  { life, session }: { life: number; session: number },
  block: Block,
): boolean {
  const gift: Gift = { id: holding.random(), block, to, life, session, isFirst: false };
  return send(holding, gift);
}

/** Gives a host its first block, and becomes its guardian. */
export function giveFirst(now: number, holding: Holding, to: string, session: number, block: Block): boolean {
  const life = holding.random();
  if (!send(holding, { id: life, block, to, life, session, isFirst: true })) return false;
  const estate = { ...NO_ESTATE, rev: 1, guardians: [holding.asGuardian], own: [block] };
  const flags = { isRegistered: false, isPromised: false, isOver: false, isWanted: false };
  holding.wards.set(to, { life, session, beat: 0, estate, fromRev: holding.estate.rev, ...flags });
  holding.heardMs.set(to, now);
  return true;
}

function send(holding: Holding, gift: Gift): boolean {
  const own = without(holding.estate.own, [gift.block]);
  const gifts = [...holding.estate.gifts, gift];
  if (gifts.length > GIFTS_MAX || !holding.fits({ own, gifts })) return false;
  holding.change({ own, gifts });
  return true;
}
