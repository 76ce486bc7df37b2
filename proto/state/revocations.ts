/**
 * Which keys are void: every replica takes in each signed word (revocation.ts) that any host it believes has in its log,
 * and obeys the latest about each key, for ever, whatever becomes of who said it.
 *
 * A word is taken in once, when its signer is not revoked as far as is known here and may revoke. So whoever is revoked cannot
 * say anything more; what it had said before stands. Several words that come together, as to a newcomer, are taken in the order of
 * how many hosts carry them: one liar does not go before many.
 *
 * A word must not go with the host that said it: revocation-carriers.ts sees to that.
 *
 * The caller keeps `saved` on disk. Call `run` after records or visibility changed (`note`), and at the deadline.
 */
import type { Banned } from '../swim/bans.ts';
import { WireError, toHex } from './bytes.ts';
import type { Counters } from './counters.ts';
import { hlcMs } from './hlc.ts';
import type { Identities } from './identities.ts';
import { TABLE } from './interface.ts';
import type { OwnLogs } from './own-logs.ts';
import type { OwnerLog } from './owner-log.ts';
import type { Owners } from './owners.ts';
import type { Revocation, RevocationContent } from './revocation.ts';
import { canonicalHex, isLater, openRevocation, revocationKey, signRevocation } from './revocation.ts';
import type { FoundRevocation, HeldRevocation } from './revocation-carriers.ts';
import { RevocationCarriers } from './revocation-carriers.ts';
import { PeerRates } from './peer-rates.ts';
import type { Signer, Verifier } from './signing.ts';
import type { Store } from './store.ts';

/** As it is kept on disk. */
export interface SavedRevocation {
  readonly bytes: Uint8Array;
  /** When it was taken in, ms since 1970. */
  readonly takenMs: number;
}

export interface RevocationsDeps {
  readonly self: string;
  readonly signer: Signer;
  readonly verifier: Verifier;
  /** ms since 1970. */
  readonly wall: () => number;
  readonly store: Store;
  readonly owners: Owners;
  readonly identities: Identities;
  readonly ownLogs: OwnLogs;
  readonly counters: Counters;
  readonly saved: readonly SavedRevocation[];
}

/** A stamp further ahead waits, so that there is always a later one that all others take. */
const AHEAD_MAX_MS = 365 * 24 * 3_600_000;
/** Addresses get new tenants. */
const ADDRESS_BAN_MS = 24 * 3_600_000;
/** For stamps that come of age and addresses that are freed. */
const IDLE_LOOK_MS = 60_000;
/** A notice that is not repeated is old news; and a signature is looked at only so often. */
const NOTICE_KEPT_MS = 10 * 60_000;
const NOTICE_EVERY_MS = 500;
/** How many words are looked at again and again, in the long run. */
const WORDS_PER_MS = 4;
/** New words that are verified in one turn (some 18 ms), and when the next turn comes. */
const OPENED_PER_TURN = 128;
const TURN_MS = 50;
/** Of one host: all that it may carry at once, then as fast as people speak. Beyond that its words are not waited for. */
const OPENED_OF_HOST = { perSecond: 4, burst: 4_096 } as const;
const HELD_MAX = 4_096;
const HELD_OF_SIGNER_MAX = 1_024;
const REFUSED_MAX = 256;

export class Revocations {
  readonly #deps: RevocationsDeps;
  readonly #selfHex: string;
  readonly #carriers: RevocationCarriers;
  /** By canonical key. */
  readonly #held = new Map<string, HeldRevocation>();
  /** How many each signer has said of those. */
  readonly #heldOfSigner = new Map<string, number>();
  /** Opened values; undefined: not readable or not signed. Values of records are never changed. */
  readonly #opened = new WeakMap<Uint8Array, { readonly word: Revocation | undefined }>();
  /** Words of revoked hosts about others, not obeyed. */
  readonly #refused = new Map<string, Revocation>();
  /** Those with words in them, and some that had. */
  readonly #logs = new Set<OwnerLog>();
  readonly #openings = new PeerRates(OPENED_OF_HOST.perSecond, OPENED_OF_HOST.burst);
  /** How many more may be opened in this turn; below zero: some were left for the next. */
  #turn = 0;
  #isDue = true;
  #nextMs = Infinity;
  /** Whoever says very much is heard a little later. */
  #earliestMs = 0;
  #identitiesVersion = -1;
  #bans: readonly Banned[] = [];
  /** Read once in a run, if at all. */
  #clusterMs: number | undefined;
  #noticedMs = -Infinity;
  #notice: { word: Revocation; heardMs: number } | undefined;
  /** Rises with every change that belongs on disk. */
  version = 0;

