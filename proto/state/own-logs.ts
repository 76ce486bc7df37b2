/**
 * Our own logs: the one place where new versions are made (gossip.md 7.2).
 *
 * Writes collect for 20 ms and are then signed, block by block, into updates that join up: the ranges sent leave no holes.
 * Many blocks are signed a few at a time, so that a flood of writes does not hold up the event loop. A while after a log
 * was begun, a marker says that all is said again and what an earlier run said may go (7.3).
 *
 * Where blocks have come to hold more hashes of spent records than records, the oldest are said anew, so that what a
 * replica keeps for the sake of signatures stays in proportion.
 */
import { signBlock } from './block.ts';
import { encodeText } from './bytes.ts';
import { add64, subtract64 } from './hash.ts';
import type { Hlc } from './hlc.ts';
import type { Update } from './messages.ts';
import { OWNER_MAX_BYTES, cutRecords, updateRoom } from './messages.ts';
import type { StateConfig } from './options.ts';
import type { OwnerLog } from './owner-log.ts';
import type { LogRecord } from './record.ts';
import {
  KEY_MAX_BYTES,
  TABLE_GOODBYE,
  TABLE_MARKER,
  VALUE_MAX_BYTES,
  recordHash,
  recordId,
  recordRoom,
} from './record.ts';
import type { Signer, Verifier } from './signing.ts';
import type { Store } from './store.ts';
import { toHex } from './bytes.ts';

interface OwnLog {
  readonly log: OwnerLog;
  /** All up to here has been put into updates. */
  sent: number;
  /** The digest of whoever has all that was sent. */
  sentDigest: bigint;
  /** Written since, the first `signed` of them signed by now; superseded ones are skipped when they are sent. */
  pending: LogRecord[];
  signed: number;
  /** What the others hold under the ids of `pending`, as far as it counts in their digest. */
  readonly before: Map<string, LogRecord>;
  /** When its marker is due; Infinity once written. */
  markerMs: number;
}

const BATCH_MS = 20;
/** Blocks signed in one turn: some 5 ms. */
const SIGNED_PER_TURN = 32;
/** Spent entries that are worth no trouble, and how many there may be for each live record. */
const SPENT_MIN = 4_096;
const SPENT_SHARE = 1;
const EMPTY = new Uint8Array(0);

interface Piece {
  readonly from: number;
  readonly to: number;
  readonly records: readonly LogRecord[];
}

export class OwnLogs {
  readonly #config: StateConfig;
  readonly #store: Store;
  readonly #hlc: Hlc;
  readonly #signer: Signer;
  readonly #verifier: Verifier;
  readonly #ownerBytes: number;
  readonly #logs = new Map<number, OwnLog>();
  #epoch: bigint;
  #flushMs = Infinity;
  #markerMs = Infinity;

