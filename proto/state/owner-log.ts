/**
 * One owner's log in one scope, as a replica holds it (gossip.md 7.2, 7.3).
 *
 * Invariants:
 * - version = (epoch, seq); a key only ever goes to a higher version;
 * - a covered sequence is never applied again: what was deleted and whose tombstone is purged cannot come back;
 * - `digest` is the sum over live records of the current epoch, and only those (stale ones are on their way out);
 * - records of an earlier epoch stay in force until the owner's word that the new epoch is complete;
 * - every record of another's log came in a block that its owner signed; coverage ends where a signed block ends.
 *
 * Ranges between blocks are covered on the word of whoever passed them on. Each block says the digest that the log has
 * at its end, so a replica sees for itself whether it was told all: `isProven` or `isDoubtful`.
 *
 * It does not know who may read it (Owners) or where its owner's other logs are (Store).
 */
import type { HeldBlock } from './block.ts';
import { Coverage } from './coverage.ts';
import { add64, Hash64, subtract64 } from './hash.ts';
import type { LogName, SyncLine } from './messages.ts';
import type { LogRecord } from './record.ts';
import { TABLE_MARKER, recordHash, recordId } from './record.ts';
import type { HashTree } from './tree.ts';
import { encodeText } from './bytes.ts';
import { NO_TABLE_LIMITS } from './table-limits.ts';

