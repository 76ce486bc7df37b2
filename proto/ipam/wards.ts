/**
 * The guardian's side: copies of the estates of wards, and taking over those of wards that are no more.
 *
 * - A ward's change is copied when its own record shows it, and only from the session that was heard last.
 * - One that names this disk as its guardian is taken in, unless its life has ended: whoever lost the copies with its disk
 *   had its own estate restored, and with it the list of lives that it had ended.
 * - A ward is taken over when it has been silent for longer than its lease. Of the root, which has two guardians,
 *   the heir does so, once the witness has promised it, and no other heir, no longer to answer the root. The witness' copy may
 *   be the newer one.
 */
import { intersect, isInside } from './block.ts';
import type { Estate, EstateRecord, Guardian } from './estate.ts';
import { inherit, isGuardian, isSameGuardian } from './estate.ts';
import { closerOf } from './guarded.ts';
import type { Holding, Ward } from './holding.ts';

/** An operator's word counts when the host has been silent for that long. */
export const QUIET_MS = 10_000;
/** More hosts than one pool has. */
const WARDS_MAX = 1_024;

export function hearWards(now: number, holding: Holding): void {
  for (const [name, { life, isPromised, isOver }] of holding.wards) {
    // A promise outlives what it was given for: the life that ended may come back and not know.
    if ((!isPromised || isOver) && closerOf(holding, life) !== undefined) drop(holding, name);
  }
  for (const [name, { estate: record }] of holding.peers) {
    if (record === undefined || name === holding.self) continue;
    const ward = holding.wards.get(name);
    if (ward === undefined) takeIn(now, holding, name, record);
    else if (record.session >= ward.session) hear(now, holding, name, ward, record);
  }
}

function takeIn(now: number, holding: Holding, name: string, record: EstateRecord): void {
  const { life, session, beat, estate } = record;
  if (life === 0 || !holding.isBorn || !holding.isKin(record)) return;
  if (!isGuardian(estate, holding.asGuardian) || holding.mayBeOver(life)) return;
  if (holding.wards.size >= WARDS_MAX) return;
  const flags = { isRegistered: true, isPromised: false, isOver: false, isWanted: false };
  holding.wards.set(name, { life, session, beat, estate, fromRev: 0, ...flags });
  holding.heardMs.set(name, now);
  holding.touch();
}

function hear(now: number, holding: Holding, name: string, ward: Ward, record: EstateRecord): void {
  const { life, session, beat, estate, noted } = record;
  if (life !== 0 && !holding.isKin(record)) return;
  if (life !== 0 && life !== ward.life) {
    if (!ward.isOver) holding.touch();
    ward.isOver = true;
    return;
  }
  if (life === ward.life && !isGuardian(estate, holding.asGuardian)) {
    // Others are its guardians now, and all of them know; not so when this was said before we became one.
    const isSince = session > ward.session || estate.rev > ward.estate.rev;
    if (isSince && noted >= estate.rev) drop(holding, name);
    return;
  }
  if (ward.isPromised) return;
  const isNewer = session > ward.session || beat > ward.beat || estate.rev > ward.estate.rev;
  if (!isNewer) return;
  holding.heardMs.set(name, now);
  const isKeptOnDisk = session > ward.session || (life !== 0 && estate.rev > ward.estate.rev);
  ward.session = session;
  ward.beat = beat;
  if (life !== 0) {
    if (estate.rev >= ward.estate.rev) ward.estate = estate;
    if (!ward.isRegistered || isKeptOnDisk) holding.touch();
    ward.isRegistered = true;
    ward.isWanted = false;
  } else if (isKeptOnDisk) holding.touch();
  holding.version++;
}

function drop(holding: Holding, name: string): void {
  holding.wards.delete(name);
  holding.heardMs.delete(name);
  holding.touch();
}

