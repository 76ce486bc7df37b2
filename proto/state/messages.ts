/**
 * The state layer's messages (gossip.md 7.4): `D7`, u8 version 1, u8 kind, body. All ride in memberlist user messages.
 *
 * UPDATE and DELTA carry signed blocks (block.ts):
 *
 *   scope varint · owner · epoch varint · owner's key 32 bytes · from varint · HLC base u64 · n × block
 *
 * a DELTA then u8 flags (2 snapshot, 4 last chunk, 8 repair, 16 manifest: 64 bytes of signature follow). HEADS, PULL, SYNC and BUSY
 * are not signed: they may cause a question, never a change.
 *
 * NOTICE is a revocation (revocation.ts) with its length before it. `n` before a list is a varint. Bytes after what a kind defines belong to later versions and are ignored.
 * The body of TREE is in tree-wire.ts.
 */
import type { Block } from './block.ts';
import {
  BLOCK_HEAD_ROOM,
  blockSize,
  entryRoom,
  readBlock,
  recordsOf,
  updateHeadRoom,
  writeBlock,
} from './block.ts';
import { ByteReader, ByteWriter, WireError, encodeText, varintLength } from './bytes.ts';
import type { LogRecord } from './record.ts';
import { VALUE_MAX_BYTES } from './record.ts';
import type { TreeMessage } from './tree-wire.ts';
import { readTreePart, writeTree } from './tree-wire.ts';
import { KEY_BYTES, SIGNATURE_BYTES } from './signing.ts';

export const STATE_MAGIC = 0xd7;
export const STATE_VERSION = 1;
export const KIND = {
  update: 1,
  heads: 2,
  pull: 3,
  sync: 4,
  delta: 5,
  tree: 6,
  busy: 7,
  notice: 12,
} as const;
/**
 * Largest message of each kind, bytes: no release has sent more. UPDATE, HEADS, PULL, BUSY and NOTICE are made for one packet; a DELTA
 * has 32 KiB and a block more; a SYNC a line for each owner that a scope may have; a TREE as many keys as it may name.
 */
const PACKET_LIKE_BYTES = 64 * 1_024;
const LARGEST_BYTES: ReadonlyMap<number, number> = new Map([
  [KIND.delta, 128 * 1_024],
  [KIND.sync, 5 * 1_024 * 1_024],
  [KIND.tree, 640 * 1_024],
]);
/** Signed blocks in one message: a packet has one, 32 KiB of the smallest have 364. */
const UPDATE_BLOCKS_MAX = 64;
const DELTA_BLOCKS_MAX = 512;
const SYNC_LINES_MAX = 16_384;

/** `repair`: only some of the blocks, sent again. */
export const DELTA_FLAG = { snapshot: 2, last: 4, repair: 8, manifest: 16 } as const;
/** `sums`: instead of lines, sums over groups of owners; `some`: the lines of some of these groups, or a wish for them. */
export const SYNC_FLAG = { answer: 1, sums: 2, some: 4 } as const;

export const OWNER_MAX_BYTES = 255;
/** Of HEADS: magic, version, kind, and a count that never needs three bytes in a packet. */
const HEADS_ROOM = 3 + 2;
/** An owner of one byte, and all numbers at their shortest. */
const HEAD_MIN_BYTES = 5;
const SYNC_LINE_MIN_BYTES = 14;
/** Range and count of one byte each, digest and signature. */
const BLOCK_MIN_BYTES = 3 + 8 + SIGNATURE_BYTES;
const SCOPE_MAX = 0xffff_ffff;
const SYNC_BUCKETS_MAX = 1_024;
/** Epochs stay safe integers, so that "seen + 1" always exists. */
const EPOCH_MAX = 1n << 53n;

export interface LogName {
  readonly scope: number;
  readonly owner: string;
  readonly epoch: bigint;
}

/** What is current of a log above `from`, up to the end of the last block; between the blocks nothing is. */
export interface Update extends LogName {
  /** The owner's public key. */
  readonly key: Uint8Array;
  readonly from: number;
  readonly blocks: readonly Block[];
}

/** Where an update ends. */
export const endOf = ({ from, blocks }: Update): number => blocks.at(-1)?.to ?? from;

