/**
 * One host's part in one pool: what must survive on disk, and what is known of the others. The rules are in the files
 * beside it; all of them change the estate through `change`, so that every change has its number.
 */
import type { Rng } from '../env.ts';
import type { Block, Family } from './block.ts';
import { intersect } from './block.ts';
import type { Estate, EstateRecord, Guardian, Lineage, WardRecord } from './estate.ts';
import { NO_ESTATE, isEffective, isSameLineage } from './estate.ts';
import { wardKey } from './records.ts';
import { RECORD_MAX_BYTES, bytesOf } from './room.ts';
import { toHex } from '../state/bytes.ts';

/** The copy of another host's estate that we keep. */
export interface Ward {
  life: number;
  session: number;
  beat: number;
  estate: Estate;
  /** It begins with a gift of ours; offered once that change of ours counts. */
  fromRev: number;
  /** It has been heard in this life. */
  isRegistered: boolean;
  /** As its witness we have given it up to its heir. */
  isPromised: boolean;
  /** It said itself that it lives another life. */
  isOver: boolean;
  /** An operator wants it taken over. */
  isWanted: boolean;
}

export interface SavedHolding {
  readonly session: number;
  readonly ledger: number;
  readonly life: number;
  readonly lineage: Lineage | undefined;
  readonly estate: Estate;
  readonly isSettled: boolean;
  readonly retained: readonly string[];
  readonly wards: ReadonlyMap<string, Readonly<Ward>>;
}

export interface HoldingOptions {
  readonly self: string;
  /** Key of the estate record: network and family. */
  readonly pool: Uint8Array;
  readonly family: Family;
  readonly subnet: Block;
  /** Higher than that of every earlier run. */
  readonly session: number;
  readonly rng: Rng;
  /** How long a silent host's estate stays its own. */
  readonly leaseMs: number;
  /** What a record may take, the same on all hosts; simulations say less. */
  readonly recordMaxBytes?: number;
}

/** What another host says. */
export interface Peer {
  estate: EstateRecord | undefined;
  /** To its wards, us among them, by record key. */
  readonly wards: Map<string, WardRecord>;
}

export type HoldingEvent =
  /** All that we had is another's now, or void: `closed` by a guardian, or an earlier founding was met. */
  | { readonly type: 'lost'; readonly reason: 'closed' | 'other-lineage'; readonly by: string }
  | { readonly type: 'took-over'; readonly host: string; readonly blocks: readonly Block[] }
  | { readonly type: 'restored'; readonly from: string };

/** Record keys that are remembered, since they are hashes. */
const KEYS_MAX = 4_096;
/** More lives than end while a host runs. */
const SAID_MAX = 65_536;
/** More gifts than are offered at a time. */
const DECLINED_MAX = 256;

export class Holding {
  readonly options: HoldingOptions;
  session: number;
  ledger: number;
  life = 0;
  lineage: Lineage | undefined;
  estate: Estate = NO_ESTATE;
  /** All guardians have a copy in which they are named. */
  isSettled = true;
  /** Those named already before the last change of guardians: until it is settled only their word extends our lease. */
  retained: readonly string[] = [];
  readonly wards = new Map<string, Ward>();

  // Not kept on disk.
  noted = 0;
  notedOwn: readonly Block[] = [];
  isConfirmed = false;
  leaseUntilMs = -Infinity;
  beat = 1;
  beatSentMs: number;
  readonly heardMs = new Map<string, number>();
  readonly peers = new Map<string, Peer>();
  /** Counts the estate records that came in. */
  peersVersion = 0;
  /** Lives that others said are over, whether that counts or not. */
  readonly #said = new Set<number>();
  readonly #closers = new Map<number, string>();
  #closersOf: { peers: number; lineage: Lineage | undefined } = { peers: -1, lineage: undefined };
  readonly #keys = new Map<string, string>();
  readonly #declined = new Set<number>();
  events: HoldingEvent[] = [];
  /** Something was changed that must be on disk before anybody hears of it. */
  isDirty = true;
  /** Counts changes of any kind, for loops that run until nothing changes. */
  version = 0;

  constructor(now: number, options: HoldingOptions, saved: SavedHolding | undefined) {
    this.options = options;
    this.beatSentMs = now;
    this.ledger = saved?.ledger ?? this.random();
    this.session = Math.max(options.session, (saved?.session ?? 0) + 1);
    if (saved === undefined) return;
    this.life = saved.life;
    this.lineage = saved.lineage;
    this.estate = saved.estate;
    this.isSettled = saved.isSettled;
    this.retained = saved.retained;
    if (this.isBorn && this.estate.guardians.length === 0) this.#standAlone();
    for (const [name, ward] of saved.wards) {
      this.wards.set(name, { ...ward });
      this.heardMs.set(name, now);
    }
  }

