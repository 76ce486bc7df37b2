/**
 * Addresses of one subnet without a coordinator: every address has at most one host that may hand it out, at any time.
 *
 * A sans-I/O object. Give it what comes in (`learn*`, `handle*`, commands), then `flush`: it does what follows from that, has what
 * must survive put on disk, and then says what to write into this host's records. Poll messages and events until
 * undefined, and sleep until `nextDeadline`.
 *
 * - Whoever founds the pool has the whole subnet. Blocks change hands only by gift of their owner (gifts.ts).
 * - Each host has a guardian, first the one that gave it its first block, which keeps a copy of what it holds. A change counts
 *   once that copy is on disk, and nobody acts on what does not count yet. So the copy tells all that a host has given
 *   away, and only its keeper can take over the rest (wards.ts), after the host's own lease has run out.
 * - A host that lost its disk gets its estate back from its guardians; until it has heard them it hands nothing out.
 * - Two foundings apart (hosts that start alone with one configuration) are two lineages; where these meet the later is void.
 */
import type { Rng } from '../env.ts';
import { WireError } from '../state/bytes.ts';
import type { Ask, Refusal, Refuse } from './ask.ts';
import { encodeAsk, encodeRefuse } from './ask.ts';
import { Asking } from './asking.ts';
import type { Block, Family } from './block.ts';
import { anyHolds, isInside, total } from './block.ts';
import type { EstateRecord } from './estate.ts';
import { beBorn, hearGuardians, noticeOwnEnd, replaceGuardians, yieldToEarlier } from './guarded.ts';
import { forgetTaken, give, giveFirst, settleGifts, takeGifts } from './gifts.ts';
import type { HoldingEvent, Peer, SavedHolding } from './holding.ts';
import { Holding } from './holding.ts';
import type { RecordWrite } from './publication.ts';
import { Publication } from './publication.ts';
import { decodeEstateRecord, decodeWardRecord } from './records.ts';
import { Space, without } from './space.ts';
import { QUIET_MS, chooseGuardians, hasNewer, hearWards, takeOver } from './wards.ts';

export interface RangePoolOptions {
  readonly self: string;
  /** Key of the estate record: network and family. */
  readonly pool: Uint8Array;
  readonly family: Family;
  readonly subnet: Block;
  /** Gateways and other addresses that nobody gets. */
  readonly reserved: readonly bigint[];
  /** Higher than that of every earlier run of this host. */
  readonly session: number;
  readonly rng: Rng;
  readonly leaseMs: number;
  /** What a record may take, the same on all hosts; simulations say less. */
  readonly recordMaxBytes?: number;
  /** Whether this host may found the pool where nobody has (it made the network, or has it in its configuration). */
  readonly mayFound: boolean;
  /** No other host may: it was made here, and is in nobody else's configuration. */
  readonly isSoleFounder: boolean;
  /** How long it looks for others before. */
  readonly foundAfterMs: number;
  /** Wall clock, ms since 1970: which of two foundings is the earlier. */
  readonly wall: () => number;
}

/** An address, or why there is none now: `wait` says that others are being asked. */
export type Taking =
  { readonly address: bigint } | { readonly reason: 'wait' | 'used' | 'special' | 'outside' };

export type ReclaimAnswer =
  | { readonly done: true }
  | { readonly done: false; readonly reason: 'not-our-ward'; readonly guardian: string | undefined }
  | { readonly done: false; readonly reason: 'alive' | 'waiting' | 'not-ready' };

const BEAT_MIN_MS = 200;
const BEAT_MAX_MS = 3_600_000;
/** How often free space is counted at most. */
const LOOK_MS = 1_000;
/** However still it is. */
const REST_MS = 60_000;
const LOW_PAUSE_MS = 30_000;
const ROUNDS_MAX = 32;
const PEERS_MAX = 4_096;