/** Takes over what is due; `isAlone`: nothing else of ours is under way. */
export function takeOver(now: number, holding: Holding): void {
  if (!holding.isBorn) return;
  for (const [name, ward] of holding.wards) {
    if (ward.fromRev > holding.noted && !ward.isRegistered && holding.estate.guardians.length > 0) continue;
    const { guardians, isRoot } = ward.estate;
    if (isRoot && guardians.length === 2) succeed(now, holding, name, ward);
    else if (isDue(now, holding, name, ward) && (holding.isValid(now) || isGoneByWord(holding, name, ward)))
      close(now, holding, name, ward.estate);
  }
}

function isDue(now: number, holding: Holding, name: string, ward: Ward): boolean {
  if (ward.isOver || ward.isWanted) return true;
  const isHeldBySilence = !ward.estate.isRoot;
  return isHeldBySilence && isSilent(now, holding, name);
}

/**
 * The root is our only guardian, and our lease ran out with it. An operator's word then is all there is, against which only
 * a host can speak that has what was the root's or ours when we heard of it last.
 */
function isGoneByWord(holding: Holding, name: string, ward: Ward): boolean {
  const { guardians } = holding.estate;
  const isMeant = ward.isWanted && ward.estate.isRoot && holding.isSettled;
  if (!isMeant || !guardians.every(({ life }) => life === ward.life)) return false;
  return hasNewer(holding, name, ward) === undefined;
}

/** Who has something that is its or ours, as far as we know: so that is long ago. */
export function hasNewer(holding: Holding, name: string, { estate }: Ward): string | undefined {
  const ours = [...estate.own, ...holding.estate.own];
  for (const [other, { estate: record }] of holding.peers) {
    if (other === name || record === undefined || !holding.isKin(record)) continue;
    const theirs = [...record.estate.own, ...record.estate.gifts.map(({ block }) => block)];
    if (intersect(theirs, ours).length > 0) return other;
  }
  return undefined;
}

const isSilent = (now: number, holding: Holding, name: string): boolean =>
  now >= (holding.heardMs.get(name) ?? now) + holding.patienceMs;

/** The root's heir and witness, each with its part. */
function succeed(now: number, holding: Holding, name: string, ward: Ward): void {
  const [heir, witness] = ward.estate.guardians;
  const isHeir = isSameGuardian(heir!, holding.asGuardian);
  const other = isHeir ? witness! : heir!;
  const word = holding.wordOf(other.name, name);
  const isTheirs = word !== undefined && word.life === ward.life && isSameGuardian(word.guardian, other);
  if (!isHeir) {
    const isAsked = isTheirs && word.isWanted && now >= (holding.heardMs.get(name) ?? now) + QUIET_MS;
    if (ward.isPromised || !(ward.isOver || isAsked || isSilent(now, holding, name))) return;
    ward.isPromised = true;
    return holding.touch();
  }
  if (!(ward.isOver || ward.isWanted || isSilent(now, holding, name))) return;
  if (!isTheirs || word.status !== 'promised' || word.estate === undefined) return;
  // Both copies name us: the witness of an older one has given the root up to the heir of that time.
  if (![word.estate, ward.estate].every((copy) => isPair(copy.guardians, heir!, witness!))) return;
  const estate = word.estate.rev > ward.estate.rev ? word.estate : ward.estate;
  if (estate.closed.includes(holding.life)) holding.lose(now, 'closed', name);
  else close(now, holding, name, estate);
}

const isPair = ([first, second]: readonly Guardian[], heir: Guardian, witness: Guardian): boolean =>
  first !== undefined &&
  second !== undefined &&
  isSameGuardian(first, heir) &&
  isSameGuardian(second, witness);

