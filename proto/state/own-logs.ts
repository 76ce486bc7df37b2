/**
 * Our own logs: the one place where new versions are made (gossip.md 7.2).
 *
 * Writes collect for 20 ms and then go out as updates that join up: the ranges sent leave no holes. A while after a log
 * was begun, a marker says that all is said again and what an earlier run said may go (7.3).
 */
import { encodeText } from './bytes.ts';
import type { Hlc } from './hlc.ts';
import type { Update } from './messages.ts';
import { OWNER_MAX_BYTES, cutUpdates, updateHeaderRoom } from './messages.ts';
import type { StateConfig } from './options.ts';
import type { OwnerLog } from './owner-log.ts';
import type { LogRecord } from './record.ts';
import { KEY_MAX_BYTES, TABLE_MARKER, VALUE_MAX_BYTES, recordId, recordRoom } from './record.ts';
import type { Store } from './store.ts';
import { toHex } from './bytes.ts';

interface OwnLog {
  readonly log: OwnerLog;
  /** All up to here has been put into updates. */
  sent: number;
  /** Written since; superseded ones are skipped when they are sent. */
  pending: LogRecord[];
  /** When its marker is due; Infinity once written. */
  markerMs: number;
}

const BATCH_MS = 20;
const EMPTY = new Uint8Array(0);

export class OwnLogs {
  readonly #config: StateConfig;
  readonly #store: Store;
  readonly #hlc: Hlc;
  readonly #ownerBytes: number;
  readonly #logs = new Map<number, OwnLog>();
  #epoch: bigint;
  #flushMs = Infinity;
  #markerMs = Infinity;

  constructor(config: StateConfig, store: Store, hlc: Hlc) {
    this.#config = config;
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
    if (updateHeaderRoom(this.#ownerBytes) + recordRoom(key, value) > this.#config.packetBytes) {
      throw new RangeError('record does not fit a packet');
    }
    const own = this.#open(now, scope);
    const known = own.log.records.get(recordId(table, toHex(key)));
    if (known !== undefined && !known.tombstone && isEqual(known.value, value)) return;
    this.#write(now, own, table, key.slice(), value.slice(), false);
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
      const live = [...own.log.records.values()].filter((r) => !r.tombstone && r.table !== TABLE_MARKER);
      own.log.beginEpoch(epoch);
      own.sent = 0;
      own.pending = [];
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

  /** What was written since the last flush, once it is due: updates for each log, in order. */
  *takeUpdates(now: number): Generator<{ log: OwnerLog; update: Update }> {
    if (now < this.#flushMs) return;
    this.#flushMs = Infinity;
    for (const own of this.#logs.values()) {
      const { log, sent } = own;
      if (log.have === sent) continue;
      const current = own.pending.filter((r) => log.records.get(recordId(r.table, r.keyHex)) === r);
      own.pending = [];
      own.sent = log.have;
      for (const update of cutUpdates(log.name, sent, log.have, current, this.#config.packetBytes))
        yield { log, update };
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
      own = { log, sent: 0, pending: [], markerMs: now + this.#config.settleMs };
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
  ): void {
    const { log } = own;
    const seq = log.have + 1;
    const hlc = this.#hlc.tick();
    const keyHex = toHex(key);
    const record = { table, key, keyHex, value, tombstone, epoch: log.epoch, seq, hlc, bornMs: now, mark: 0 };
    if (!log.replace(record)) throw new RangeError('too many records in this scope');
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