export class RangePool {
  readonly options: RangePoolOptions;
  readonly space: Space;
  readonly #holding: Holding;
  readonly #publication: Publication;
  readonly #asking: Asking;
  #alive: ReadonlySet<string> = new Set();
  #messages: { to: string; bytes: Uint8Array }[] = [];
  /** More is wanted than what was ours then: `empty`: nothing is left; `low`: soon. */
  #want: { readonly why: 'empty' | 'low'; readonly owned: bigint } | undefined;
  /** This very address is wanted. */
  #wanted: bigint | undefined;
  #ranVersion = -1;
  #publishedVersion = -1;
  #freeBits = -1;
  #lookMs = -Infinity;
  #lookedOwn: readonly Block[] | undefined;
  #lowUntilMs = -Infinity;
  #foundMs = Infinity;
  #nowMs: number;

  constructor(now: number, options: RangePoolOptions, saved?: SavedHolding) {
    this.options = options;
    this.space = new Space(options);
    this.#holding = new Holding(now, options, saved);
    this.#nowMs = now;
    this.#publication = new Publication(this.#holding, options.pool);
    this.#asking = new Asking(this.#holding);
  }

  // What comes in

  /** An estate record of another host; undefined: not visible any more, which says nothing. Throws WireError. */
  learnEstate(owner: string, bytes: Uint8Array | undefined): void {
    if (owner === this.options.self || bytes === undefined) return;
    const record = decodeEstateRecord(bytes, this.options.family);
    if (!isWithin(record, this.options.subnet)) throw new WireError('a range outside its subnet');
    const peer = this.#peer(owner);
    if (peer === undefined || isEarlierSaid(record, peer.estate)) return;
    this.#holding.heard(peer, record);
  }

  /** A ward record of another host; undefined: it is taken back, or its host is not visible any more. Throws WireError. */
  learnWard(owner: string, keyHex: string, bytes: Uint8Array | undefined): void {
    if (owner === this.options.self) return;
    const peer = this.#peer(owner);
    if (peer === undefined) return;
    if (bytes === undefined) peer.wards.delete(keyHex);
    else {
      const record = decodeWardRecord(bytes, this.options.family);
      const isGood = record.guardian.name === owner && this.#holding.wardKeyHex(record.ward) === keyHex;
      if (!isGood) throw new WireError('a ward record under a key that is not its own');
      if (peer.wards.size < PEERS_MAX) peer.wards.set(keyHex, record);
    }
    this.#holding.version++;
  }

