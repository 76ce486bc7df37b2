/**
 * What a replica does with a piece of somebody's log, however it came (UPDATE or DELTA): gossip.md 7.2, 7.3.
 *
 * Refused: scopes that we do not hold, owners that left with that epoch, earlier epochs. Our own log is changed by
 * nobody but us: a piece of it that is ahead of us means that we lost our memory or were cloned (`onOwn`).
 */
import type { Counters } from './counters.ts';
import type { Hlc } from './hlc.ts';
import type { LogName, Update } from './messages.ts';
import { DELTA_FLAG } from './messages.ts';
import type { OwnerLog } from './owner-log.ts';
import type { Owners } from './owners.ts';
import type { LogRecord } from './record.ts';
import { recordHash, recordId } from './record.ts';
import type { Store } from './store.ts';

/** A snapshot of one log that is coming in, chunk by chunk in order. */
interface Incoming {
  readonly epoch: bigint;
  readonly mark: number;
  lastMs: number;
  upTo: number;
  /** Records under sequences that we had covered and yet do not have: taken when the snapshot is whole. */
  readonly repairs: LogRecord[];
}

const SNAPSHOT_PATIENCE_MS = 60_000;
const SNAPSHOT_STALL_MS = 3_000;
const SNAPSHOTS_MAX = 64;
/** In all snapshots that are coming in: one log that is wrong from end to end. */
const REPAIRS_MAX = 131_072;

export class Merge {
  readonly #self: string;
  readonly #store: Store;
  readonly #owners: Owners;
  readonly #hlc: Hlc;
  readonly #counters: Counters;
  readonly #incoming = new Map<OwnerLog, Incoming>();
  #marks = 0;
  /** Somebody speaks of our own log, up to `head`. */
  onOwn: (now: number, name: LogName, head: number) => void = () => {};

  constructor(self: string, store: Store, owners: Owners, hlc: Hlc, counters: Counters) {
    this.#self = self;
    this.#store = store;
    this.#owners = owners;
    this.#hlc = hlc;
    this.#counters = counters;
  }

  /** The log that a message of this epoch may change; undefined (and counted) when it may not. */
  admit(now: number, name: LogName, head: number): OwnerLog | undefined {
    if (name.owner === this.#self) {
      this.onOwn(now, name, head);
      return this.#refuse('own');
    }
    if (!this.#store.serves(name.scope)) return this.#refuse('not-interested');
    if (!this.#owners.accepts(name.owner, name.epoch)) return this.#refuse('owner-left');
    const log = this.#store.open(name);
    if (log === undefined) return this.#refuse('too-many-owners');
    if (name.epoch < log.epoch) return this.#refuse('old-epoch');
    this.#owners.noteRecords(now, name.owner);
    if (name.epoch > log.epoch) {
      this.#counters.add('restarts-seen');
      log.beginEpoch(name.epoch);
      this.#store.touch(name.scope);
    }
    return log;
  }

  /** Applies an UPDATE, or a DELTA that is no snapshot. Returns the log, and whether it told us anything new. */
  update(now: number, update: Update): { log: OwnerLog; isNew: boolean } | undefined {
    const log = this.admit(now, update, update.to);
    if (log === undefined) return undefined;
    const isNew = !log.coverage.coversRange(update.from, update.to);
    if (isNew) {
      for (const record of update.records) this.#take(log, record, false);
      this.#cover(log, update.from, update.to);
    }
    return { log, isNew };
  }

  delta(now: number, from: string, update: Update, flags: number): void {
    if ((flags & DELTA_FLAG.repair) !== 0) return this.#repair(now, from, update);
    const log =
      (flags & DELTA_FLAG.snapshot) !== 0
        ? this.#snapshot(now, update, flags)
        : this.update(now, update)?.log;
    if (log !== undefined && (flags & DELTA_FLAG.complete) !== 0 && !log.hasGap) this.#complete(log);
    return undefined;
  }

  /**
   * Single records, sent because ours are wrong (tree-repair.ts): taken although their sequences are covered. From
   * others than the owner only what we cannot have deleted, and never another content under one version.
   */
  #repair(now: number, from: string, update: Update): void {
    const log = this.admit(now, update, 0);
    for (const record of log === undefined ? [] : update.records) {
      const ours = log!.records.get(recordId(record.table, record.keyHex));
      if (ours !== undefined && isAtLeast(ours, record)) continue;
      if (!log!.coverage.covers(record.seq)) {
        this.#take(log!, record, false);
        continue;
      }
      this.#counters.add('divergence');
      const isSameVersion = ours?.epoch === record.epoch && ours.seq === record.seq;
      if (from !== update.owner && (isSameVersion || record.seq <= log!.floor)) continue;
      if (isSameVersion) log!.remove(recordId(record.table, record.keyHex));
      this.#take(log!, record, true);
    }
    if (log !== undefined) this.#store.touch(log.scope);
  }

  /** After a record came in: an owner that started again and no longer takes part in a network has nothing there. */
  #complete(log: OwnerLog): void {
    log.dropStale();
    if (log.scope !== 0) return;
    for (const other of this.#store.logsOf(log.owner)) {
      if (other.scope === 0 || other.epoch >= log.epoch || log.owner === this.#self) continue;
      if (!this.#store.takesPart(log.owner, other.scope)) this.#store.removeLog(other);
    }
  }

  #cover(log: OwnerLog, from: number, to: number): void {
    if (!log.cover(from, to)) this.#counters.add('too-many-holes');
    this.#store.touch(log.scope);
    if (log.marker !== undefined && log.scope === 0) this.#complete(log);
  }

  #take(log: OwnerLog, record: LogRecord, isRepair: boolean): void {
    if (!this.#hlc.observe(record.hlc)) this.#counters.add('hlc-ahead');
    const taken = isRepair ? log.replace(record) : log.apply(record);
    if (!taken) this.#counters.add('drop:log-full');
  }

  /**
   * A chunk of a snapshot: its records are taken at once, but only when the last chunk is here is the range covered
   * and what the snapshot does not list removed. An incomplete snapshot so leaves no trace but newer records.
   */
  #snapshot(now: number, update: Update, flags: number): OwnerLog | undefined {
    const log = this.admit(now, update, update.to);
    if (log === undefined) return undefined;
    const incoming = this.#session(now, log, update);
    for (const record of update.records) {
      this.#take(log, record, false);
      const id = recordId(record.table, record.keyHex);
      const ours = log.records.get(id);
      if (ours !== undefined && isAtLeast(ours, record)) {
        if (incoming !== undefined) ours.mark = incoming.mark;
      } else incoming?.repairs.push(record);
    }
    if (incoming === undefined) return undefined;
    if (update.records.length > 0 && this.#repairs() > REPAIRS_MAX) {
      this.#incoming.delete(log);
      return this.#refuse('snapshot-repairs');
    }
    incoming.upTo = update.to;
    incoming.lastMs = now;
    if ((flags & DELTA_FLAG.last) === 0) return undefined;
    this.#incoming.delete(log);
    if (update.to < log.have) return undefined;
    this.#finish(log, incoming);
    return log;
  }

