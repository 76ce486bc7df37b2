import type { Rng } from '../env.ts';
import { WireError } from '../state/bytes.ts';
import { KeyPlan } from './key-plan.ts';
import type { KeyOrigin, Keyring } from './keyring.ts';
import { decodeOperation } from './operation.ts';
import type { KeyAction, KeyOperation } from './operation.ts';
import { GONE_FOR_MS, RecentPrimaries } from './recent-primaries.ts';
import type { KeyHolder } from './recent-primaries.ts';
import { KeyRecords } from './key-records.ts';
import type { KeyringRecord, RecordWrite } from './key-records.ts';
import type { SavedRing } from './saved-ring.ts';
import { FINGERPRINT_BYTES, SecretKey } from './secret-key.ts';
import { unwrapKey } from './wrap.ts';
import type { KeyringCrypto } from './wrap.ts';

/**
 * Which keys this host holds and which it seals with, decided alone from what the cluster's state says (operation.ts) and
 * what the other members announce. There is no coordinator and no moment at which all switch:
 *
 * - a key that the plan has is taken in as soon as one of ours unwraps it;
 * - it becomes primary when all live members announce it;
 * - one that was removed, or rotated away, goes when no member that lives or lately lived seals with it.
 *
 * Automatic rotation is a new key with the plan "use", proposed by the first by name of the live members when it has seen the
 * present one for the interval; the second by name waits a little longer, and so on. Of two proposals the later stamp stands, and
 * the other key goes as one that was rotated away. Keys that operators gave never go by themselves: newcomers have no others.
 *
 * Any member may order something, so none can stop the others by it: a key that nobody who lives holds is not waited for, a
 * stamp far ahead of all that we have heard counts only for a key that most others hold, and no word removes the last key that an
 * operator gave us.
 *
 * Sans I/O: times are monotonic ms, no wall clock has a say. Call `step` after every change of records or members and every few
 * seconds.
 */
export interface RotationOptions {
  readonly self: string;
  /** Between automatic rotations; Infinity: never. */
  readonly intervalMs: number;
  readonly rng: Rng;
  readonly crypto: KeyringCrypto;
  readonly saved?: SavedRing | undefined;
}

export interface RotationView {
  /** The other members that are overlayd. */
  readonly members: readonly KeyHolder[];
  readonly records: readonly KeyringRecord[];
}

export interface KeyStatus {
  readonly fingerprint: string;
  readonly bits: number;
  readonly origin: KeyOrigin;
  /** primary: seals; next: shall, and waits; held: opens; leaving: shall go, and waits. */
  readonly state: 'primary' | 'next' | 'held' | 'leaving';
  /** Live members that do not announce it, sorted. */
  readonly missing: readonly string[];
  /** Members, live or gone for less than a day, that seal with it, sorted. */
  readonly primaryOf: readonly string[];
}

export type KeyCommandError = 'unknown' | 'primary' | 'last' | 'full';

/** After start: time to join and hear of the plan before proposing anything. */
const SETTLE_MS = 30_000;
/** How much longer each next host by name waits for its turn to propose; and how many turns there are. */
const TURN_MS = 60_000;
const TURNS = 8;
/** Longer than any packet or stream is under way. */
const DRAIN_MS = 60_000;
const NEW_KEY_WORDS = 8;
/** Orders that a host may have missed: years of rotations. Above them would soon be no room for a later one. */
const STAMPS_AHEAD = 2 ** 12;
/** What one host says of more keys than a plan ever had counts for nothing: it must not push out what others say. */
const WORDS_OF_HOST_MAX = 256;

export class Rotation {
  readonly keyring: Keyring;
  readonly #options: RotationOptions;
  readonly #plan = new KeyPlan();
  readonly #primaries = new RecentPrimaries();
  readonly #records: KeyRecords;
  readonly #operations = new WeakMap<Uint8Array, { readonly operation: KeyOperation | undefined }>();
  /** Held since before this run: who had them as primary we may not know. */
  readonly #inherited = new Set<string>();
  #startMs: number | undefined;
  #primary: string;
  /** When it was first seen as that; before the start after a restart. */
  #primarySinceMs = 0;
  /** Since when all live members seal with the key that is desired; Infinity while they do not. */
  #settledSinceMs = Infinity;
  #isRenewalDue: boolean;
  #intervalMs: number;
  /** Keys that live members announce. */
  #announced: ReadonlySet<string> = new Set();

  constructor(keyring: Keyring, options: RotationOptions) {
    this.#intervalMs = options.intervalMs;
    this.keyring = keyring;
    this.#options = options;
    this.#records = new KeyRecords(keyring, this.#plan, options);
    this.#primary = keyring.primary.fingerprint;
    this.#isRenewalDue = options.saved?.isRenewalDue ?? false;
    for (const { fingerprint, isMine, ...planned } of options.saved?.planned ?? []) {
      this.#plan.merge(fingerprint, planned);
      if (isMine) this.#records.claim(fingerprint);
      this.#inherited.add(fingerprint);
    }
  }