  #peer(name: string): Peer | undefined {
    const { peers } = this.#holding;
    let peer = peers.get(name);
    if (peer === undefined && peers.size < PEERS_MAX) {
      peer = { estate: undefined, wards: new Map() };
      peers.set(name, peer);
    }
    return peer;
  }

  /** Hosts that are there, as membership says. */
  setAlive(alive: ReadonlySet<string>): void {
    this.#alive = alive;
    this.#holding.version++;
  }

  /** This host has joined the others, or has none to join: founding may be thought of. */
  setSettled(now: number, isSettled: boolean): void {
    if (!isSettled) this.#foundMs = Infinity;
    else if (this.#foundMs === Infinity) this.#foundMs = now + this.options.foundAfterMs;
  }

  /** Throws WireError. */
  handleMessage(now: number, from: string, message: Ask | Refuse): void {
    if (message.kind === 'ask') this.#handleAsk(now, from, message);
    else if (message.session === this.#holding.session) this.#asking.refused(now, from, message.reason);
    this.#run(now);
  }

  handleDeadline(now: number): void {
    this.#run(now);
  }

  nextDeadline(): number {
    const { beatSentMs, heardMs, patienceMs } = this.#holding;
    let next = this.#nowMs + REST_MS;
    // What was due and could not be done is done when something comes in.
    const consider = (atMs: number): void => {
      if (atMs > this.#nowMs && atMs < next) next = atMs;
    };
    consider(this.#asking.nextDeadline());
    consider(this.#foundMs);
    consider(beatSentMs + this.#beatMs);
    for (const atMs of heardMs.values()) consider(atMs + patienceMs);
    return next;
  }

  // Commands

  /** The pool was made here just now. */
  found(now: number): void {
    if (this.#holding.isBorn) return;
    this.#holding.found(this.options.wall());
    this.#run(now);
  }

  /** Takes the next free address, or exactly that one. With `wait` others are asked: try again after each change. */
  take(now: number, address?: bigint): Taking {
    if (address !== undefined) return this.#takeExactly(now, address);
    const found = this.space.next(this.#forEndpoints(now));
    if (found === undefined) return this.#wait(now);
    this.space.use(found);
    this.#holding.isDirty = true;
    return { address: found };
  }

  #takeExactly(now: number, address: bigint): Taking {
    if (!anyHolds([this.options.subnet], address)) return { reason: 'outside' };
    if (this.space.isSpecial(address)) return { reason: 'special' };
    if (this.space.isUsed(address) || anyHolds(this.#holding.estate.docker, address))
      return { reason: 'used' };
    if (!anyHolds(this.#forEndpoints(now), address)) return this.#wait(now, address);
    this.space.use(address);
    this.#holding.isDirty = true;
    return { address };
  }

  #wait(now: number, address?: bigint): Taking {
    if (address !== undefined) this.#wanted = address;
    else this.#wantMore(now, 'empty');
    this.#run(now);
    return { reason: 'wait' };
  }

  #wantMore(now: number, why: 'empty' | 'low'): void {
    if (this.#want === undefined || (this.#want.why === 'low' && why === 'empty'))
      this.#want = { why, owned: total(this.#holding.usable(now)) };
  }

  /** Nobody waits for more any longer. */
  stopAsking(): void {
    this.#want = undefined;
    this.#wanted = undefined;
    this.#asking.reset();
  }

  release(address: bigint): boolean {
    const isUsed = this.space.release(address);
    if (isUsed) this.#holding.isDirty = true;
    return isUsed;
  }

  /**
   * A block for Docker's own IPAM, of 2^bits addresses, or fewer but 2^atLeast; the same for ever after. undefined: others
   * are being asked, try again after each change.
   */
  dockerBlock(now: number, bits: number, atLeast: number): Block | undefined {
    const [known] = this.#holding.estate.docker;
    if (known !== undefined) return this.mayHandOut(now, known.base) ? known : undefined;
    const block = this.space.largestFree(this.#forEndpoints(now), bits);
    if (block === undefined || block.bits < atLeast) {
      this.#wantMore(now, 'low');
      this.#run(now);
      return undefined;
    }
    if (!this.#holding.fits({ docker: [block] })) return undefined;
    this.#holding.change({ docker: [block] });
    this.#run(now);
    return block;
  }

  /** Takes over the estate of a host that is gone for good, by an operator's word. */
  reclaim(now: number, host: string): ReclaimAnswer {
    const ward = this.#holding.wards.get(host);
    const theirs = this.#holding.peers.get(host)?.estate;
    if (ward === undefined)
      return { done: false, reason: 'not-our-ward', guardian: theirs?.estate.guardians[0]?.name };
    // One that began anew with nothing does not live the life that is taken over.
    const isAlive = this.#alive.has(host) && theirs?.life !== 0;
    if (isAlive || now < (this.#holding.heardMs.get(host) ?? now) + QUIET_MS)
      return { done: false, reason: 'alive' };
    ward.isWanted = true;
    this.#holding.touch();
    this.#run(now);
    if (!this.#holding.wards.has(host)) return { done: true };
    const isQuorum = ward.estate.isRoot && ward.estate.guardians.length === 2;
    if (isQuorum || this.#holding.isValid(now)) return { done: false, reason: 'waiting' };
    const newer = hasNewer(this.#holding, host, ward);
    if (newer !== undefined) return { done: false, reason: 'not-our-ward', guardian: newer };
    return { done: false, reason: 'not-ready' };
  }

  /** It did not come about. */
  unwant(host: string): void {
    const ward = this.#holding.wards.get(host);
    if (ward?.isWanted !== true) return;
    ward.isWanted = false;
    this.#holding.touch();
  }

  /**
   * Time may have gone by unnoticed (a machine that slept): what is ours may have been taken over, so nothing is handed out
   * until a guardian has been heard.
   */
  doubt(now: number): void {
    this.#holding.doubt(now);
    this.#run(now);
  }

  // Giving

  #handleAsk(now: number, from: string, ask: Ask): void {
    const reason = this.#answer(now, from, ask);
    if (reason === undefined) return;
    const { pool, session } = ask;
    this.#messages.push({ to: from, bytes: encodeRefuse({ kind: 'refuse', pool, session, reason }) });
  }

  /** undefined: something is on its way to the asker. */
  #answer(now: number, from: string, ask: Ask): Refusal | undefined {
    const holding = this.#holding;
    const isFirst = ask.life === 0;
    if (!holding.isValid(now))
      return isFirst && holding.wards.has(from) && holding.guardiansAre(from) ? 'copy-unsure' : 'not-ready';
    const record = holding.peers.get(from)?.estate;
    if (!isFirst && (record?.life !== ask.life || !holding.isKin(record))) return 'other-lineage';
    if (isFirst && holding.wards.has(from)) return undefined;
    if (holding.estate.gifts.some(({ to, life }) => to === from && life === ask.life)) return undefined;
    if (!this.#isGuarded()) return 'guardian-away';
    const free = this.#forEndpoints(now);
    if (ask.address !== undefined && !anyHolds(free, ask.address))
      return anyHolds(holding.estate.docker, ask.address) ? 'address-taken' : 'not-mine';
    const blocks =
      ask.address === undefined ? this.space.toGive(free) : this.space.toGiveAt(free, ask.address);
    const [block] = blocks;
    if (block === undefined) return ask.address === undefined ? 'nothing-free' : 'address-taken';
    const refusal =
      isFirst || record === undefined
        ? giveFirst(now, holding, from, ask.session, block)
        : give(holding, from, record, blocks);
    if (refusal === undefined) this.#lookMs = -Infinity;
    return refusal;
  }

  /** Somebody is there to note a change. */
  #isGuarded(): boolean {
    const { guardians } = this.#holding.estate;
    if (guardians.length === 0) return true;
    const there = guardians.filter(({ name }) => this.#alive.has(name)).length;
    return this.#holding.isSettled ? there > 0 : there === guardians.length;
  }

  // Inside

  /** What endpoints get their addresses from. */
  #forEndpoints(now: number): Block[] {
    return without(this.#holding.usable(now), this.#holding.estate.docker);
  }

  #run(now: number): void {
    const holding = this.#holding;
    this.#nowMs = now;
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const { version } = holding;
      yieldToEarlier(now, holding);
      noticeOwnEnd(now, holding);
      beBorn(now, holding);
      this.#foundIfNobody(now);
      hearGuardians(now, holding);
      replaceGuardians(now, holding);
      hearWards(now, holding);
      settleGifts(holding);
      takeGifts(holding);
      forgetTaken(holding);
      chooseGuardians(now, holding, this.#alive);
      takeOver(now, holding);
      if (holding.version === version) break;
    }
    this.#beat(now);
    this.#ask(now);
    this.#ranVersion = holding.version;
  }

  #foundIfNobody(now: number): void {
    const holding = this.#holding;
    if (holding.isBorn || !this.options.mayFound || now < this.#foundMs) return;
    for (const [name, { estate, wards }] of holding.peers) {
      if (estate !== undefined && estate.life !== 0) return;
      if (wards.has(this.#holding.wardKeyHex(holding.self))) return;
      // The first by name of those who would. Who may not, looks the same from here.
      if (!this.options.isSoleFounder && estate !== undefined && this.#alive.has(name) && name < holding.self)
        return;
    }
    holding.found(this.options.wall());
  }

  get #beatMs(): number {
    return Math.min(BEAT_MAX_MS, Math.max(BEAT_MIN_MS, this.options.leaseMs / 4));
  }

  /** A new sign of life, once the last one was answered. */
  #beat(now: number): void {
    const holding = this.#holding;
    if (!holding.isBorn || holding.estate.guardians.length === 0) return;
    const isAnswered = holding.leaseUntilMs >= holding.beatSentMs + this.options.leaseMs;
    if (isAnswered && now >= holding.beatSentMs + this.#beatMs) holding.nextBeat(now);
  }

  /** How much is free, and whether that is little. */
  #look(now: number): void {
    const { notedOwn } = this.#holding;
    if (now < this.#lookMs + LOOK_MS && notedOwn === this.#lookedOwn) return;
    this.#lookMs = now;
    this.#lookedOwn = notedOwn;
    const blocks = this.#forEndpoints(now);
    const free = this.space.count(blocks);
    this.#freeBits = free > 0n ? free.toString(2).length - 1 : -1;
    const isLow = this.#holding.isBorn && free * 8n < total(blocks);
    if (!isLow || now < this.#lowUntilMs) return;
    this.#lowUntilMs = now + LOW_PAUSE_MS;
    if (this.#want === undefined) this.#wantMore(now, 'low');
  }

  get #isAsking(): boolean {
    return this.#want !== undefined || this.#wanted !== undefined;
  }

  #ask(now: number): void {
    if (!this.#isAsking) return;
    const holding = this.#holding;
    const usable = this.#forEndpoints(now);
    if (this.#wanted !== undefined && anyHolds(usable, this.#wanted)) this.#wanted = undefined;
    if (this.#want !== undefined && this.#isEnough(now, this.#want, usable)) this.#want = undefined;
    if (!this.#isAsking) return this.#asking.reset();
    // Born but not heard by its guardian: what it has may be enough.
    if (holding.isBorn && !holding.isValid(now)) return;
    const question = this.#asking.poll(now, this.#alive, holding.isBorn ? this.#wanted : undefined);
    if (question === undefined) return;
    const { session, life } = holding;
    const ask: Ask = { kind: 'ask', pool: this.options.pool, session, life, address: question.address };
    this.#messages.push({ to: question.to, bytes: encodeAsk(ask, this.options.family) });
  }

  #isEnough(now: number, { why, owned }: { why: 'empty' | 'low'; owned: bigint }, usable: Block[]): boolean {
    if (total(this.#holding.usable(now)) > owned) return true;
    return why === 'empty' ? this.space.count(usable) > 0n : this.#asking.rounds > 0;
  }

  // What goes out

  /** Calls `save` with what must be on disk first, when that changed; then returns what to put into our records. */
  flush(now: number, save: (saved: SavedHolding) => void): RecordWrite[] {
    const holding = this.#holding;
    if (holding.version !== this.#ranVersion) this.#run(now);
    this.#look(now);
    if (holding.isDirty) {
      save(holding.saved());
      holding.isDirty = false;
    }
    const version = holding.version * 256 + this.#freeBits;
    if (version === this.#publishedVersion) return [];
    this.#publishedVersion = version;
    return this.#publication.take(now, this.#freeBits);
  }

  pollMessage(): { readonly to: string; readonly bytes: Uint8Array } | undefined {
    return this.#messages.shift();
  }

  pollEvent(): HoldingEvent | undefined {
    return this.#holding.events.shift();
  }

  // Readers

  /** May this host hand out this address now? */
  mayHandOut(now: number, address: bigint): boolean {
    return anyHolds(this.#holding.usable(now), address);
  }

  usable(now: number): readonly Block[] {
    return this.#holding.usable(now);
  }

  /** Free addresses for endpoints. */
  free(now: number): bigint {
    return this.space.count(this.#forEndpoints(now));
  }

  get holding(): Holding {
    return this.#holding;
  }

  /** What the hosts answered that were asked last. */
  get refusals(): ReadonlyMap<string, Refusal | 'silent'> {
    return this.#asking.reasons;
  }
}

/** What comes late does not count against what was said since: a host's session grows, within it its beat, with both its changes. */
function isEarlierSaid(record: EstateRecord, known: EstateRecord | undefined): boolean {
  if (known === undefined || record.session > known.session) return false;
  if (record.session < known.session || record.beat < known.beat) return true;
  return record.beat === known.beat && record.estate.rev < known.estate.rev;
}

function isWithin({ estate }: EstateRecord, subnet: Block): boolean {
  const blocks = [...estate.own, ...estate.docker, ...estate.gifts.map(({ block }) => block)];
  return blocks.every((block) => isInside(block, subnet));
}
