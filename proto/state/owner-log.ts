/**
 * One owner's log in one scope, as a replica holds it (gossip.md 7.2, 7.3).
 *
 * Invariants:
 * - version = (epoch, seq); a key only ever goes to a higher version;
 * - a covered sequence is never applied again: what was deleted and whose tombstone is purged cannot come back;
 * - `digest` is the sum over live records of the current epoch, and only those (stale ones are on their way out);
 * - records of an earlier epoch stay in force until the owner's word that the new epoch is complete.
 *
 * It does not know who may read it (Owners) or where its owner's other logs are (Store).
 */
import { Coverage } from './coverage.ts';
import { add64, Hash64, subtract64 } from './hash.ts';
import type { LogName, SyncLine } from './messages.ts';
import type { LogRecord } from './record.ts';
import { TABLE_MARKER, recordHash, recordId } from './record.ts';
import type { HashTree } from './tree.ts';
import { encodeText } from './bytes.ts';

const TOMBSTONE_AGE_MS = 600_000;
const TOMBSTONES_MIN = 1_024;
const TOMBSTONES_SHARE = 0.25;

/** Told of every key whose visible content may have changed: record is undefined when the key is gone. */
export type LogListener = (
  log: OwnerLog,
  id: string,
  before: LogRecord | undefined,
  after: LogRecord | undefined,
) => void;

export class OwnerLog implements LogName {
  readonly scope: number;
  readonly owner: string;
  readonly records = new Map<string, LogRecord>();
  readonly coverage = new Coverage();
  epoch: bigint;
  floor = 0;
  /** Highest sequence of this epoch that anybody spoke of. */
  knownHead = 0;
  digest = 0n;
  /** Live records of this epoch. */
  count = 0;
  /** Over the live records of this epoch, while somebody needs it; kept up to date here. */
  tree: HashTree | undefined;
  readonly #capacity: number;
  readonly #listener: LogListener;
  #tombstones = 0;
  #stale = 0;
  #lineHash: bigint | undefined;

  constructor(name: LogName, capacity: number, listener: LogListener) {
    this.scope = name.scope;
    this.owner = name.owner;
    this.epoch = name.epoch;
    this.#capacity = capacity;
    this.#listener = listener;
  }

  get name(): LogName {
    const { scope, owner, epoch } = this;
    return { scope, owner, epoch };
  }

  get have(): number {
    return this.coverage.have;
  }

  /** Something is known to be missing. */
  get hasGap(): boolean {
    return this.knownHead > this.have;
  }

  get hasRoom(): boolean {
    return this.records.size < this.#capacity;
  }

  get hasStale(): boolean {
    return this.#stale > 0;
  }

  get tombstones(): number {
    return this.#tombstones;
  }

  /** Our share of the scope's root. */
  get lineHash(): bigint {
    this.#lineHash ??= new Hash64()
      .bytes(encodeText(this.owner))
      .u64(this.epoch)
      .number(this.have)
      .u64(this.digest)
      .finish();
    return this.#lineHash;
  }

  line(): SyncLine {
    const { owner, epoch, have, floor, count, digest } = this;
    return { owner, epoch, have, floor, count, digest };
  }

  /** The owner started again: what we have of it is stale from now on. */
  beginEpoch(epoch: bigint): void {
    this.epoch = epoch;
    this.coverage.reset();
    this.floor = 0;
    this.knownHead = 0;
    this.digest = 0n;
    this.count = 0;
    this.tree = undefined;
    this.#stale = this.records.size;
    this.#lineHash = undefined;
  }

  noteHead(head: number): void {
    if (head > this.knownHead) this.knownHead = head;
  }