export interface Head extends LogName {
  readonly head: number;
}

export interface SyncLine {
  readonly owner: string;
  readonly epoch: bigint;
  readonly have: number;
  readonly floor: number;
  readonly count: number;
  readonly digest: bigint;
}

export interface SyncMessage {
  readonly id: number;
  readonly scope: number;
  readonly flags: number;
  readonly lines: readonly SyncLine[];
  /** With `sums`: one for each group. */
  readonly sums?: readonly bigint[];
  /** With `some`: which groups, of how many. */
  readonly some?: { readonly of: number; readonly buckets: readonly number[] };
}

export type Message =
  | { readonly kind: 'update'; readonly update: Update }
  | { readonly kind: 'heads'; readonly heads: readonly Head[] }
  | { readonly kind: 'pull'; readonly log: LogName; readonly from: number }
  | { readonly kind: 'sync'; readonly sync: SyncMessage }
  | {
      readonly kind: 'delta';
      readonly update: Update;
      readonly flags: number;
      /** With `manifest`: the owner's signature under its snapshot. */
      readonly manifest: Uint8Array | undefined;
    }
  | { readonly kind: 'tree'; readonly tree: TreeMessage }
  | { readonly kind: 'busy'; readonly id: number; readonly retryAfterMs: number }
  /** Why nobody talks to the receiver: a revocation (revocation.ts), signed for itself. */
  | { readonly kind: 'notice'; readonly revocation: Uint8Array }
  /** A later version, or a kind that we do not know. */
  | { readonly kind: 'unknown' };

const begin = (kind: number, capacity = 256): ByteWriter =>
  new ByteWriter(capacity).u8(STATE_MAGIC).u8(STATE_VERSION).u8(kind);

/** Room that all but the entries of an UPDATE may take, bytes. */
export const updateRoom = (ownerBytes: number): number => updateHeadRoom(ownerBytes) + BLOCK_HEAD_ROOM;

function writeUpdate(out: ByteWriter, update: Update): ByteWriter {
  const hlcBase = hlcBaseOf(update.blocks);
  out.varint(update.scope).text(update.owner).varint64(update.epoch).raw(update.key);
  out.varint(update.from).u64(hlcBase).varint(update.blocks.length);
  let after = update.from;
  for (const block of update.blocks) {
    writeBlock(out, block, after, hlcBase);
    after = block.to;
  }
  return out;
}

function hlcBaseOf(blocks: readonly Block[]): bigint {
  for (const block of blocks) {
    const [first] = recordsOf(block);
    if (first !== undefined) return first.hlc;
  }
  return 0n;
}

export const encodeUpdate = (update: Update): Uint8Array =>
  writeUpdate(begin(KIND.update, 1_400), update).finish();

/** `manifest`: under a snapshot of the owner's own, with its last chunk. */
export function encodeDelta(update: Update, flags: number, manifest?: Uint8Array): Uint8Array {
  const out = writeUpdate(begin(KIND.delta, 4_096), update);
  if (manifest === undefined) return out.u8(flags).finish();
  return out
    .u8(flags | DELTA_FLAG.manifest)
    .raw(manifest)
    .finish();
}

export function encodeHeads(heads: readonly Head[]): Uint8Array {
  const out = begin(KIND.heads).varint(heads.length);
  for (const h of heads) out.varint(h.scope).text(h.owner).varint64(h.epoch).varint(h.head);
  return out.finish();
}

/** Bytes of one entry of HEADS. */
function headSize({ scope, owner, epoch, head }: Head): number {
  const ownerBytes = encodeText(owner).length;
  return (
    varintLength(scope) +
    varintLength(ownerBytes) +
    ownerBytes +
    varintLength(Number(epoch)) +
    varintLength(head)
  );
}

/** HEADS of at most `maxBytes` each, which one entry never has: names are bounded. */
export function* packHeads(heads: readonly Head[], maxBytes: number): Generator<Uint8Array> {
  let batch: Head[] = [];
  let used = HEADS_ROOM;
  for (const head of heads) {
    const size = headSize(head);
    if (batch.length > 0 && used + size > maxBytes) {
      yield encodeHeads(batch);
      batch = [];
      used = HEADS_ROOM;
    }
    batch.push(head);
    used += size;
  }
  if (batch.length > 0) yield encodeHeads(batch);
}

