/**
 * The two records of a pool (scope 0), owned by the host that says it.
 *
 * Estate (table 13, key = network id 16 bytes, u8 family):
 *
 *   u8 version 1 · u8 flags (1 has lineage) · session varint · ledger u32 · life u32 · [lineage: ms varint, origin text]
 *   · beat varint · noted varint · u8 free bits + 1 · estate
 *
 * Ward (table 14, key = the estate's key, hash of the ward's name u64):
 *
 *   u8 version 1 · u8 status (0 noted, 1 restore, 2 promised) · u8 flags (1 wanted, 2 has the copy) · ward text · session varint ·
 *   life u32 · lineage · guardian · beat varint · rev varint · [estate]
 *
 * estate = rev varint · u8 flags (1 root) · u8 n · n × guardian · blocks own · u8 n · n × gift · u8 n · n × taken · u8 n ·
 * n × life u32 · blocks docker; guardian = name text · life u32 · ledger u32; blocks = varint n · n × block;
 * block = u8 prefix length · its whole bytes; gift = id u32 · block · to text · life u32 ·
 * session varint · u8 isFirst;
 * taken = id u32 · donor text · life u32 · rev varint.
 *
 * Bytes after these belong to later versions. A reader throws WireError and nothing else.
 */
import { ByteReader, ByteWriter, WireError, encodeText } from '../state/bytes.ts';
import { Hash64 } from '../state/hash.ts';
import { OWNER_MAX_BYTES } from '../state/messages.ts';
import type { Block, Family } from './block.ts';
import { merge, widthOf } from './block.ts';
import type {
  Estate,
  EstateRecord,
  Gift,
  Guardian,
  Lineage,
  Taken,
  WardRecord,
  WardStatus,
} from './estate.ts';

const VERSION = 1;
const POOL_KEY_BYTES = 17;
const BLOCKS_MAX = 256;
const STATUSES: readonly WardStatus[] = ['noted', 'restore', 'promised'];

/** `networkId`: 16 bytes. */
export const estateKey = (networkId: Uint8Array, family: Family): Uint8Array =>
  new ByteWriter(POOL_KEY_BYTES).raw(networkId).u8(family).finish();

export const wardKey = (pool: Uint8Array, ward: string): Uint8Array =>
  new ByteWriter(POOL_KEY_BYTES + 8)
    .raw(pool)
    .u64(new Hash64().bytes(encodeText(ward)).finish())
    .finish();

/** The pool that a key of either record belongs to; undefined when it is none. */
export function poolOfKey(key: Uint8Array): Uint8Array | undefined {
  if (key.length !== POOL_KEY_BYTES && key.length !== POOL_KEY_BYTES + 8) return undefined;
  return key.subarray(0, POOL_KEY_BYTES);
}

export function encodeEstateRecord(record: EstateRecord, family: Family): Uint8Array {
  const { lineage } = record;
  const out = new ByteWriter(256).u8(VERSION).u8(lineage === undefined ? 0 : 1);
  out.varint(record.session).u32(record.ledger).u32(record.life);
  if (lineage !== undefined) writeLineage(out, lineage);
  out
    .varint(record.beat)
    .varint(record.noted)
    .u8(record.freeBits + 1);
  writeEstate(out, record.estate, family);
  return out.finish();
}

export function decodeEstateRecord(bytes: Uint8Array, family: Family): EstateRecord {
  const r = reader(bytes);
  const hasLineage = (r.u8() & 1) !== 0;
  const record = {
    session: r.varint(),
    ledger: r.u32(),
    life: r.u32(),
    lineage: hasLineage ? readLineage(r) : undefined,
    beat: r.varint(),
    noted: r.varint(),
    freeBits: Math.min(r.u8(), widthOf(family) + 1) - 1,
    estate: readEstate(r, family),
  };
  if ((record.life === 0) === hasLineage) throw new WireError('a life has a lineage, and no life has none');
  return record;
}

export function encodeWardRecord(record: WardRecord, family: Family): Uint8Array {
  const { estate } = record;
  const out = new ByteWriter(256).u8(VERSION).u8(STATUSES.indexOf(record.status));
  out.u8((record.isWanted ? 1 : 0) | (estate === undefined ? 0 : 2)).text(record.ward);
  out.varint(record.session).u32(record.life);
  writeLineage(out, record.lineage);
  writeGuardian(out, record.guardian);
  out.varint(record.beat).varint(record.rev);
  if (estate !== undefined) writeEstate(out, estate, family);
  return out.finish();
}