  saved(): SavedHolding {
    const { session, ledger, life, lineage, estate, isSettled, retained } = this;
    const wards = new Map([...this.wards].map(([name, ward]) => [name, { ...ward }]));
    return { session, ledger, life, lineage, estate, isSettled, retained, wards };
  }

  get self(): string {
    return this.options.self;
  }

  /** As wards name us. */
  get asGuardian(): Guardian {
    return { name: this.self, life: this.life, ledger: this.ledger };
  }

  get isBorn(): boolean {
    return this.life !== 0;
  }

  /** All changes count. */
  get isEffective(): boolean {
    return this.noted >= this.estate.rev;
  }

  /** We have a guardian, and no other than this host. */
  guardiansAre(name: string): boolean {
    const { guardians } = this.estate;
    return guardians.length > 0 && guardians.every((guardian) => guardian.name === name);
  }

  /** Silence of a ward that lets us take it over: longer than its own lease by more than clocks may differ. */
  get patienceMs(): number {
    return this.options.leaseMs + this.options.leaseMs / 64 + 1;
  }

  /**
   * Whether nobody else can have taken over what is ours. The root under one guardian cannot be told from one that is cut
   * off, so nobody takes it over by silence, and it need not renew.
   */
  isValid(now: number): boolean {
    if (!this.isBorn) return false;
    const isUnbound = this.estate.isRoot && this.estate.guardians.length < 2 && this.isSettled;
    return this.isConfirmed && (isUnbound || now < this.leaseUntilMs);
  }

  /** What may be handed out from. */
  usable(now: number): Block[] {
    return this.isValid(now) ? intersect(this.estate.own, this.notedOwn) : [];
  }