export const encodePull = (log: LogName, from: number): Uint8Array =>
  begin(KIND.pull).varint(log.scope).text(log.owner).varint64(log.epoch).varint(from).finish();

export function encodeSync(sync: SyncMessage): Uint8Array {
  const out = begin(KIND.sync, 64 + sync.lines.length * 48);
  out.varint(sync.id).varint(sync.scope).u8(sync.flags).varint(sync.lines.length);
  for (const l of sync.lines) {
    out.text(l.owner).varint64(l.epoch).varint(l.have).varint(l.floor).varint(l.count).u64(l.digest);
  }
  if (sync.sums !== undefined) {
    out.varint(sync.sums.length);
    for (const sum of sync.sums) out.u64(sum);
  }
  if (sync.some !== undefined) {
    out.varint(sync.some.of).varint(sync.some.buckets.length);
    for (const bucket of sync.some.buckets) out.varint(bucket);
  }
  return out.finish();
}

export const encodeTree = (tree: TreeMessage): Uint8Array => writeTree(begin(KIND.tree), tree).finish();

export const encodeBusy = (id: number, retryAfterMs: number): Uint8Array =>
  begin(KIND.busy, 16).varint(id).varint(retryAfterMs).finish();

export const encodeNotice = (revocation: Uint8Array): Uint8Array =>
  begin(KIND.notice, 16 + revocation.length)
    .bytes(revocation)
    .finish();

/** Larger than any honest message of its kind: not worth a look at what is in it. */
export const isOversized = (bytes: Uint8Array): boolean =>
  bytes.length > (LARGEST_BYTES.get(bytes[2] ?? 0) ?? PACKET_LIKE_BYTES);

/** Throws WireError. `now` stamps the records. */
export function decodeMessage(bytes: Uint8Array, now: number): Message {
  const r = new ByteReader(bytes);
  if (r.u8() !== STATE_MAGIC) throw new WireError('not a state message');
  if (r.u8() !== STATE_VERSION) return { kind: 'unknown' };
  switch (r.u8()) {
    case KIND.update:
      return { kind: 'update', update: readUpdate(r, now, UPDATE_BLOCKS_MAX) };
    case KIND.heads:
      return {
        kind: 'heads',
        heads: readList(r, HEAD_MIN_BYTES, (x) => ({ ...readLogName(x), head: x.varint() })),
      };
    case KIND.pull:
      return { kind: 'pull', log: readLogName(r), from: r.varint() };
    case KIND.sync:
      return { kind: 'sync', sync: readSync(r) };
    case KIND.delta: {
      const update = readUpdate(r, now, DELTA_BLOCKS_MAX);
      const flags = r.u8();
      const isSigned = (flags & DELTA_FLAG.manifest) !== 0;
      return {
        kind: 'delta',
        update,
        flags,
        manifest: isSigned ? r.take(SIGNATURE_BYTES).slice() : undefined,
      };
    }
    case KIND.tree:
      return { kind: 'tree', tree: { id: r.varint(), ...readLogName(r), part: readTreePart(r) } };
    case KIND.busy:
      return { kind: 'busy', id: r.varint(), retryAfterMs: r.varint() };
    case KIND.notice:
      return { kind: 'notice', revocation: r.bytes(VALUE_MAX_BYTES).slice() };
    default:
      return { kind: 'unknown' };
  }
}

function readUpdate(r: ByteReader, now: number, blocksMax: number): Update {
  const name = readLogName(r);
  const key = r.take(KEY_BYTES).slice();
  const from = r.varint();
  const frame = { epoch: name.epoch, hlcBase: r.u64(), now };
  let after = from;
  const readNext = (x: ByteReader): Block => {
    const block = readBlock(x, after, frame);
    after = block.to;
    return block;
  };
  const blocks = readList(r, BLOCK_MIN_BYTES, readNext, blocksMax);
  return { ...name, key, from, blocks };
}