export function decodeWardRecord(bytes: Uint8Array, family: Family): WardRecord {
  const r = reader(bytes);
  const status = STATUSES[r.u8()];
  if (status === undefined) throw new WireError('unknown status of a ward');
  const flags = r.u8();
  return {
    status,
    isWanted: (flags & 1) !== 0,
    ward: r.text(OWNER_MAX_BYTES),
    session: r.varint(),
    life: r.u32(),
    lineage: readLineage(r),
    guardian: readGuardian(r),
    beat: r.varint(),
    rev: r.varint(),
    estate: (flags & 2) === 0 ? undefined : readEstate(r, family),
  };
}

function reader(bytes: Uint8Array): ByteReader {
  const r = new ByteReader(bytes);
  if (r.u8() !== VERSION) throw new WireError('a later version');
  return r;
}

function writeLineage(out: ByteWriter, { atMs, origin }: Lineage): void {
  out.varint(atMs).text(origin);
}

const readLineage = (r: ByteReader): Lineage => ({ atMs: r.varint(), origin: r.text(OWNER_MAX_BYTES) });

function writeGuardian(out: ByteWriter, { name, life, ledger }: Guardian): void {
  out.text(name).u32(life).u32(ledger);
}

function readGuardian(r: ByteReader): Guardian {
  return { name: r.text(OWNER_MAX_BYTES), life: r.u32(), ledger: r.u32() };
}

function writeEstate(out: ByteWriter, estate: Estate, family: Family): void {
  out
    .varint(estate.rev)
    .u8(estate.isRoot ? 1 : 0)
    .u8(estate.guardians.length);
  for (const guardian of estate.guardians) writeGuardian(out, guardian);
  writeBlocks(out, estate.own, family);
  out.u8(estate.gifts.length);
  for (const { id, block, to, life, session, isFirst } of estate.gifts) {
    writeBlock(out.u32(id), block, family);
    out
      .text(to)
      .u32(life)
      .varint(session)
      .u8(isFirst ? 1 : 0);
  }
  out.u8(estate.taken.length);
  for (const { id, donor, donorLife, donorRev } of estate.taken) {
    out.u32(id).text(donor).u32(donorLife).varint(donorRev);
  }
  out.u8(estate.closed.length);
  for (const life of estate.closed) out.u32(life);
  writeBlocks(out, estate.docker, family);
}

function readEstate(r: ByteReader, family: Family): Estate {
  return {
    rev: r.varint(),
    isRoot: (r.u8() & 1) !== 0,
    guardians: list(r.u8(), () => readGuardian(r)),
    own: readBlocks(r, family),
    gifts: list(r.u8(), () => readGift(r, family)),
    taken: list(r.u8(), () => readTaken(r)),
    closed: list(r.u8(), () => r.u32()),
    docker: readBlocks(r, family),
  };
}

/** Never longer than its bytes: every entry takes at least one, or reading ends it. */
function list<T>(count: number, entry: () => T): T[] {
  const entries: T[] = [];
  for (let i = 0; i < count; i++) entries.push(entry());
  return entries;
}

function readGift(r: ByteReader, family: Family): Gift {
  const id = r.u32();
  const block = readBlock(r, family);
  const [to, life, session] = [r.text(OWNER_MAX_BYTES), r.u32(), r.varint()];
  return { id, block, to, life, session, isFirst: (r.u8() & 1) !== 0 };
}

const readTaken = (r: ByteReader): Taken => ({
  id: r.u32(),
  donor: r.text(OWNER_MAX_BYTES),
  donorLife: r.u32(),
  donorRev: r.varint(),
});

function writeBlocks(out: ByteWriter, blocks: readonly Block[], family: Family): void {
  out.varint(blocks.length);
  for (const block of blocks) writeBlock(out, block, family);
}

function readBlocks(r: ByteReader, family: Family): Block[] {
  return merge(list(r.varint(BLOCKS_MAX), () => readBlock(r, family)));
}

function writeBlock(out: ByteWriter, { base, bits }: Block, family: Family): void {
  const width = widthOf(family);
  const length = width - bits;
  out.u8(length);
  for (let i = 0; i * 8 < length; i++) out.u8(Number((base >> BigInt(width - 8 - i * 8)) & 0xffn));
}

function readBlock(r: ByteReader, family: Family): Block {
  const width = widthOf(family);
  const length = r.u8();
  if (length > width) throw new WireError('prefix longer than its address');
  const bits = width - length;
  let base = 0n;
  for (let i = 0; i * 8 < length; i++) base |= BigInt(r.u8()) << BigInt(width - 8 - i * 8);
  if (base % (1n << BigInt(bits)) !== 0n) throw new WireError('host bits in a prefix');
  return { base, bits };
}