  /** Lives that others ended, by what of their word counts. */
  get closers(): ReadonlyMap<number, string> {
    if (this.#closersOf.peers === this.peersVersion && this.#closersOf.lineage === this.lineage)
      return this.#closers;
    this.#closers.clear();
    this.#closersOf = { peers: this.peersVersion, lineage: this.lineage };
    for (const [name, { estate: record }] of this.peers) {
      if (record === undefined || !isEffective(record) || !this.isKin(record)) continue;
      for (const life of record.estate.closed) if (!this.#closers.has(life)) this.#closers.set(life, name);
    }
    return this.#closers;
  }

  heard(peer: Peer, record: EstateRecord): void {
    peer.estate = record;
    for (const life of record.estate.closed) this.#said.add(life);
    if (this.#said.size > SAID_MAX) this.#said.delete(this.#said.keys().next().value!);
    this.peersVersion++;
    this.version++;
  }

  /**
   * Whether that life may be over. Nothing is taken from such a one, nor given into its care: who ended it may have settled
   * all with us already, and now say something newer that does not count yet, or have ended itself.
   */
  mayBeOver(life: number): boolean {
    return this.#said.has(life) || this.estate.closed.includes(life);
  }

  /** What a host says to one of its wards. */
  wordOf(guardian: string, ward: string): WardRecord | undefined {
    const peer = this.peers.get(guardian);
    return peer === undefined || peer.wards.size === 0 ? undefined : peer.wards.get(this.wardKeyHex(ward));
  }

  wardKeyHex(ward: string): string {
    let hex = this.#keys.get(ward);
    if (hex === undefined) {
      if (this.#keys.size > KEYS_MAX) this.#keys.clear();
      hex = toHex(wardKey(this.options.pool, ward));
      this.#keys.set(ward, hex);
    }
    return hex;
  }

  /** Never 0. */
  random(): number {
    return this.options.rng.u32() || 1;
  }

  change(part: Partial<Omit<Estate, 'rev'>>): void {
    this.estate = { ...this.estate, ...part, rev: this.estate.rev + 1 };
    this.touch();
    if (this.estate.guardians.length === 0) this.#standAlone();
  }

  #standAlone(): void {
    this.isConfirmed = true;
    this.leaseUntilMs = Infinity;
    this.count();
  }

  /** Something on disk other than the estate changed. */
  touch(): void {
    this.isDirty = true;
    this.version++;
  }

  /** The estate as it is counts. */
  count(): void {
    this.noted = this.estate.rev;
    this.notedOwn = this.estate.own;
    this.version++;
  }

  /**
   * Whether `next` may be our guardians. One that is named in all that the others may know keeps its place: without its consent
   * nobody takes us over, whichever of our words it goes by. Only one that is alone can be done without.
   */
  canKeep(next: readonly Guardian[]): boolean {
    const { guardians } = this.estate;
    if (guardians.length === 0 || this.#kept(next).length > 0) return true;
    return next.length === 0 && this.isSettled && guardians.length === 1;
  }

  #kept(next: readonly Guardian[]): Guardian[] {
    const { guardians } = this.estate;
    const sure = guardians.filter(({ name }) => this.isSettled || this.retained.includes(name));
    return next.filter((each) => sure.includes(each));
  }

  changeGuardians(now: number, next: readonly Guardian[]): void {
    if (!this.canKeep(next)) return;
    const kept = this.#kept(next);
    // Whom one that was alone names first cannot have taken anything over yet.
    const retained = kept.length > 0 || this.estate.guardians.length === 0 ? kept : next;
    this.setGuardians(
      now,
      next,
      retained.map(({ name }) => name),
    );
  }

  /**
   * A guardian lost its disk, and with the copy perhaps a promise that it gave to the root's heir. So a root goes on by the word
   * of another guardian, or while its lease shows that no promise was given; else nobody can know whether it was taken over.
   */
  renewGuardians(now: number, next: readonly Guardian[]): void {
    const { guardians, isRoot } = this.estate;
    const kept = this.#kept(next);
    const isUntakable = this.isSettled ? guardians.length === 1 : this.retained.length === 0;
    if (isRoot && kept.length === 0 && !isUntakable && !this.isValid(now)) return;
    this.setGuardians(
      now,
      next,
      (kept.length > 0 ? kept : next).map(({ name }) => name),
    );
  }

  setGuardians(now: number, guardians: readonly Guardian[], retained: readonly string[]): void {
    const wasUnbound = this.estate.isRoot && this.estate.guardians.length < 2;
    this.isSettled = guardians.length === 0;
    this.retained = retained;
    this.change({ guardians });
    // Nobody can have begun to wait for our silence before now.
    if (wasUnbound && guardians.length > 1) this.leaseUntilMs = now + this.options.leaseMs;
  }

  /** The start of the pool: all of it is ours. */
  found(atMs: number): void {
    this.#begin(this.random(), { atMs: Math.floor(atMs), origin: this.self });
    this.isSettled = true;
    this.retained = [];
    this.estate = { ...NO_ESTATE, isRoot: true };
    this.change({ own: [this.options.subnet] });
  }

  /** An estate that somebody kept for us, or gives us to begin with. */
  adopt(now: number, life: number, lineage: Lineage, estate: Estate): void {
    this.#begin(life, lineage);
    this.estate = estate;
    this.isSettled = false;
    this.retained = estate.guardians.map(({ name }) => name);
    this.noted = 0;
    this.notedOwn = [];
    this.nextBeat(now);
    this.touch();
  }

  #begin(life: number, lineage: Lineage): void {
    this.life = life;
    this.lineage = lineage;
    this.isConfirmed = false;
    this.leaseUntilMs = -Infinity;
  }

  /** We are nobody again, under a new session, so that what is under way to the old life misses us. */
  lose(now: number, reason: 'closed' | 'other-lineage', by: string): void {
    this.events.push({ type: 'lost', reason, by });
    this.session++;
    this.ledger = this.random();
    this.life = 0;
    this.lineage = undefined;
    this.estate = NO_ESTATE;
    this.isSettled = true;
    this.retained = [];
    this.wards.clear();
    this.heardMs.clear();
    this.noted = 0;
    this.notedOwn = [];
    this.isConfirmed = false;
    this.leaseUntilMs = -Infinity;
    this.nextBeat(now);
    this.touch();
  }

  doubt(now: number): void {
    if (this.estate.guardians.length === 0) return;
    this.isConfirmed = false;
    this.leaseUntilMs = -Infinity;
    this.nextBeat(now);
  }

  nextBeat(now: number): void {
    this.beat++;
    this.beatSentMs = now;
    this.version++;
  }

  /** Their word is about the same pool as ours. */
  isKin(record: EstateRecord): boolean {
    return (
      record.lineage !== undefined &&
      this.lineage !== undefined &&
      isSameLineage(record.lineage, this.lineage)
    );
  }

  record(freeBits = -1): EstateRecord {
    const { session, ledger, life, lineage, beat, noted, estate } = this;
    return { session, ledger, life, lineage, beat, noted, freeBits, estate };
  }

  /** Whether the estate with these changes still fits the records in which it is said: ours, and those of our guardians. */
  fits(part: Partial<Estate>): boolean {
    return this.bytesWith(part) <= this.recordMaxBytes;
  }

  bytesWith(part: Partial<Estate>): number {
    const estate = { ...this.estate, ...part };
    return bytesOf(this.self, { ...this.record(), estate }, this.options.family);
  }

  get recordMaxBytes(): number {
    return this.options.recordMaxBytes ?? RECORD_MAX_BYTES;
  }

  /**
   * A gift that has no room here: it is held out to a run of this host that is over then, and its donor takes it back. Once
   * each, as earlier versions hold it out to the next run whatever that says.
   */
  decline(giftId: number): void {
    if (this.#declined.has(giftId)) return;
    this.#declined.add(giftId);
    if (this.#declined.size > DECLINED_MAX) this.#declined.delete(this.#declined.values().next().value!);
    this.session++;
    this.touch();
  }
}
