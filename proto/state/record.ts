/**
 * One record of a log and its form inside UPDATE and DELTA (gossip.md 7.4):
 *
 *   u8 table · u8 flags (1 tombstone, 2 has HLC delta) · bytes key · seq - from · [HLC - hlcBase zig-zag] · bytes value
 *
 * Records are never changed in place once they are in a log (but for `mark`, `holder` and `slot`): a newer version replaces the object.
 */
import type { ByteReader } from './bytes.ts';
import { ByteWriter, WireError, toHex, varintLength } from './bytes.ts';
import { Hash64 } from './hash.ts';

export const KEY_MAX_BYTES = 64;
export const VALUE_MAX_BYTES = 1_024;

/** An owner's sign that all it has to say in this epoch has been said up to here: what it said before may go. */
export const TABLE_MARKER = 0;
/** Under an empty key in scope 0: its owner goes, and all it said up to this epoch with it (farewells.ts). */
export const TABLE_GOODBYE = 8;

const TOMBSTONE = 1;
const HAS_HLC_DELTA = 2;
const EMPTY = new Uint8Array(0);

export interface LogRecord {
  readonly table: number;
  readonly key: Uint8Array;
  readonly keyHex: string;
  readonly value: Uint8Array;
  readonly tombstone: boolean;
  readonly epoch: bigint;
  readonly seq: number;
  readonly hlc: bigint;
  /** When this replica got it, monotonic ms; for the age of tombstones. */
  readonly bornMs: number;
  /** The last snapshot that listed it (see Merge). */
  mark: number;
  /** The signed block that it came in, and its place there; none while it is ours and not yet sent. */
  holder?: Holder | undefined;
  slot: number;
}

/** What keeps a record's signature (block.ts). */
export interface Holder {
  readonly from: number;
  readonly live: number;
  drop(record: LogRecord): void;
}

/** Identity of a key inside one log. */
export const recordId = (table: number, keyHex: string): string => `${table}/${keyHex}`;

export function recordHash(record: LogRecord): bigint {
  return new Hash64()
    .word(record.table)
    .bytes(record.key)
    .u64(record.epoch)
    .number(record.seq)
    .bytes(record.value)
    .finish();
}

/**
 * The canonical form, of which blocks sign the hash: u8 table · u8 flags (1 tombstone) · bytes key · seq u64 · HLC u64 ·
 * bytes value. Owner, scope and epoch are the block's.
 */
export function recordBytes({ table, tombstone, key, seq, hlc, value }: LogRecord): Uint8Array {
  const out = new ByteWriter(24 + key.length + value.length).u8(table).u8(tombstone ? TOMBSTONE : 0);
  return out.bytes(key).u64(BigInt(seq)).u64(hlc).bytes(value).finish();
}

export function writeRecord(out: ByteWriter, record: LogRecord, from: number, hlcBase: bigint): void {
  const delta = record.hlc - hlcBase;
  out.u8(record.table).u8((record.tombstone ? TOMBSTONE : 0) | (delta === 0n ? 0 : HAS_HLC_DELTA));
  out.bytes(record.key).varint(record.seq - from);
  if (delta !== 0n) out.signed64(delta);
  out.bytes(record.tombstone ? EMPTY : record.value);
}

/** Bytes that any record of this key and value may take: table, flags, two lengths, seq and HLC delta at their widest. */
export const recordRoom = (key: Uint8Array, value: Uint8Array): number => key.length + value.length + 24;

/** Bytes that writeRecord takes. */
export function recordSize(record: LogRecord, from: number, hlcBase: bigint): number {
  const { key, value } = record;
  const fixed = 2 + varintLength(key.length) + varintLength(value.length) + varintLength(record.seq - from);
  const delta = record.hlc - hlcBase;
  // One byte too many near the powers of two does no harm.
  const deltaBytes = delta === 0n ? 0 : varintLength(Number(delta < 0n ? -delta : delta) * 2 + 1);
  return fixed + key.length + value.length + deltaBytes;
}

/** Context of the block around a record. */
export interface RecordFrame {
  readonly epoch: bigint;
  readonly from: number;
  readonly to: number;
  readonly hlcBase: bigint;
  readonly now: number;
}

/** What follows the table number; copies out of the packet. Throws WireError. */
export function readRecord(r: ByteReader, table: number, frame: RecordFrame): LogRecord {
  const flags = r.u8();
  const tombstone = (flags & TOMBSTONE) !== 0;
  const key = r.bytes(KEY_MAX_BYTES).slice();
  const offset = r.varint(frame.to - frame.from);
  if (offset === 0) throw new WireError('record outside its range');
  const hlc = frame.hlcBase + ((flags & HAS_HLC_DELTA) !== 0 ? r.signed64() : 0n);
  if (hlc < 0n || hlc > 0xffff_ffff_ffff_ffffn) throw new WireError('HLC out of range');
  const value = r.bytes(VALUE_MAX_BYTES).slice();
  const seq = frame.from + offset;
  const { epoch, now } = frame;
  const keyHex = toHex(key);
  return {
    table,
    key,
    keyHex,
    value: tombstone ? EMPTY : value,
    tombstone,
    epoch,
    seq,
    hlc,
    bornMs: now,
    mark: 0,
    slot: 0,
  };
}