function close(now: number, holding: Holding, name: string, estate: Estate): void {
  const { life } = holding.wards.get(name)!;
  const isOurRoot = estate.isRoot && holding.estate.guardians.some((guardian) => guardian.life === life);
  if (estate.isRoot && !isOurRoot && holding.estate.guardians.length > 0) return;
  const guardians = holding.estate.guardians.filter((guardian) => guardian.life !== life);
  const isGuardianOfOurs = guardians.length < holding.estate.guardians.length;
  if (isGuardianOfOurs && !isOurRoot && !holding.canKeep(guardians)) return;
  const gifts = holding.estate.gifts.filter((gift) => !(gift.isFirst && gift.life === life));
  const next = inherit({ ...holding.estate, gifts }, life, estate);
  const inside = next.own.every((block) => isInside(block, holding.options.subnet));
  if (!inside || !holding.fits(next)) return;
  drop(holding, name);
  holding.change({ own: next.own, gifts: next.gifts, taken: next.taken, closed: next.closed });
  if (isOurRoot) {
    holding.estate = { ...holding.estate, isRoot: true };
    holding.setGuardians(now, [], []);
  } else if (isGuardianOfOurs) holding.changeGuardians(now, guardians);
  holding.events.push({ type: 'took-over', host: name, blocks: estate.own });
}

/** The root sees to it that it has an heir among its wards, and a witness beside it. */
export function chooseGuardians(now: number, holding: Holding, alive: ReadonlySet<string>): void {
  const { isRoot, guardians } = holding.estate;
  if (!holding.isBorn || !isRoot || !holding.isValid(now)) return;
  const [heir, witness] = guardians;
  const others = candidates(holding, alive).filter(
    ({ name }) => name !== heir?.name && name !== witness?.name,
  );
  const newHeir = others.find(({ name }) => isOwnWard(holding, name));
  const [newWitness] = others;
  const choose = (first: Guardian | undefined, second?: Guardian): void => {
    const next = [first, second].filter((each) => each !== undefined);
    if (first !== undefined && next.length >= guardians.length) holding.changeGuardians(now, next);
  };
  if (heir === undefined) return choose(newHeir);
  if (witness === undefined) {
    if (!holding.isSettled) return;
    if (!isOwnWard(holding, heir.name)) return newHeir && choose(newHeir, heir);
    return newWitness && choose(heir, newWitness);
  }
  const [isHeirGood, isWitnessGood] = [heir, witness].map((each) => isServing(holding, alive, each));
  if (isHeirGood === true && isWitnessGood !== true) {
    if (newWitness !== undefined) choose(heir, newWitness);
    else if (!holding.isSettled || hasPromised(holding, witness.name)) holding.changeGuardians(now, [heir]);
  } else if (isHeirGood !== true && isWitnessGood === true && newHeir !== undefined) choose(newHeir, witness);
}

/** Live hosts of the pool as guardians, by name. */
function candidates(holding: Holding, alive: ReadonlySet<string>): Guardian[] {
  const found: Guardian[] = [];
  for (const [name, { estate: record }] of holding.peers) {
    if (name === holding.self || !alive.has(name) || record === undefined || !holding.isKin(record)) continue;
    if (hasPromised(holding, name) || holding.mayBeOver(record.life)) continue;
    found.push({ name, life: record.life, ledger: record.ledger });
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function isOwnWard(holding: Holding, name: string): boolean {
  const ward = holding.wards.get(name);
  const record = holding.peers.get(name)?.estate;
  if (ward === undefined || record === undefined || !ward.isRegistered || ward.life !== record.life)
    return false;
  return isGuardian(record.estate, holding.asGuardian);
}

/** Alive in the life that we named, and still answering us. */
function isServing(holding: Holding, alive: ReadonlySet<string>, { name, life }: Guardian): boolean {
  return alive.has(name) && holding.peers.get(name)?.estate?.life === life && !hasPromised(holding, name);
}

/** It answers us no more, for good: it has given us up to our heir. */
function hasPromised(holding: Holding, name: string): boolean {
  const word = holding.wordOf(name, holding.self);
  return word?.status === 'promised' && word.life === holding.life;
}