  /** The snapshot that this chunk continues or begins; undefined when a chunk before it is missing. */
  #session(now: number, log: OwnerLog, update: Update): Incoming | undefined {
    const known = this.#incoming.get(log);
    if (known?.epoch === update.epoch && known.upTo === update.from && update.from > 0) return known;
    if (update.from !== 0) {
      this.#counters.add('snapshot-out-of-order');
      return undefined;
    }
    for (const [other, { lastMs }] of this.#incoming) {
      if (lastMs < now - SNAPSHOT_PATIENCE_MS || this.#incoming.size >= SNAPSHOTS_MAX)
        this.#incoming.delete(other);
    }
    const begun = { epoch: update.epoch, mark: ++this.#marks, lastMs: now, upTo: 0, repairs: [] };
    this.#incoming.set(log, begun);
    return begun;
  }

  #repairs(): number {
    let count = 0;
    for (const { repairs } of this.#incoming.values()) count += repairs.length;
    return count;
  }

  #finish(log: OwnerLog, incoming: Incoming): void {
    for (const record of incoming.repairs) {
      // By now the owner's word: it also stands against another content under the same version.
      log.remove(recordId(record.table, record.keyHex));
      this.#take(log, record, true);
      const ours = log.records.get(recordId(record.table, record.keyHex));
      if (ours !== undefined) ours.mark = incoming.mark;
    }
    for (const [id, record] of log.records) {
      const isOld = record.epoch === log.epoch && record.seq <= incoming.upTo;
      if (isOld && record.mark !== incoming.mark) log.remove(id);
    }
    log.floor = Math.max(log.floor, incoming.upTo);
    this.#cover(log, 0, incoming.upTo);
  }

  /** A snapshot of the log is coming in, and has not stalled. */
  isComing(now: number, log: OwnerLog): boolean {
    const incoming = this.#incoming.get(log);
    return incoming !== undefined && now - incoming.lastMs < SNAPSHOT_STALL_MS;
  }

  /** Forgets half-done snapshots of a log that is gone. */
  forget(log: OwnerLog): void {
    this.#incoming.delete(log);
  }

  #refuse(reason: string): undefined {
    this.#counters.add(`refused:${reason}`);
    return undefined;
  }
}

/** Newer than the other, or the same. */
function isAtLeast(ours: LogRecord, other: LogRecord): boolean {
  if (ours.epoch !== other.epoch) return false;
  return ours.seq > other.seq || (ours.seq === other.seq && recordHash(ours) === recordHash(other));
}
