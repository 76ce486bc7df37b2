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
 * For one that has no room for it the receiver ends its run (Holding.decline): what counts of the next one shows for good
 * that it was not taken, and it goes back.
 */
import type { Block } from './block.ts';
import { isInside, merge } from './block.ts';
import type { Refusal } from './ask.ts';
import type { Estate, EstateRecord, Gift, Taken } from './estate.ts';
import { NO_ESTATE, isEffective } from './estate.ts';
import { closerOf } from './guarded.ts';
import type { Holding } from './holding.ts';
import { bytesOf, withGift } from './room.ts';
import { without } from './space.ts';

/** At most so many at a time: each has to fit into the record. */
const GIFTS_MAX = 16;
/** What of a record may become full of pieces that gifts of certain addresses leave. */
const ROOMY = 2 / 3;

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
    if (isEffective(theirs)) {
      if (isTaken(theirs.estate.taken, gift)) return 'there';
      const isNextRun = theirs.session > gift.session;
      if (isNextRun && receivedBytes(holding, theirs, gift) > holding.recordMaxBytes) return 'back';
    }
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
  const next = withGift(holding.estate, gift, { name: donor, life: record.life, rev: record.estate.rev });
  if (holding.fits(next)) holding.change(next);
  else holding.decline(gift.id);
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

/**
 * Gives a host of the pool one of these blocks of ours, smallest first: one that leaves both records much room, else the last,
 * of which the fewest pieces remain. Why it gives none; undefined: it does.
 */
export function give(
  holding: Holding,
  to: string,
  theirs: EstateRecord,
  blocks: readonly Block[],
): Refusal | undefined {
  const { life, session } = theirs;
  const id = holding.random();
  const choices = blocks.map((block): Gift => ({ id, block, to, life, session, isFirst: false }));
  const roomyBytes = holding.recordMaxBytes * ROOMY;
  const isRoomy = (gift: Gift): boolean =>
    holding.bytesWith(sent(holding, gift)) <= roomyBytes &&
    receivedBytes(holding, theirs, gift) <= roomyBytes;
  const gift = choices.find(isRoomy) ?? choices.at(-1);
  if (gift === undefined) return 'nothing-free';
  if (receivedBytes(holding, theirs, gift) > holding.recordMaxBytes) return 'asker-full';
  return send(holding, gift) ? undefined : 'record-full';
}

/** Of its receiver's record once that has it, as far as we know it. */
function receivedBytes({ self, life, estate, options }: Holding, theirs: EstateRecord, gift: Gift): number {
  const next = withGift(theirs.estate, gift, { name: self, life, rev: estate.rev });
  return bytesOf(gift.to, { ...theirs, estate: { ...theirs.estate, ...next } }, options.family);
}

/** Gives a host its first block, and becomes its guardian. */
export function giveFirst(
  now: number,
  holding: Holding,
  to: string,
  session: number,
  block: Block,
): Refusal | undefined {
  const life = holding.random();
  if (!send(holding, { id: life, block, to, life, session, isFirst: true })) return 'record-full';
  const estate = { ...NO_ESTATE, rev: 1, guardians: [holding.asGuardian], own: [block] };
  const flags = { isRegistered: false, isPromised: false, isOver: false, isWanted: false };
  holding.wards.set(to, { life, session, beat: 0, estate, fromRev: holding.estate.rev, ...flags });
  holding.heardMs.set(to, now);
  return undefined;
}

function send(holding: Holding, gift: Gift): boolean {
  const next = sent(holding, gift);
  if (next.gifts.length > GIFTS_MAX || !holding.fits(next)) return false;
  holding.change(next);
  return true;
}

const sent = ({ estate }: Holding, gift: Gift): Pick<Estate, 'own' | 'gifts'> => ({
  own: without(estate.own, [gift.block]),
  gifts: [...estate.gifts, gift],
});
