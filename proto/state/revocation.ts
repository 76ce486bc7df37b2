/**
 * One word about the key of a host: void, void with its name free for another key, or good again. It is signed by the host
 * where it was said, and so can be passed on by any other.
 *
 *   u8 version 1 · u8 action (1 revoke, 2 restore, 3 forget) · 32 bytes key · name · stamp u64 ·
 *   32 bytes signer's key · signer's name · u8 0|4|16 · IP · port u16 · 64-byte signature
 *
 * Signed is "overlayd revocation 1" 0 and all before the signature. The stamp is in ms since 1970, and higher than any before about this key:
 * of two words on one key the later counts. The address is where gossip of the host came from, if that was known.
 *
 * A key means both keys that have its X25519 form: an Ed25519 point and its negative differ in the sign bit alone, and who has
 * the secret of one has that of the other. `canonicalHex` leaves the bit out. Encodings that are not canonical are refused
 * with their signatures (agent/crypto/ed25519.ts), so there is no other way to write a key.
 */
import type { Address } from '../env.ts';
import { bytesToIp, ipToBytes } from '../memberlist/address.ts';
import { ByteReader, ByteWriter, WireError, encodeText, fromHex, toHex } from './bytes.ts';
import type { Signer, Verifier } from './signing.ts';
import { KEY_BYTES, SIGNATURE_BYTES } from './signing.ts';

/** `revoke`: void; `forget`: void, and the name takes the next key that is seen; `restore`: as if nothing had been said. */
export type RevocationAction = 'revoke' | 'restore' | 'forget';

export interface RevocationContent {
  readonly action: RevocationAction;
  /** Lower-case hex, as the host had it. */
  readonly keyHex: string;
  /** What the host was known as. */
  readonly name: string;
  readonly stamp: number;
  readonly addr?: Address | undefined;
}

export interface Revocation extends RevocationContent {
  readonly byName: string;
  readonly byKeyHex: string;
  /** As it was signed. */
  readonly bytes: Uint8Array;
}

const VERSION = 1;
const ACTIONS: readonly RevocationAction[] = ['revoke', 'restore', 'forget'];
const NAME_MAX_BYTES = 255;
const DOMAIN = encodeText('overlayd revocation 1\0');

/** The same for a key and its negative; lower-case hex. */
export function canonicalHex(keyHex: string): string {
  const last = Number.parseInt(keyHex.slice(-2), 16) & 0x7f;
  return keyHex.slice(0, -2) + last.toString(16).padStart(2, '0');
}

/** Key of the record that carries it. */
export const revocationKey = (keyHex: string): Uint8Array => fromHex(canonicalHex(keyHex));

export function signRevocation(content: RevocationContent, byName: string, signer: Signer): Revocation {
  const { action, keyHex, name, stamp, addr } = content;
  const out = new ByteWriter(256).u8(VERSION).u8(ACTIONS.indexOf(action) + 1);
  out.raw(fromHex(keyHex)).text(name).u64(BigInt(stamp)).raw(signer.publicKey).text(byName);
  const ip = addr === undefined ? new Uint8Array(0) : ipToBytes(addr.ip)!;
  out.u8(ip.length).raw(ip);
  const port = addr?.port ?? 0;
  const body = out
    .u8(port >> 8)
    .u8(port & 0xff)
    .finish();
  const bytes = new ByteWriter(body.length + SIGNATURE_BYTES);
  bytes.raw(body).raw(signer.sign(statementOf(body)));
  return { ...content, byName, byKeyHex: toHex(signer.publicKey), bytes: bytes.finish() };
}

/** Copies out of the packet. Throws WireError, for a signature that is not right too. */
export function openRevocation(bytes: Uint8Array, verifier: Verifier): Revocation {
  const r = new ByteReader(bytes);
  if (r.u8() !== VERSION) throw new WireError('revocation of another version');
  const action = ACTIONS[r.u8() - 1];
  if (action === undefined) throw new WireError('revocation action');
  const keyHex = toHex(r.take(KEY_BYTES));
  const name = r.text(NAME_MAX_BYTES);
  const stamp = Number(r.u64());
  if (name === '' || !Number.isSafeInteger(stamp)) throw new WireError('revocation name or stamp');
  const key = r.take(KEY_BYTES);
  const byName = r.text(NAME_MAX_BYTES);
  const addr = readAddress(r);
  const body = bytes.subarray(0, bytes.length - r.left);
  const signature = r.take(SIGNATURE_BYTES);
  if (r.left > 0) throw new WireError('bytes behind a revocation');
  if (!verifier.verify(key, statementOf(body), signature)) throw new WireError('revocation signature');
  return { action, keyHex, name, stamp, addr, byName, byKeyHex: toHex(key), bytes: bytes.slice() };
}

/** Whether it is the later of two about one key; equal stamps are settled the same way everywhere, the stricter first. */
export function isLater(one: Revocation, other: Revocation): boolean {
  if (one.stamp !== other.stamp) return one.stamp > other.stamp;
  if (one.action !== other.action) return RANK[one.action] > RANK[other.action];
  return one.byKeyHex > other.byKeyHex;
}

const RANK: Readonly<Record<RevocationAction, number>> = { restore: 0, forget: 1, revoke: 2 };

function readAddress(r: ByteReader): Address | undefined {
  const length = r.u8();
  const ip = bytesToIp(r.take(length));
  const port = r.u8() * 256 + r.u8();
  if (ip === undefined && length > 0) throw new WireError('revocation address');
  return ip === undefined || port === 0 ? undefined : { ip, port };
}

const statementOf = (body: Uint8Array): Uint8Array =>
  new ByteWriter(DOMAIN.length + body.length).raw(DOMAIN).raw(body).finish();