  constructor(deps: RevocationsDeps) {
    this.#deps = deps;
    this.#selfHex = toHex(deps.signer.publicKey);
    this.#carriers = new RevocationCarriers(deps);
    for (const { bytes, takenMs } of deps.saved) {
      const word = this.#open(bytes);
      if (word !== undefined && this.#isNews(word)) this.#hold(word, takenMs);
    }
    this.#refreshBans();
  }

  /** A word came into this log, or went. */
  noteRecord(log: OwnerLog): void {
    this.#logs.add(log);
    this.#isDue = true;
  }

  /** Who counts has changed. */
  note(): void {
    if (this.#logs.size + this.#held.size > 0) this.#isDue = true;
  }

  nextDeadline(): number {
    return this.#isDue ? this.#earliestMs : this.#nextMs;
  }

  /** True when keys became void, or good again. */
  run(now: number): boolean {
    if (this.#deps.identities.version !== this.#identitiesVersion) this.note();
    if ((!this.#isDue || now < this.#earliestMs) && now < this.#nextMs) return false;
    this.#isDue = false;
    this.#clusterMs = undefined;
    const found = this.#find(now);
    if (this.#turn < 0) {
      // Whoever comes first must not be believed before many others are heard.
      this.#isDue = true;
      this.#earliestMs = now + TURN_MS;
      return false;
    }
    this.#earliestMs = now + found.size / WORDS_PER_MS;
    const hasChanged = this.#takeIn([...found.values()]);
    this.#refreshBans();
    const nextMs = this.#carriers.carry(now, this.#held, hasChanged ? this.#find(now) : found);
    this.#nextMs = this.#logs.size + this.#held.size > 0 ? Math.min(nextMs, now + IDLE_LOOK_MS) : Infinity;
    this.#identitiesVersion = this.#deps.identities.version;
    return hasChanged;
  }

  /** The operator's word, put into our log; it counts from the next `run` on, so that what hears of it may be told first. */
  say(now: number, content: Omit<RevocationContent, 'stamp'>): Revocation {
    const { self, signer, wall, ownLogs } = this.#deps;
    const before = this.#held.get(canonicalHex(content.keyHex))?.word;
    const stamp = Math.max(Math.floor(wall()), (before?.stamp ?? 0) + 1);
    const word = signRevocation({ ...content, stamp }, self, signer);
    ownLogs.put(now, 0, TABLE.revocation, revocationKey(word.keyHex), word.bytes);
    this.#earliestMs = 0;
    return word;
  }

  /** The latest word about each key. */
  list(): readonly Revocation[] {
    return Array.from(this.#held.values(), ({ word }) => word);
  }

  /** What revoked hosts say of others; for people to see. */
  refused(): readonly Revocation[] {
    return [...this.#refused.values()].filter((word) => this.#isNews(word));
  }

  about(keyHex: string): Revocation | undefined {
    return this.#held.get(canonicalHex(keyHex))?.word;
  }

  saved(): readonly SavedRevocation[] {
    return Array.from(this.#held.values(), ({ word, takenMs }) => ({ bytes: word.bytes, takenMs }));
  }

  /** The word that makes a name's key void. */
  against(name: string): Revocation | undefined {
    const words = this.list().filter((word) => word.name === name && word.action === 'revoke');
    return words.sort((a, b) => b.stamp - a.stamp)[0];
  }

  /** The same list as long as nothing changes. */
  bans(): readonly Banned[] {
    return this.#bans;
  }

  /** The word that we obey and that says that we are revoked. */
  heldOfSelf(): Revocation | undefined {
    const held = this.about(this.#selfHex);
    return held?.action === 'restore' ? undefined : held;
  }

  /** The same, or one that somebody has shown us lately; to be told, for whoever showed it may be the only one to think so. */
  ofSelf(now: number): Revocation | undefined {
    const held = this.heldOfSelf();
    if (held !== undefined) return held;
    const notice = this.#notice;
    if (notice === undefined || now - notice.heardMs >= NOTICE_KEPT_MS) return undefined;
    return this.#isNews(notice.word) && this.#isMembers(notice.word) ? notice.word : undefined;
  }

  /**
   * Somebody who does not talk to us any more shows us why. Anybody can send one, so it has to be signed by a host that we know
   * and that may say so; and it is worth telling, no more.
   */
  handleNotice(now: number, bytes: Uint8Array): void {
    if (now - this.#noticedMs < NOTICE_EVERY_MS) return;
    this.#noticedMs = now;
    const word = this.#open(bytes);
    if (word === undefined || canonicalHex(word.keyHex) !== canonicalHex(this.#selfHex)) return;
    if (this.#isMembers(word)) this.#notice = { word, heardMs: now };
    else this.#deps.counters.add('refused:notice');
  }

  /** Of a signer whose name and key we know as one, and that might say this now. */
  #isMembers(word: Revocation): boolean {
    const { identities } = this.#deps;
    const { byName, byKeyHex } = word;
    const isKnown = identities.keyOf(byName) === byKeyHex && !this.#carriers.isSignerRevoked(word);
    return isKnown && identities.mayRevoke(byName, byKeyHex);
  }

  /** The list of names and keys was changed by the operator: words of others than those on it count no more. */
  relist(): void {
    const { identities } = this.#deps;
    for (const [canonical, { word }] of this.#held) {
      const isOwn = word.byKeyHex === this.#selfHex;
      if (isOwn || identities.mayRevoke(word.byName, word.byKeyHex)) continue;
      this.#drop(canonical);
      identities.setRevoked(word.keyHex, false);
      this.version++;
    }
    // Names that were on the list until now can be forgotten.
    for (const { word } of this.#held.values()) this.#mark(word);
    this.note();
  }

  #open(bytes: Uint8Array): Revocation | undefined {
    let known = this.#opened.get(bytes);
    if (known === undefined) {
      known = { word: this.#tryOpen(bytes) };
      this.#opened.set(bytes, known);
    }
    return known.word;
  }

  #tryOpen(bytes: Uint8Array): Revocation | undefined {
    try {
      return openRevocation(bytes, this.#deps.verifier);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#deps.counters.add('refused:revocation-malformed');
      return undefined;
    }
  }

  /** All words in visible logs, with who carries them; but for those that are still to be verified (`#turn`). */
  #find(now: number): Map<string, FoundRevocation> {
    const { store, owners } = this.#deps;
    this.#turn = OPENED_PER_TURN;
    const found = new Map<string, FoundRevocation>();
    for (const log of this.#logs) {
      if (store.log(0, log.owner) !== log) this.#logs.delete(log);
      else if (owners.isVisible(log.owner)) this.#findIn(now, log, found);
    }
    return found;
  }

  #findIn(now: number, log: OwnerLog, found: Map<string, FoundRevocation>): void {
    let hasAny = false;
    for (const { table, keyHex, value, tombstone } of log.records.values()) {
      if (table !== TABLE.revocation || tombstone) continue;
      hasAny = true;
      if (!this.#opened.has(value) && !this.#mayOpen(now, log.owner)) continue;
      const word = this.#open(value);
      if (word === undefined || canonicalHex(word.keyHex) !== keyHex) continue;
      const id = `${keyHex} ${word.stamp} ${word.action} ${word.byKeyHex}`;
      const known = found.get(id);
      if (known === undefined) found.set(id, { word, carriers: new Set([log.owner]) });
      else known.carriers.add(log.owner);
    }
    if (!hasAny) this.#logs.delete(log);
  }

  #mayOpen(now: number, owner: string): boolean {
    if (this.#turn <= 0) {
      this.#turn = -1;
      return false;
    }
    if (!this.#openings.take(now, owner, 1)) return false;
    this.#turn--;
    return true;
  }

  #takeIn(found: readonly FoundRevocation[]): boolean {
    const news = found.filter(({ word }) => this.#isNews(word));
    news.sort((a, b) => b.carriers.size - a.carriers.size || a.word.stamp - b.word.stamp);
    let hasChanged = false;
    for (const { word } of news) {
      if (!this.#isNews(word) || !this.#isAllowed(word)) continue;
      this.#hold(word, this.#deps.wall());
      hasChanged = true;
    }
    return hasChanged;
  }

  #isNews(word: Revocation): boolean {
    const known = this.#held.get(canonicalHex(word.keyHex))?.word;
    return known === undefined || isLater(word, known);
  }

  #isAllowed(word: Revocation): boolean {
    const { identities, counters } = this.#deps;
    const { byName, byKeyHex } = word;
    if (this.#isAhead(word.stamp)) return false;
    if (this.#carriers.isSignerRevoked(word)) {
      this.#refuse(word);
      return false;
    }
    if (!identities.mayRevoke(byName, byKeyHex)) return false;
    const canonical = canonicalHex(word.keyHex);
    if (this.#held.has(canonical) || this.#hasRoom(byKeyHex)) return true;
    counters.add('drop:revocations-full');
    return false;
  }

  /** Of our clock, and of the cluster's where ours is years behind, as without a battery before the first NTP. */
  #isAhead(stamp: number): boolean {
    const { wall } = this.#deps;
    if (stamp <= wall() + AHEAD_MAX_MS) return false;
    this.#clusterMs ??= this.#readClusterMs();
    return stamp > this.#clusterMs + AHEAD_MAX_MS;
  }

  /** When the live others wrote last: the middle one, so that it takes most of them to lie about it. */
  #readClusterMs(): number {
    const { owners, store } = this.#deps;
    const times: number[] = [];
    for (const name of owners.peers()) {
      let last = 0n;
      for (const { hlc } of store.log(0, name)?.records.values() ?? []) if (hlc > last) last = hlc;
      if (last > 0n) times.push(hlcMs(last));
    }
    times.sort((a, b) => a - b);
    return times[(times.length - 1) >> 1] ?? 0;
  }

  #hasRoom(byKeyHex: string): boolean {
    return this.#held.size < HELD_MAX && (this.#heldOfSigner.get(byKeyHex) ?? 0) < HELD_OF_SIGNER_MAX;
  }

  /** Kept to be shown: two hosts that revoke each other are a matter for people. */
  #refuse(word: Revocation): void {
    const id = `${word.byKeyHex} ${word.keyHex}`;
    if (this.#refused.get(id)?.stamp === word.stamp || this.#refused.size >= REFUSED_MAX) return;
    this.#refused.set(id, word);
    this.#deps.counters.add('refused:revocation-by-revoked');
  }

  #hold(word: Revocation, takenMs: number): void {
    const canonical = canonicalHex(word.keyHex);
    this.#drop(canonical);
    this.#held.set(canonical, { word, takenMs, carryMs: Infinity });
    this.#heldOfSigner.set(word.byKeyHex, (this.#heldOfSigner.get(word.byKeyHex) ?? 0) + 1);
    this.#mark(word);
    this.version++;
  }

  #drop(canonical: string): void {
    const byKeyHex = this.#held.get(canonical)?.word.byKeyHex;
    if (byKeyHex === undefined) return;
    this.#held.delete(canonical);
    const left = (this.#heldOfSigner.get(byKeyHex) ?? 0) - 1;
    if (left > 0) this.#heldOfSigner.set(byKeyHex, left);
    else this.#heldOfSigner.delete(byKeyHex);
  }

  #mark({ action, keyHex, name }: Revocation): void {
    const { identities } = this.#deps;
    identities.setRevoked(keyHex, action !== 'restore');
    if (action === 'forget') identities.forget(name, keyHex);
  }

  /** Names whose key is void; where no other key is known, also the name that a void key went by. */
  #refreshBans(): void {
    const { identities, self, wall } = this.#deps;
    const bans: Banned[] = [];
    for (const { word } of this.#held.values()) {
      if (word.action !== 'revoke' || word.name === self) continue;
      if (canonicalHex(word.keyHex) === canonicalHex(this.#selfHex)) continue;
      const known = identities.keyOf(word.name);
      const isName = known === undefined || identities.isRevokedKey(known);
      const addr = wall() - word.stamp < ADDRESS_BAN_MS ? word.addr : undefined;
      if (isName) bans.push({ name: word.name, addr });
    }
    const text = (ban: Banned): string => `${ban.name} ${ban.addr?.ip} ${ban.addr?.port}`;
    const isSame = bans.map(text).join('\n') === this.#bans.map(text).join('\n');
    if (!isSame) this.#bans = bans;
  }
}
