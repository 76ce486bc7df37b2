import type { VersionRange } from '../versions.ts';
import { concat, label } from './crypto.ts';

/**
 * What sealed hosts say to each other on VXLAN's UDP port, byte for byte. All numbers are big-endian; `0` are zero bytes.
 * The first byte tells the type; VXLAN's own first byte is 0x08 (RFC 7348 §5).
 *
 *   1 initiation (152 bytes)   type 1 · 0 ×3 · sender index 4 · psk id 4 · ephemeral 32 · sealed static 48
 *                              · sealed [timestamp 8 · versions 2 · 0 ×2] 28 · mac1 16 · mac2 16
 *   2 response (80)            type 1 · 0 ×3 · receiver index 4 · ephemeral 32
 *                              · sealed [sender index 4 · version, versions 3 · 0] 24 · mac1 16
 *   3 cookie reply (56)        type 1 · 0 ×3 · receiver index 4 · nonce 16 · sealed [cookie 16] 32
 *   4 data (32 + plaintext)    type 1 · 0 ×3 · receiver index 4 · counter 8 · sealed [VXLAN header 8 · frame] · tag 16
 *   5 keepalive (32)           type 1 · flags 1 · 0 ×2 · receiver index 4 · counter 8 · tag 16
 *
 * 1 and 2 are the messages of Noise_IKpsk2_25519_AESGCM_SHA256 with a header before and MACs behind. The prologue is
 * "overlayd tunnel v1" and the first 12 bytes of the initiation, so that its header counts too. An index is chosen by who
 * receives on it; the responder's travels sealed.
 *
 * versions: lowest and highest that the sender speaks (proto/versions.ts), zeros: 1; version: the one that is settled on, 255:
 * none is in common, and there is no session.
 *
 * timestamp: microseconds, only ever growing per initiator; the responder takes only what is greater than all before, per
 * static key, so that a recorded initiation is worth nothing. mac1: over all before it, with a key of the psk and the
 * receiver's static key; who is outside the cluster cannot make it. mac2: over all before it, with the cookie as the key;
 * zero without a cookie. Cookie: HMAC of the sender's address under a secret that changes every two minutes.
 *
 * 4 is sealed elsewhere (the data path): AES-256-GCM, the nonce four zero bytes and the counter, the AAD 13 bytes: the
 * first 8 of the datagram, "ov1", the length of the plaintext in 2. 5 is sealed the same way with no plaintext, under keys
 * of its own from the same handshake, so that counters of the data path are the data path's alone. Flag 1 of it: answer.
 *
 * 6 and 7 are path probes and their answers: probes.ts, proto/pmtu/messages.ts.
 *
 * Nothing is answered with more bytes than came: 152 by 80 or 56, 80 and 32 by 32. Types 16 and 17 are in echo.ts.
 */
export const TYPE = { initiation: 1, response: 2, cookie: 3, data: 4, keepalive: 5 } as const;

export const INITIATION_BYTES = 152;
export const RESPONSE_BYTES = 80;
export const COOKIE_REPLY_BYTES = 56;
export const KEEPALIVE_BYTES = 32;
export const MAC_BYTES = 16;

const HEADER_BYTES = 8;
const INITIATION_HEADER_BYTES = 12;
const INITIATION_MAC1_AT = INITIATION_BYTES - 2 * MAC_BYTES;
const INITIATION_MAC2_AT = INITIATION_BYTES - MAC_BYTES;
const RESPONSE_MAC1_AT = RESPONSE_BYTES - MAC_BYTES;
const COOKIE_NONCE_BYTES = 16;
const KEEPALIVE_HEADER_BYTES = 16;
const FLAG_ANSWER = 1;

/** It has no bytes for versions; zeros mean it. */
export const SILENT_VERSION = 1;
const NO_VERSION = 0xff;

const PROLOGUE = label('overlayd tunnel v1');
const AAD_LABEL = label('ov1');

/** By type and size; undefined for everything that is none of ours, or not whole. */
export function typeOf(bytes: Uint8Array): 'initiation' | 'response' | 'cookie' | 'keepalive' | undefined {
  if (bytes.length < KEEPALIVE_BYTES || bytes[2] !== 0 || bytes[3] !== 0) return undefined;
  if (bytes[0] === TYPE.keepalive)
    return bytes.length === KEEPALIVE_BYTES && (bytes[1] as number) <= FLAG_ANSWER ? 'keepalive' : undefined;
  if (bytes[1] !== 0) return undefined;
  if (bytes[0] === TYPE.initiation) return bytes.length === INITIATION_BYTES ? 'initiation' : undefined;
  if (bytes[0] === TYPE.response) return bytes.length === RESPONSE_BYTES ? 'response' : undefined;
  if (bytes[0] === TYPE.cookie) return bytes.length === COOKIE_REPLY_BYTES ? 'cookie' : undefined;
  return undefined;
}

export interface Initiation {
  readonly senderIndex: number;
  readonly pskId: number;
  readonly prologue: Uint8Array;
  readonly noise: Uint8Array;
}

/** The header of an initiation, which is part of its prologue. */
export function initiationHeader(senderIndex: number, pskId: number): Uint8Array {
  const header = new Uint8Array(INITIATION_HEADER_BYTES);
  header[0] = TYPE.initiation;
  const view = viewOf(header);
  view.setUint32(4, senderIndex);
  view.setUint32(8, pskId);
  return header;
}

export const prologueOf = (header: Uint8Array): Uint8Array => concat(PROLOGUE, header);