  /** Marks (from, to] covered and does what follows from it. False when there are too many holes to note it. */
  cover(from: number, to: number): boolean {
    this.noteHead(to);
    const noted = this.coverage.cover(from, to);
    this.#lineHash = undefined;
    if (this.#stale > 0) this.#checkMarker();
    return noted;
  }

  /** Takes a record of the current epoch unless its sequence is covered. False when the log is full. */
  apply(record: LogRecord): boolean {
    if (this.coverage.covers(record.seq)) return true;
    return this.replace(record);
  }

  /** Takes a record of the current epoch if it is newer than what is there. False when the log is full. */
  replace(record: LogRecord): boolean {
    const id = recordId(record.table, record.keyHex);
    const before = this.records.get(id);
    if (before === undefined && this.records.size >= this.#capacity) return false;
    if (before !== undefined && before.epoch === record.epoch && before.seq >= record.seq) return true;
    if (before !== undefined) this.#uncount(before);
    this.records.set(id, record);
    if (record.tombstone) this.#tombstones++;
    else {
      this.count++;
      this.digest = add64(this.digest, recordHash(record));
    }
    this.#lineHash = undefined;
    this.tree?.replace(this.#current(before), record);
    if (isVisible(before) || isVisible(record)) this.#listener(this, id, before, record);
    return true;
  }

  #current(record: LogRecord | undefined): LogRecord | undefined {
    return record?.epoch === this.epoch ? record : undefined;
  }

  #uncount(record: LogRecord): void {
    if (record.tombstone) this.#tombstones--;
    if (record.epoch !== this.epoch) this.#stale--;
    else if (!record.tombstone) {
      this.count--;
      this.digest = subtract64(this.digest, recordHash(record));
    }
  }

  remove(id: string): void {
    const before = this.records.get(id);
    if (before === undefined) return;
    this.#uncount(before);
    this.records.delete(id);
    this.#lineHash = undefined;
    this.tree?.replace(this.#current(before), undefined);
    if (isVisible(before)) this.#listener(this, id, before, undefined);
  }

  clear(): void {
    for (const id of this.records.keys()) this.remove(id);
  }

  /** Everything of this epoch has been said: what was only said in earlier ones goes. */
  dropStale(): void {
    if (this.#stale === 0) return;
    for (const [id, record] of this.records) if (record.epoch !== this.epoch) this.remove(id);
  }

  /** The owner's word is a marker record, and good once everything up to it is here. */
  get marker(): LogRecord | undefined {
    const marker = this.records.get(recordId(TABLE_MARKER, ''));
    return marker?.epoch === this.epoch && marker.seq <= this.have ? marker : undefined;
  }

  #checkMarker(): void {
    if (this.marker !== undefined) this.dropStale();
  }

  /** Records of this epoch with from < seq <= have, ascending. Costs a walk over the log. */
  above(from: number): LogRecord[] {
    const found: LogRecord[] = [];
    for (const record of this.records.values()) {
      if (record.epoch === this.epoch && record.seq > from && record.seq <= this.have) found.push(record);
    }
    return found.sort((a, b) => a.seq - b.seq);
  }

  /** Forgets tombstones that are too old or too many; replicas below the new floor will need a snapshot. */
  purge(now: number): void {
    const limit = Math.max(TOMBSTONES_MIN, Math.floor(this.records.size * TOMBSTONES_SHARE));
    if (this.#tombstones === 0) return;
    const purgeable: [string, LogRecord][] = [];
    for (const entry of this.records) {
      // One above `have` still guards its key against a late older write.
      if (entry[1].tombstone && (entry[1].seq <= this.have || entry[1].epoch !== this.epoch))
        purgeable.push(entry);
    }
    purgeable.sort((a, b) => a[1].seq - b[1].seq);
    let excess = this.#tombstones - limit;
    for (const [id, record] of purgeable) {
      if (excess-- <= 0 && record.bornMs > now - TOMBSTONE_AGE_MS) continue;
      if (record.epoch === this.epoch) this.floor = Math.max(this.floor, record.seq);
      this.remove(id);
    }
  }

  /** True when there are so many tombstones that they cannot wait for the next round. */
  get isTombstoneHeavy(): boolean {
    return (
      this.#tombstones > 2 * TOMBSTONES_MIN && this.#tombstones > this.records.size * 2 * TOMBSTONES_SHARE
    );
  }
}

const isVisible = (record: LogRecord | undefined): boolean => record !== undefined && !record.tombstone;