function readSync(r: ByteReader): SyncMessage {
  const id = r.varint();
  const scope = r.varint(SCOPE_MAX);
  const flags = r.u8();
  const lines = readList(r, SYNC_LINE_MIN_BYTES, readSyncLine, SYNC_LINES_MAX);
  const sums = (flags & SYNC_FLAG.sums) !== 0 && { sums: readList(r, 8, (x) => x.u64(), SYNC_BUCKETS_MAX) };
  if (sums && sums.sums.length === 0) throw new WireError('sums of nothing');
  const some = (flags & SYNC_FLAG.some) !== 0 && { some: readBuckets(r) };
  return { id, scope, flags, lines, ...sums, ...some };
}

function readBuckets(r: ByteReader): { of: number; buckets: number[] } {
  const of = r.varint(SYNC_BUCKETS_MAX);
  if (of === 0) throw new WireError('no groups');
  return { of, buckets: readList(r, 1, (x) => x.varint(of - 1), of) };
}

function readSyncLine(r: ByteReader): SyncLine {
  const owner = readOwner(r);
  const epoch = readEpoch(r);
  return { owner, epoch, have: r.varint(), floor: r.varint(), count: r.varint(), digest: r.u64() };
}

function readLogName(r: ByteReader): LogName {
  const scope = r.varint(SCOPE_MAX);
  return { scope, owner: readOwner(r), epoch: readEpoch(r) };
}

function readOwner(r: ByteReader): string {
  const owner = r.text(OWNER_MAX_BYTES);
  if (owner === '') throw new WireError('empty owner name');
  return owner;
}

function readEpoch(r: ByteReader): bigint {
  const epoch = r.varint64();
  if (epoch >= EPOCH_MAX) throw new WireError('epoch out of range');
  return epoch;
}

/** The count is believed only as far as the bytes go, of which an entry takes at least `entryBytes`. */
function readList<T>(
  r: ByteReader,
  entryBytes: number,
  entry: (r: ByteReader) => T,
  max = Number.MAX_SAFE_INTEGER,
): T[] {
  const count = r.varint(max);
  if (count * entryBytes > r.left) throw new WireError('list longer than its message');
  const list: T[] = [];
  for (let i = 0; i < count; i++) list.push(entry(r));
  return list;
}

/**
 * Cuts the records of (from, to], ascending by seq, into pieces that fit an UPDATE of `maxBytes` each, now and when
 * nothing but their hashes is left, and whose ranges join up; the last one reaches `to`. With no records: one empty piece.
 */
export function* cutRecords(
  from: number,
  to: number,
  records: readonly LogRecord[],
  entriesBytes: number,
): Generator<{ from: number; to: number; records: LogRecord[] }> {
  let start = from;
  let batch: LogRecord[] = [];
  let used = 0;
  for (const record of records) {
    let size = entryRoom(record, start, batch[0]?.hlc ?? record.hlc);
    if (batch.length > 0 && used + size > entriesBytes) {
      const end = batch.at(-1)!.seq;
      yield { from: start, to: end, records: batch };
      start = end;
      batch = [];
      used = 0;
      size = entryRoom(record, start, record.hlc);
    }
    batch.push(record);
    used += size;
  }
  yield { from: start, to, records: batch };
}

/** Packs blocks, ascending, into updates of about `maxBytes` whose ranges join up from `from`. */
export function* packBlocks(
  of: LogName & { readonly key: Uint8Array },
  from: number,
  blocks: readonly Block[],
  maxBytes: number,
): Generator<Update> {
  const { scope, owner, epoch, key } = of;
  // Whoever asks from the middle of a block gets the whole block.
  let start = Math.min(from, blocks[0]?.from ?? from);
  let batch: Block[] = [];
  let used = 0;
  for (const block of blocks) {
    const size = blockSize(block, hlcBaseOf(batch.length > 0 ? batch : [block]));
    if (batch.length > 0 && used + size > maxBytes) {
      yield { scope, owner, epoch, key, from: start, blocks: batch };
      start = batch.at(-1)!.to;
      batch = [];
      used = 0;
    }
    batch.push(block);
    used += size;
  }
  if (batch.length > 0) yield { scope, owner, epoch, key, from: start, blocks: batch };
}

/** Whether it is a notice; they concern also who is no member yet. */
export const isNotice = (bytes: Uint8Array): boolean =>
  bytes[0] === STATE_MAGIC && bytes[1] === STATE_VERSION && bytes[2] === KIND.notice;