export function readInitiation(bytes: Uint8Array): Initiation {
  return {
    senderIndex: viewOf(bytes).getUint32(4),
    pskId: pskIdOf(bytes),
    prologue: prologueOf(bytes.subarray(0, INITIATION_HEADER_BYTES)),
    noise: bytes.subarray(INITIATION_HEADER_BYTES, INITIATION_MAC1_AT),
  };
}

export const pskIdOf = (initiation: Uint8Array): number => viewOf(initiation).getUint32(8);

/** What mac1 covers and says, of an initiation or a response. */
export function mac1Of(bytes: Uint8Array): { readonly covered: Uint8Array; readonly mac: Uint8Array } {
  const at = bytes.length === RESPONSE_BYTES ? RESPONSE_MAC1_AT : INITIATION_MAC1_AT;
  return { covered: bytes.subarray(0, at), mac: bytes.subarray(at, at + MAC_BYTES) };
}

export function mac2Of(initiation: Uint8Array): { readonly covered: Uint8Array; readonly mac: Uint8Array } {
  return {
    covered: initiation.subarray(0, INITIATION_MAC2_AT),
    mac: initiation.subarray(INITIATION_MAC2_AT),
  };
}

/** A response without its mac1. */
export function responseBody(receiverIndex: number, noise: Uint8Array): Uint8Array {
  return concat(headerOf(TYPE.response, receiverIndex), noise);
}

export const responseNoise = (bytes: Uint8Array): Uint8Array =>
  bytes.subarray(HEADER_BYTES, RESPONSE_MAC1_AT);

export function cookieReply(receiverIndex: number, nonce: Uint8Array, sealed: Uint8Array): Uint8Array {
  return concat(headerOf(TYPE.cookie, receiverIndex), nonce, sealed);
}

export function readCookieReply(bytes: Uint8Array): {
  readonly nonce: Uint8Array;
  readonly sealed: Uint8Array;
} {
  const at = HEADER_BYTES + COOKIE_NONCE_BYTES;
  return { nonce: bytes.subarray(HEADER_BYTES, at), sealed: bytes.subarray(at) };
}

/** Header of a keepalive: the first 8 bytes go into its AAD. */
export function keepaliveHeader(receiverIndex: number, counter: number, wantsAnswer: boolean): Uint8Array {
  const header = new Uint8Array(KEEPALIVE_HEADER_BYTES);
  header.set(headerOf(TYPE.keepalive, receiverIndex));
  header[1] = wantsAnswer ? FLAG_ANSWER : 0;
  writeU64(header, HEADER_BYTES, counter);
  return header;
}

export interface Keepalive {
  /** Not a safe integer when it says more than a session can reach. */
  readonly counter: number;
  readonly wantsAnswer: boolean;
  readonly aad: Uint8Array;
  readonly tag: Uint8Array;
}

export function readKeepalive(bytes: Uint8Array): Keepalive {
  return {
    counter: readU64(bytes, HEADER_BYTES),
    wantsAnswer: bytes[1] === FLAG_ANSWER,
    aad: sealedAad(bytes, 0),
    tag: bytes.subarray(KEEPALIVE_HEADER_BYTES),
  };
}

/** The AAD of a data or keepalive message, by its header and the length of its plaintext. */
export function sealedAad(datagram: Uint8Array, plainBytes: number): Uint8Array {
  return concat(
    datagram.subarray(0, HEADER_BYTES),
    AAD_LABEL,
    Uint8Array.of(plainBytes >>> 8, plainBytes & 0xff),
  );
}

/** Index 4 bytes in: the receiver's, but in an initiation. */
export const indexOf = (bytes: Uint8Array): number => viewOf(bytes).getUint32(4);

/** What an initiation says under its seal. Who speaks version 1 alone says nothing of versions. */
export function initiationPayload(timestamp: number, versions: VersionRange): Uint8Array {
  const payload = new Uint8Array(12);
  writeU64(payload, 0, timestamp);
  if (versions.max > SILENT_VERSION) payload.set([versions.min, versions.max], 8);
  return payload;
}

/** The range that an initiation offers. */
export const versionsOf = (payload: Uint8Array): VersionRange =>
  payload[9] === 0 ? { min: SILENT_VERSION, max: SILENT_VERSION } : { min: payload[8]!, max: payload[9]! };

export const timestampOf = (payload: Uint8Array): number => readU64(payload, 0);

/** What a response says under its seal; without a `version` in common there is no session, and it tells what is spoken here. */
export function responsePayload(
  senderIndex: number,
  version: number | undefined,
  versions: VersionRange,
): Uint8Array {
  const payload = new Uint8Array(8);
  viewOf(payload).setUint32(0, senderIndex);
  if (version !== SILENT_VERSION) payload.set([version ?? NO_VERSION, versions.min, versions.max], 4);
  return payload;
}

/** The version that a response settles on; undefined: none is in common. */
export function settledVersion(payload: Uint8Array): number | undefined {
  const chosen = payload[4]!;
  if (chosen === 0) return SILENT_VERSION;
  return chosen === NO_VERSION ? undefined : chosen;
}

export const senderIndexOf = (payload: Uint8Array): number => viewOf(payload).getUint32(0);

function headerOf(type: number, index: number): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES);
  header[0] = type;
  viewOf(header).setUint32(4, index);
  return header;
}

export function writeU64(bytes: Uint8Array, at: number, value: number): void {
  const view = viewOf(bytes);
  view.setUint32(at, Math.floor(value / 0x1_0000_0000));
  view.setUint32(at + 4, value >>> 0);
}

export function readU64(bytes: Uint8Array, at: number): number {
  const view = viewOf(bytes);
  return view.getUint32(at) * 0x1_0000_0000 + view.getUint32(at + 4);
}

export const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
