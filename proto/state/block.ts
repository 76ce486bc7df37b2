/**
 * Signed blocks: the pieces in which an owner says its log, one signature each.
 *
 * A block is passed on by whoever holds it. Records of it that are superseded or forgotten by then travel as their
 * 16-byte hash, so that the owner's signature still fits. It is kept while one of its records is, and the newest block of a log always:
 * it proves how far the log reaches.
 *
 * On the wire: from and to (as differences) varint · digest u64 · 64-byte signature · n varint · n × entry, an entry
 * being a record (record.ts) or FF and 16 bytes.
 */
import type { ByteReader, ByteWriter } from './bytes.ts';
import { WireError, varintLength } from './bytes.ts';
import type { Holder, LogRecord } from './record.ts';
import { readRecord, recordBytes, recordSize, writeRecord } from './record.ts';
import type { BlockHead, Signer, Verifier } from './signing.ts';
import { HASH_BYTES, SIGNATURE_BYTES, blockStatement, isSameBytes } from './signing.ts';

/** Takes the place of a table number. */
const HASHED = 0xff;
const HASHED_BYTES = 1 + HASH_BYTES;
/** More entries than fit a packet are no owner's work. */
const ENTRIES_MAX = 512;
/** From, to, digest, signature and count at most. */
export const BLOCK_HEAD_ROOM = 8 + 8 + 8 + SIGNATURE_BYTES + 2;

/** A record, or the hash of one that is no more. */
type Entry = LogRecord | Uint8Array;

export interface Block extends BlockHead {
  readonly signature: Uint8Array;
  readonly entries: readonly Entry[];
}

interface LogName {
  readonly scope: number;
  readonly owner: string;
  readonly epoch: bigint;
}

const isHash = (entry: Entry): entry is Uint8Array => entry instanceof Uint8Array;

export const recordsOf = ({ entries }: Block): LogRecord[] =>
  entries.filter((entry): entry is LogRecord => !isHash(entry));

/** The hashes of a block's entries, n × 16 bytes. */
function hashesOf(entries: readonly Entry[], verifier: Verifier): Uint8Array {
  const hashes = new Uint8Array(entries.length * HASH_BYTES);
  entries.forEach((entry, i) => {
    hashes.set(isHash(entry) ? entry : verifier.hash(recordBytes(entry)), i * HASH_BYTES);
  });
  return hashes;
}

export function signBlock(
  name: LogName,
  head: BlockHead,
  records: readonly LogRecord[],
  signer: Signer,
  verifier: Verifier,
): HeldBlock {
  const hashes = hashesOf(records, verifier);
  const signature = signer.sign(blockStatement(name, head, hashes));
  return new HeldBlock({ ...head, signature, entries: records }, hashes);
}

/** The block as it may be kept; undefined when the signature is not that of `key`. */
export function openBlock(
  name: LogName,
  key: Uint8Array,
  block: Block,
  verifier: Verifier,
): HeldBlock | undefined {
  const hashes = hashesOf(block.entries, verifier);
  const isSigned = verifier.verify(key, blockStatement(name, block, hashes), block.signature);
  return isSigned ? new HeldBlock(block, hashes) : undefined;
}

/** A block whose signature is good, with those of its records that the log holds. */
export class HeldBlock implements BlockHead, Holder {
  readonly from: number;
  readonly to: number;
  readonly digest: bigint;
  readonly #signature: Uint8Array;
  readonly #hashes: Uint8Array;
  readonly #slots: (LogRecord | undefined)[];
  #live = 0;

  constructor(block: Block, hashes: Uint8Array) {
    this.from = block.from;
    this.to = block.to;
    this.digest = block.digest;
    this.#signature = block.signature;
    this.#hashes = hashes;
    this.#slots = Array.from({ length: block.entries.length });
    block.entries.forEach((entry, slot) => {
      if (!isHash(entry)) entry.slot = slot;
    });
  }

  /** Records that the log holds. */
  get live(): number {
    return this.#live;
  }

  /** Entries that are kept as their hash alone. */
  get spent(): number {
    return this.#slots.length - this.#live;
  }

  /** The log holds this record, one of those that came with the block, from now on. False: it did already. */
  hold(record: LogRecord): boolean {
    if (this.#slots[record.slot] !== undefined) return false;
    this.#slots[record.slot] = record;
    record.holder = this;
    this.#live++;
    return true;
  }

  /** Records that the log holds. */
  held(): LogRecord[] {
    return this.#slots.filter((record): record is LogRecord => record !== undefined);
  }

  drop(record: LogRecord): void {
    if (this.#slots[record.slot] !== record) return;
    this.#slots[record.slot] = undefined;
    this.#live--;
  }

  /** The same place and signature: the same block, come another time. */
  isSame(other: HeldBlock): boolean {
    return this.from === other.from && isSameBytes(this.#signature, other.#signature);
  }

  /** As it goes out now; with only some of its records, if need be. */
  toWire(isWanted: (record: LogRecord) => boolean = () => true): Block {
    const entries = this.#slots.map((record, slot) =>
      record === undefined || !isWanted(record)
        ? this.#hashes.subarray(slot * HASH_BYTES, (slot + 1) * HASH_BYTES)
        : record,
    );
    return { from: this.from, to: this.to, digest: this.digest, signature: this.#signature, entries };
  }
}

/** Bytes that a record may take now or, as a hash, later. */
export const entryRoom = (record: LogRecord, from: number, hlcBase: bigint): number =>
  Math.max(HASHED_BYTES, recordSize(record, from, hlcBase));

export function blockSize(block: Block, hlcBase: bigint): number {
  let size = BLOCK_HEAD_ROOM;
  for (const entry of block.entries)
    size += isHash(entry) ? HASHED_BYTES : recordSize(entry, block.from, hlcBase);
  return size;
}

/** `after`: where the block before it ends. */
export function writeBlock(out: ByteWriter, block: Block, after: number, hlcBase: bigint): void {
  out.varint(block.from - after).varint(block.to - block.from);
  out.u64(block.digest).raw(block.signature).varint(block.entries.length);
  for (const entry of block.entries) {
    if (isHash(entry)) out.u8(HASHED).raw(entry);
    else writeRecord(out, entry, block.from, hlcBase);
  }
}

/** Copies out of the packet. Throws WireError. */
export function readBlock(
  r: ByteReader,
  after: number,
  { epoch, hlcBase, now }: { epoch: bigint; hlcBase: bigint; now: number },
): Block {
  const from = after + r.varint();
  const to = from + r.varint();
  if (!Number.isSafeInteger(to)) throw new WireError('sequence out of range');
  const digest = r.u64();
  const signature = r.take(SIGNATURE_BYTES).slice();
  const count = r.varint(Math.min(ENTRIES_MAX, r.left));
  const entries: Entry[] = [];
  for (let i = 0; i < count; i++) {
    const table = r.u8();
    if (table === HASHED) entries.push(r.take(HASH_BYTES).slice());
    else entries.push(readRecord(r, table, { epoch, from, to, hlcBase, now }));
  }
  return { from, to, digest, signature, entries };
}

/** Bytes of the numbers before an entry list, for whoever packs several blocks into one message. */
export const updateHeadRoom = (ownerBytes: number): number => ownerBytes + varintLength(ownerBytes) + 80;
