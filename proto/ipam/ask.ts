/**
 * Asking for addresses: two messages of the state layer's form (D7, u8 version 1, u8 kind; gossip.md 7.4), which versions
 * before these ignore. Like its other questions they are not signed: they may cause a gift, never a change of who owns what.
 *
 *   16 ASK     pool bytes · asker's session varint · life u32 · u8 flags (1 a certain address) · [u8 n, n bytes of address]
 *   17 REFUSE  pool bytes · asker's session varint · u8 reason
 */
import { ByteReader, ByteWriter, WireError } from '../state/bytes.ts';
import { STATE_MAGIC, STATE_VERSION } from '../state/messages.ts';
import type { Family } from './block.ts';
import { widthOf } from './block.ts';

const KIND_ASK = 16;
const KIND_REFUSE = 17;
const POOL_MAX_BYTES = 32;

/** Why a host gives nothing; the number is the place in this list. */
export const REFUSALS = [
  'unknown-pool',
  'not-ready',
  'nothing-free',
  'guardian-away',
  'record-full',
  'not-mine',
  'address-taken',
  'other-lineage',
  'copy-unsure',
  'asker-full',
] as const;
export type Refusal = (typeof REFUSALS)[number];

export interface Ask {
  readonly kind: 'ask';
  readonly pool: Uint8Array;
  readonly session: number;
  readonly life: number;
  readonly address: bigint | undefined;
}

export interface Refuse {
  readonly kind: 'refuse';
  readonly pool: Uint8Array;
  readonly session: number;
  readonly reason: Refusal;
}

export function isRangeMessage(bytes: Uint8Array): boolean {
  return (
    bytes[0] === STATE_MAGIC &&
    bytes[1] === STATE_VERSION &&
    (bytes[2] === KIND_ASK || bytes[2] === KIND_REFUSE)
  );
}

const begin = (kind: number, pool: Uint8Array, session: number): ByteWriter =>
  new ByteWriter(48).u8(STATE_MAGIC).u8(STATE_VERSION).u8(kind).bytes(pool).varint(session);

export function encodeAsk({ pool, session, life, address }: Ask, family: Family): Uint8Array {
  const out = begin(KIND_ASK, pool, session).u32(life);
  if (address === undefined) return out.u8(0).finish();
  const length = widthOf(family) / 8;
  out.u8(1).u8(length);
  for (let i = length - 1; i >= 0; i--) out.u8(Number((address >> BigInt(i * 8)) & 0xffn));
  return out.finish();
}

export const encodeRefuse = ({ pool, session, reason }: Refuse): Uint8Array =>
  begin(KIND_REFUSE, pool, session).u8(REFUSALS.indexOf(reason)).finish();

/** Of what isRangeMessage took for one. Throws WireError. */
export function decodeRangeMessage(bytes: Uint8Array): Ask | Refuse {
  const r = new ByteReader(bytes, 2);
  const kind = r.u8();
  const pool = r.bytes(POOL_MAX_BYTES).slice();
  const session = r.varint();
  if (kind === KIND_ASK) {
    const life = r.u32();
    return { kind: 'ask', pool, session, life, address: (r.u8() & 1) === 0 ? undefined : readAddress(r) };
  }
  const reason = REFUSALS[r.u8()];
  if (reason === undefined) throw new WireError('unknown reason');
  return { kind: 'refuse', pool, session, reason };
}

function readAddress(r: ByteReader): bigint {
  const length = r.u8();
  if (length !== 4 && length !== 16) throw new WireError('an address has 4 or 16 bytes');
  let address = 0n;
  for (const byte of r.take(length)) address = (address << 8n) | BigInt(byte);
  return address;
}