  /** Looks at everything anew; gives what to write into our part of the cluster's state. */
  step(now: number, { members, records }: RotationView): RecordWrite[] {
    if (this.#startMs === undefined) {
      this.#startMs = now;
      this.#primarySinceMs = now - (this.#options.saved?.primaryAgeMs ?? 0);
    }
    this.#primaries.update(now, members);
    const live = members.filter(({ isLive, keys }) => isLive && keys.length > 0);
    this.#announced = new Set(live.flatMap(({ keys }) => keys));
    const operations = this.#absorb(now, records, live);
    this.#takeIn(operations, live);
    this.#switchPrimary(live);
    this.#dropOld(now, live);
    if (this.keyring.primary.fingerprint !== this.#primary) {
      this.#primary = this.keyring.primary.fingerprint;
      this.#primarySinceMs = now;
      this.#settledSinceMs = Infinity;
    }
    this.#propose(now, live);
    const isSettled = now - this.#startMs >= SETTLE_MS;
    return this.#records.writes(operations, isSettled ? live : undefined);
  }

  /** Between automatic rotations, from now on; Infinity: never. */
  set intervalMs(ms: number) {
    this.#intervalMs = ms;
  }

  /**
   * A new key as soon as may be, whatever the age of the present one: somebody who knows that one is to be left behind. It is
   * to be kept on disk before it is promised, for it may be due only after a restart. False: rotation is off.
   */
  renew(): boolean {
    if (this.#intervalMs === Infinity) return false;
    this.#isRenewalDue = true;
    return true;
  }

  /** A host that is not to come back holds up nothing. */
  forgetHost(name: string): void {
    this.#primaries.forget(name);
  }

  /** A key by hand: all are to hold it. */
  add(key: SecretKey): KeyCommandError | undefined {
    const { fingerprint } = key;
    if (this.keyring.find(fingerprint) === undefined && !this.#hold(key, 'hand')) return 'full';
    const planned = this.#plan.get(fingerprint);
    if (planned === undefined || planned.action === 'remove') this.#order(fingerprint, 'add', false);
    return undefined;
  }

  /** All are to seal with it, once all hold it. */
  use(fingerprint: string): KeyCommandError | undefined {
    if (this.keyring.find(fingerprint) === undefined) return 'unknown';
    if ((this.#desired ?? this.#primary) === fingerprint) return undefined;
    this.#order(fingerprint, 'use', this.keyring.originOf(fingerprint) === 'rotated');
    return undefined;
  }

  /** All are to forget it, once nobody seals with it. */
  remove(fingerprint: string): KeyCommandError | undefined {
    if (this.keyring.find(fingerprint) === undefined) return 'unknown';
    if ((this.#desired ?? this.#primary) === fingerprint) return 'primary';
    if (this.#isLastGiven(fingerprint)) return 'last';
    this.#order(fingerprint, 'remove', this.keyring.originOf(fingerprint) === 'rotated');
    return undefined;
  }

  status(members: readonly KeyHolder[]): KeyStatus[] {
    const live = members.filter(({ isLive }) => isLive);
    return this.keyring.keys.map(({ fingerprint, bits }) => {
      const missing = live.filter(({ keys }) => !keys.includes(fingerprint)).map(({ name }) => name);
      return {
        fingerprint,
        bits,
        origin: this.keyring.originOf(fingerprint)!,
        state: this.#stateOf(fingerprint),
        missing: missing.sort(),
        primaryOf: this.#primaries.of(fingerprint),
      };
    });
  }

  /** For the disk: all but the keys of the operator's file. */
  saved(now: number): SavedRing {
    const { keyring } = this;
    const planned = Array.from(this.#plan.all, ([fingerprint, plan]) => {
      return { fingerprint, ...plan, isMine: this.#records.isMine(fingerprint) };
    });
    const keys = keyring.keys.flatMap((key) => {
      const origin = keyring.originOf(key.fingerprint);
      return origin === undefined || origin === 'file' ? [] : [{ key, origin }];
    });
    const primaryAgeMs = Math.max(0, now - this.#primarySinceMs);
    const base = keyring.base.fingerprint;
    const isRenewalDue = this.#isRenewalDue;
    return { keys, planned, primary: this.#primary, base, primaryAgeMs, isRenewalDue };
  }

  #stateOf(fingerprint: string): KeyStatus['state'] {
    if (this.#plan.isRemoved(fingerprint)) return 'leaving';
    if (this.keyring.primary.fingerprint === fingerprint) return 'primary';
    if (this.#desired === fingerprint) return 'next';
    return this.keyring.originOf(fingerprint) === 'rotated' ? 'leaving' : 'held';
  }

  #order(fingerprint: string, action: KeyAction, isRotated: boolean): void {
    this.#plan.merge(fingerprint, { action, isRotated, stamp: this.#plan.nextStamp });
    this.#records.claim(fingerprint);
  }

  /** The key that all should come to use; undefined: that of the files. What nobody holds cannot be that. */
  get #desired(): string | undefined {
    return this.#plan.desired((fingerprint) => {
      return this.keyring.find(fingerprint) !== undefined || this.#announced.has(fingerprint);
    });
  }

  /** Newcomers have no other: without it nobody would get in any more. */
  #isLastGiven(fingerprint: string): boolean {
    const given = this.keyring.fingerprints.filter((held) => {
      return this.keyring.originOf(held) !== 'rotated' && !this.#plan.isRemoved(held);
    });
    return given.length === 1 && given[0] === fingerprint;
  }

  /** Records that cannot be read, or cannot be true, are as if they were not there. They are looked at anew each time. */
  #absorb(now: number, records: readonly KeyringRecord[], live: readonly KeyHolder[]): Ordered[] {
    const read = records.flatMap((record) => {
      // Of no key: the plan, and the disk, know keys alone.
      if (record.fingerprint.length !== 2 * FINGERPRINT_BYTES) return [];
      const operation = this.#read(record.value);
      return operation === undefined ? [] : [{ record, operation }];
    });
    const ordered = latestOfEach(read, this.#options.self);
    // What is far ahead is so beside all that was said before.
    ordered.sort((a, b) => a.operation.stamp - b.operation.stamp);
    return ordered.filter(({ record: { fingerprint, owner }, operation }) => {
      if (!this.#isCredible(now, fingerprint, operation, live)) return false;
      const isNews = this.#plan.merge(fingerprint, operation);
      if (isNews && owner !== this.#options.self) this.#records.disclaim(fingerprint);
      return true;
    });
  }

  /** Each value is decoded once, however often it is looked at: they are never changed. */
  #read(value: Uint8Array): KeyOperation | undefined {
    let known = this.#operations.get(value);
    if (known === undefined) {
      known = { operation: readOperation(value) };
      this.#operations.set(value, known);
    }
    return known.operation;
  }

  #isCredible(
    now: number,
    fingerprint: string,
    { action, stamp }: KeyOperation,
    live: readonly KeyHolder[],
  ): boolean {
    if (action === 'remove' && this.#isLastGiven(fingerprint)) return false;
    if (stamp < this.#plan.nextStamp + STAMPS_AHEAD) return true;
    // We may have been away for very long. Then most have the key, and we have had time to hear what else was said of it.
    const isNew = this.keyring.find(fingerprint) === undefined && this.#plan.get(fingerprint) === undefined;
    if (!isNew || now - (this.#startMs ?? now) < SETTLE_MS) return false;
    return 2 * live.filter(({ keys }) => keys.includes(fingerprint)).length > live.length;
  }

  #takeIn(operations: readonly Ordered[], live: readonly KeyHolder[]): void {
    for (const { record, operation } of operations) {
      const { fingerprint } = record;
      if (this.keyring.find(fingerprint) !== undefined || !this.#isWanted(fingerprint, live)) continue;
      const key = unwrapKey(this.#options.crypto, this.keyring, fingerprint, operation.wraps);
      if (key !== undefined) this.#hold(key, operation.isRotated ? 'rotated' : 'hand');
    }
  }

  /** Rotated keys that are on their way out are not taken in any more, unless somebody still seals with them. */
  #isWanted(fingerprint: string, live: readonly KeyHolder[]): boolean {
    const planned = this.#plan.get(fingerprint);
    if (planned === undefined || planned.action === 'remove') return false;
    const desired = this.#desired;
    // Its holder may announce it a little later than it ordered it.
    const isDesired =
      desired === undefined || desired === fingerprint || this.#plan.isAfter(fingerprint, desired);
    if (!planned.isRotated || (planned.action === 'use' && isDesired)) return true;
    return live.some(({ keys }) => keys[0] === fingerprint);
  }

  #switchPrimary(live: readonly KeyHolder[]): void {
    const wanted = this.#nextPrimary();
    if (wanted === undefined || wanted === this.keyring.primary.fingerprint) return;
    if (live.every(({ keys }) => keys.includes(wanted))) this.keyring.use(wanted);
  }

  #nextPrimary(): string | undefined {
    const desired = this.#desired;
    if (desired !== undefined && this.keyring.find(desired) !== undefined) return desired;
    // Ours was removed by hand on the other side of a split, and nothing was put in its place.
    if (!this.#plan.isRemoved(this.keyring.primary.fingerprint)) return undefined;
    return this.keyring.fingerprints.find((fingerprint) => !this.#plan.isRemoved(fingerprint));
  }

  #dropOld(now: number, live: readonly KeyHolder[]): void {
    const primary = this.keyring.primary.fingerprint;
    const desired = this.#desired ?? primary;
    // All have switched: nobody chooses an older key any more.
    const isSettled = desired === primary && live.every(({ keys }) => keys[0] === primary);
    this.#settledSinceMs = isSettled ? Math.min(this.#settledSinceMs, now) : Infinity;
    const isDrained = now - this.#settledSinceMs >= Math.min(DRAIN_MS, this.#intervalMs / 2);
    for (const fingerprint of this.keyring.fingerprints) {
      if (fingerprint === primary || fingerprint === desired) continue;
      const isSuperseded = isDrained && this.keyring.originOf(fingerprint) === 'rotated';
      if (!isSuperseded && !this.#plan.isRemoved(fingerprint)) continue;
      if (this.#primaries.of(fingerprint).length > 0 || this.#mayBeMissed(now, fingerprint)) continue;
      this.keyring.remove(fingerprint);
      this.#inherited.delete(fingerprint);
      // A removal stays in mind, for the file may still have the key; a rotated key is done with.
      if (!this.#plan.isRemoved(fingerprint)) this.#records.release(fingerprint);
    }
  }

  /** What we held before this run: who died with it as primary we have not seen. By hand it goes all the same. */
  #mayBeMissed(now: number, fingerprint: string): boolean {
    if (!this.#inherited.has(fingerprint) || this.#plan.isRemoved(fingerprint)) return false;
    return now - (this.#startMs ?? now) < Math.min(GONE_FOR_MS, 2 * this.#intervalMs);
  }

  #propose(now: number, live: readonly KeyHolder[]): void {
    const { self, rng, crypto } = this.#options;
    const intervalMs = this.#intervalMs;
    // A renewal that was asked for waits until rotation is on again.
    if (intervalMs === Infinity) return;
    // What has been proposed and not yet been taken up by all would only wait behind a newer one.
    if ((this.#desired ?? this.#primary) !== this.#primary) return;
    const turn = Math.min(TURNS, live.filter(({ name }) => name < self).length);
    const dueMs = this.#primarySinceMs + intervalMs + turn * Math.min(TURN_MS, intervalMs / TURNS);
    if ((now < dueMs && !this.#isRenewalDue) || now - this.#startMs! < SETTLE_MS) return;
    const words = Uint32Array.from({ length: NEW_KEY_WORDS }, () => rng.u32());
    const key = new SecretKey(new Uint8Array(words.buffer), crypto.sha256);
    if (this.#hold(key, 'rotated')) {
      this.#order(key.fingerprint, 'use', true);
      // Kept together with the key: what is done is not done again after a restart.
      this.#isRenewalDue = false;
    }
    this.#switchPrimary(live);
    this.#primary = this.keyring.primary.fingerprint;
    this.#primarySinceMs = now;
    this.#settledSinceMs = Infinity;
  }

  /** A full ring gives up what was rotated away longest ago. */
  #hold(key: SecretKey, origin: KeyOrigin): boolean {
    if (this.keyring.add(key, origin)) return true;
    const desired = this.#desired;
    const old = this.keyring.fingerprints.filter((fingerprint) => {
      return this.keyring.originOf(fingerprint) === 'rotated' && fingerprint !== desired;
    });
    const stampOf = (fingerprint: string): number => this.#plan.get(fingerprint)?.stamp ?? 0;
    const [oldest] = old.sort((a, b) => stampOf(a) - stampOf(b));
    return oldest !== undefined && this.keyring.remove(oldest) && this.keyring.add(key, origin);
  }
}

interface Ordered {
  readonly record: KeyringRecord;
  readonly operation: KeyOperation;
}

function readOperation(value: Uint8Array): KeyOperation | undefined {
  try {
    return decodeOperation(value);
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}

/** Of each other host the latest words, by stamp and then by fingerprint, so that all hosts count the same ones. */
function latestOfEach(words: readonly Ordered[], self: string): Ordered[] {
  const byOwner = new Map<string, Ordered[]>();
  for (const word of words) {
    const said = byOwner.get(word.record.owner);
    if (said === undefined) byOwner.set(word.record.owner, [word]);
    else said.push(word);
  }
  return [...byOwner].flatMap(([owner, said]) => {
    if (owner === self || said.length <= WORDS_OF_HOST_MAX) return said;
    const latest = said.sort(
      (a, b) =>
        b.operation.stamp - a.operation.stamp || (a.record.fingerprint < b.record.fingerprint ? 1 : -1),
    );
    return latest.slice(0, WORDS_OF_HOST_MAX);
  });
}