  constructor(config: StateConfig, store: Store, hlc: Hlc, signer: Signer, verifier: Verifier) {
    this.#config = config;
    this.#signer = signer;
    this.#verifier = verifier;
    this.#store = store;
    this.#hlc = hlc;
    this.#epoch = config.epoch;
    this.#ownerBytes = encodeText(config.node).length;
    if (this.#ownerBytes === 0 || this.#ownerBytes > OWNER_MAX_BYTES)
      throw new RangeError('node name of 1..255 bytes');
  }

  get epoch(): bigint {
    return this.#epoch;
  }

  log(scope: number): OwnerLog | undefined {
    return this.#logs.get(scope)?.log;
  }

  *all(): Generator<OwnerLog> {
    for (const { log } of this.#logs.values()) yield log;
  }

  /** We take part in a scope from now on: even if we have nothing to say there, that too will be said (marker). */
  open(now: number, scope: number): void {
    this.#open(now, scope);
  }

  /** Throws RangeError over the limits. Writing what is already there is no write. */
  put(now: number, scope: number, table: number, key: Uint8Array, value: Uint8Array): void {
    if (key.length > KEY_MAX_BYTES) throw new RangeError(`key over ${KEY_MAX_BYTES} bytes`);
    if (value.length > VALUE_MAX_BYTES) throw new RangeError(`value over ${VALUE_MAX_BYTES} bytes`);
    if (updateRoom(this.#ownerBytes) + recordRoom(key, value) > this.#config.packetBytes) {
      throw new RangeError('record does not fit a packet');
    }
    const own = this.#open(now, scope);
    const known = own.log.records.get(recordId(table, toHex(key)));
    if (known !== undefined && !known.tombstone && isEqual(known.value, value)) return;
    this.#write(now, own, table, key.slice(), value.slice(), false);
  }

  /** Says that we go: all we said in this epoch is void, until `renumber` begins another. */
  sayGoodbye(now: number): void {
    this.put(now, 0, TABLE_GOODBYE, EMPTY, EMPTY);
  }

  /** Deleting what is not there is no write. */
  delete(now: number, scope: number, table: number, key: Uint8Array): void {
    const own = this.#logs.get(scope);
    const known = own?.log.records.get(recordId(table, toHex(key)));
    if (known !== undefined && !known.tombstone) this.#write(now, own!, table, known.key, EMPTY, true);
  }

  /** Somebody has a key that we do not have, nor a tombstone of it: says that it is gone, under a new version. */
  bury(now: number, scope: number, table: number, key: Uint8Array): void {
    const own = this.#logs.get(scope);
    const isUnknown = own !== undefined && !own.log.records.has(recordId(table, toHex(key)));
    if (isUnknown && table !== TABLE_MARKER && own.log.hasRoom)
      this.#write(now, own, table, key, EMPTY, true);
  }

  /** Takes back everything we said in a scope. */
  deleteAll(now: number, scope: number): void {
    const own = this.#logs.get(scope);
    for (const { table, key, tombstone } of own?.log.records.values() ?? []) {
      if (!tombstone && table !== TABLE_MARKER) this.#write(now, own!, table, key, EMPTY, true);
    }
  }

  /** What was written is due at once. */
  flushNow(now: number): void {
    if (this.#flushMs !== Infinity) this.#flushMs = now;
  }

  /** A new life: every live record is said again under the new epoch. */
  renumber(now: number, epoch: bigint): void {
    this.#epoch = epoch;
    for (const own of this.#logs.values()) {
      const live = [...own.log.records.values()].filter(
        (r) => !r.tombstone && r.table !== TABLE_MARKER && r.table !== TABLE_GOODBYE,
      );
      own.log.beginEpoch(epoch);
      own.sent = 0;
      own.sentDigest = 0n;
      own.pending = [];
      own.signed = 0;
      own.before.clear();
      for (const { table, key, value } of live.sort((a, b) => a.seq - b.seq)) {
        this.#write(now, own, table, key, value, false);
      }
      own.log.dropStale();
      this.#writeMarker(now, own);
    }
  }

  handleDeadline(now: number): void {
    if (now < this.#markerMs) return;
    this.#markerMs = Infinity;
    for (const own of this.#logs.values()) {
      if (own.markerMs <= now) this.#writeMarker(now, own);
      this.#markerMs = Math.min(this.#markerMs, own.markerMs);
    }
  }

  /** What was written since the last flush, once it is due: signed updates for each log, in order; some, if there is much. */
  *takeUpdates(now: number): Generator<{ log: OwnerLog; update: Update }> {
    if (now < this.#flushMs) return;
    this.#flushMs = Infinity;
    let signed = 0;
    for (const own of this.#logs.values()) {
      if (own.log.have === own.sent) continue;
      if (own.log.spent > SPENT_MIN + SPENT_SHARE * own.log.records.size) this.#sayOldestAnew(now, own);
      for (const piece of this.#cut(own)) {
        if (signed++ >= SIGNED_PER_TURN) {
          this.#flushMs = now;
          return;
        }
        yield { log: own.log, update: this.#sign(own, piece) };
      }
    }
  }

  /** Whether something waits for its turn to be signed. */
  isDue(now: number): boolean {
    return now >= this.#flushMs;
  }

  /** The pieces that wait, made one by one. */
  *#cut(own: OwnLog): Generator<Piece> {
    const { log } = own;
    const waiting = own.pending.slice(own.signed);
    own.pending = waiting.filter((r) => log.records.get(recordId(r.table, r.keyHex)) === r);
    own.signed = 0;
    const room = this.#config.packetBytes - updateRoom(this.#ownerBytes);
    yield* cutRecords(own.sent, log.have, own.pending, room);
  }

  #sign(own: OwnLog, { from, to, records }: Piece): Update {
    const { log } = own;
    for (const record of records) {
      const id = recordId(record.table, record.keyHex);
      const before = own.before.get(id);
      own.before.delete(id);
      if (before !== undefined) own.sentDigest = subtract64(own.sentDigest, recordHash(before));
      if (!record.tombstone) own.sentDigest = add64(own.sentDigest, recordHash(record));
    }
    const head = { from, to, digest: own.sentDigest };
    const block = signBlock(log.name, head, records, this.#signer, this.#verifier);
    log.keep(block, records);
    own.sent = to;
    own.signed += records.length;
    return { ...log.signed, from, blocks: [block.toWire()] };
  }

  /** The records of the oldest blocks as new versions, until enough hashes can be forgotten. */
  #sayOldestAnew(now: number, own: OwnLog): void {
    const { log } = own;
    let excess = log.spent - SPENT_MIN / 2 - (SPENT_SHARE / 2) * log.records.size;
    const oldest = [...log.blocks.values()].sort((a, b) => a.from - b.from);
    for (const block of oldest) {
      if (excess <= 0) return;
      excess -= block.spent;
      for (const record of block.held()) {
        this.#write(now, own, record.table, record.key, record.value, record.tombstone, record.hlc);
      }
    }
  }

  nextDeadline(): number {
    return Math.min(this.#flushMs, this.#markerMs);
  }

  #open(now: number, scope: number): OwnLog {
    let own = this.#logs.get(scope);
    if (own === undefined) {
      const log = this.#store.open({ scope, owner: this.#config.node, epoch: this.#epoch });
      if (log === undefined) throw new RangeError('too many owners in this scope');
      log.key = this.#signer.publicKey;
      const markerMs = now + this.#config.settleMs;
      own = { log, sent: 0, sentDigest: 0n, pending: [], signed: 0, before: new Map(), markerMs };
      this.#logs.set(scope, own);
      this.#markerMs = Math.min(this.#markerMs, own.markerMs);
    }
    return own;
  }

  #write(
    now: number,
    own: OwnLog,
    table: number,
    key: Uint8Array,
    value: Uint8Array,
    tombstone: boolean,
    hlc = this.#hlc.tick(),
  ): void {
    const { log } = own;
    const { epoch } = log;
    const seq = log.have + 1;
    const keyHex = toHex(key);
    const id = recordId(table, keyHex);
    const before = log.records.get(id);
    const rest = { value, tombstone, epoch, seq, hlc, bornMs: now, mark: 0, slot: 0 };
    const record = { table, key, keyHex, ...rest };
    if (!log.replace(record)) throw new RangeError('too many records in this scope');
    if (before?.holder !== undefined && before.epoch === epoch && !before.tombstone)
      own.before.set(id, before);
    log.cover(log.have, seq);
    this.#store.touch(log.scope);
    own.pending.push(record);
    this.#flushMs = Math.min(this.#flushMs, now + BATCH_MS);
    if (log.isTombstoneHeavy) log.purge(now);
  }

  #writeMarker(now: number, own: OwnLog): void {
    own.markerMs = Infinity;
    this.#write(now, own, TABLE_MARKER, EMPTY, EMPTY, false);
  }
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