const TOMBSTONE_AGE_MS = 600_000;
const TOMBSTONES_MIN = 1_024;
const TOMBSTONES_SHARE = 0.25;
/** Keys and values of one log: 131,072 endpoints have a third of it. Its owner is refused more as well as everybody else. */
const BYTES_MAX = 16 * 1_024 * 1_024;
const NO_KEY = new Uint8Array(0);

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
  /** Blocks of this epoch by where they begin. */
  readonly blocks = new Map<number, HeldBlock>();
  /** The owner's public key. */
  key: Uint8Array = NO_KEY;
  #newest: HeldBlock | undefined;
  #spent = 0;
  digest = 0n;
  /** Live records of this epoch. */
  count = 0;
  /** Over the live records of this epoch, while somebody needs it; kept up to date here. */
  tree: HashTree | undefined;
  readonly #capacity: number;
  readonly #tableMax: ReadonlyMap<number, number>;
  /** Live records of the tables that are bounded. */
  readonly #liveOf = new Map<number, number>();
  readonly #listener: LogListener;
  #bytes = 0;
  #tombstones = 0;
  #stale = 0;
  #lineHash: bigint | undefined;

  constructor(
    name: LogName,
    capacity: number,
    listener: LogListener,
    tableMax: ReadonlyMap<number, number> = NO_TABLE_LIMITS,
  ) {
    this.scope = name.scope;
    this.owner = name.owner;
    this.epoch = name.epoch;
    this.#capacity = capacity;
    this.#tableMax = tableMax;
    this.#listener = listener;
  }

  get name(): LogName {
    const { scope, owner, epoch } = this;
    return { scope, owner, epoch };
  }

  /** The name with the key under which it is signed. */
  get signed(): LogName & { readonly key: Uint8Array } {
    return { ...this.name, key: this.key };
  }

  get have(): number {
    return this.coverage.have;
  }

  /** Something is known to be missing: signed blocks reach further than what we have without a hole. */
  get hasGap(): boolean {
    return this.coverage.head > this.have;
  }

  /** The block that reaches furthest. */
  get newest(): HeldBlock | undefined {
    return this.#newest;
  }

  /** Up to here we can show signed blocks: short of `have` only in our own log, for what waits to be sent. */
  get said(): number {
    return Math.min(this.have, this.#newest?.to ?? 0);
  }

  /** We have what the owner had when it signed the newest block, no more and no less. */
  get isProven(): boolean {
    return this.#newest?.to === this.have && !this.hasGap && this.#newest.digest === this.digest;
  }

  /** Without a hole, and yet not what the owner had: somebody kept something from us. */
  get isDoubtful(): boolean {
    return this.#newest?.to === this.have && !this.hasGap && this.#newest.digest !== this.digest;
  }

  /** Entries that blocks keep as mere hashes, for their signatures' sake. */
  get spent(): number {
    return this.#spent;
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
    this.blocks.clear();
    this.#newest = undefined;
    this.#spent = 0;
    this.digest = 0n;
    this.count = 0;
    this.tree = undefined;
    this.#stale = this.records.size;
    this.#lineHash = undefined;
  }

  /** Marks (from, to] covered and does what follows from it. False when there are too many holes to note it. */
  cover(from: number, to: number): boolean {
    const noted = this.coverage.cover(from, to);
    this.#lineHash = undefined;
    return noted;
  }

  /** Keeps a block of this epoch for those of its records that the log holds, or while it is the newest. */
  keep(block: HeldBlock, records: Iterable<LogRecord>): void {
    const known = this.blocks.get(block.from);
    const kept = known?.isSame(block) === true ? known : undefined;
    for (const record of records) {
      if (this.records.get(recordId(record.table, record.keyHex)) !== record) continue;
      if ((kept ?? block).hold(record) && kept !== undefined) this.#spent--;
    }
    if (kept === undefined) this.#add(block);
  }

  #add(block: HeldBlock): void {
    const before = this.#newest;
    if (before === undefined || block.to > before.to) {
      this.#newest = block;
      if (before !== undefined) this.#dropIfSpent(before);
    }
    const known = this.blocks.get(block.from);
    if (known !== undefined) {
      // The same again, or an owner that signs two blocks for one place.
      if (known.to >= block.to && known.live >= block.live) return;
      if (known === this.#newest) this.#newest = block;
      this.#spent -= known.spent;
    }
    this.#spent += block.spent;
    this.blocks.set(block.from, block);
    this.#dropIfSpent(block);
  }

  #dropIfSpent(block: HeldBlock): void {
    if (block.live > 0 || block === this.#newest || this.blocks.get(block.from) !== block) return;
    this.blocks.delete(block.from);
    this.#spent -= block.spent;
  }

  /** Blocks that end above `from`, ascending. Costs a walk over all. */
  blocksAbove(from: number): HeldBlock[] {
    const found: HeldBlock[] = [];
    for (const block of this.blocks.values()) if (block.to > from && block.to <= this.have) found.push(block);
    return found.sort((a, b) => a.to - b.to);
  }

  /** Takes a record of the current epoch unless its sequence is covered. False when the log is full. */
  apply(record: LogRecord): boolean {
    if (this.coverage.covers(record.seq)) return true;
    return this.replace(record);
  }

  /** Takes a record of the current epoch if it is newer than what is there. False when the log, or its table, is full. */
  replace(record: LogRecord): boolean {
    const id = recordId(record.table, record.keyHex);
    const before = this.records.get(id);
    if (before === undefined && this.records.size >= this.#capacity) return false;
    if (before !== undefined && before.epoch === record.epoch && before.seq >= record.seq) return true;
    if (!isVisible(before) && this.#isTableFull(record)) return false;
    const more = bytesOf(record) - (before === undefined ? 0 : bytesOf(before));
    if (more > 0 && this.#bytes + more > BYTES_MAX) return false;
    if (before !== undefined) this.#uncount(before);
    this.records.set(id, record);
    this.#bytes += bytesOf(record);
    if (record.tombstone) this.#tombstones++;
    else {
      this.count++;
      this.digest = add64(this.digest, recordHash(record));
      this.#countOf(record.table, 1);
    }
    this.#lineHash = undefined;
    this.tree?.replace(this.#current(before), record);
    if (isVisible(before) || isVisible(record)) this.#listener(this, id, before, record);
    return true;
  }

  #isTableFull({ table, tombstone }: LogRecord): boolean {
    return !tombstone && (this.#liveOf.get(table) ?? 0) >= (this.#tableMax.get(table) ?? Infinity);
  }

  #countOf(table: number, by: 1 | -1): void {
    if (this.#tableMax.has(table)) this.#liveOf.set(table, (this.#liveOf.get(table) ?? 0) + by);
  }

  #current(record: LogRecord | undefined): LogRecord | undefined {
    return record?.epoch === this.epoch ? record : undefined;
  }

  #uncount(record: LogRecord): void {
    const block = this.blocks.get(record.holder?.from ?? -1);
    if (block !== undefined && block === record.holder) {
      block.drop(record);
      this.#spent++;
      this.#dropIfSpent(block);
    }
    this.#bytes -= bytesOf(record);
    if (record.tombstone) this.#tombstones--;
    else this.#countOf(record.table, -1);
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

  /** Forgets tombstones that are too old or too many; replicas below the new floor will need a snapshot. */
  purge(now: number): void {
    const limit = Math.max(TOMBSTONES_MIN, Math.floor(this.records.size * TOMBSTONES_SHARE));
    if (this.#tombstones === 0) return;
    const purgeable: [string, LogRecord][] = [];
    for (const entry of this.records) {
      const [, record] = entry;
      // One above `have` still guards its key against a late older write; one that is not signed yet was never sent.
      const isSettled = record.seq <= this.have && record.holder !== undefined;
      if (record.tombstone && (isSettled || record.epoch !== this.epoch)) purgeable.push(entry);
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

const bytesOf = ({ key, value }: LogRecord): number => key.length + value.length;

const isVisible = (record: LogRecord | undefined): boolean => record !== undefined && !record.tombstone;
