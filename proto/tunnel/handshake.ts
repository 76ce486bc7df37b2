import type { Address } from '../env.ts';
import type { VersionRange } from '../versions.ts';
import type { TunnelContext } from './context.ts';
import { KEY_BYTES, concat, random } from './crypto.ts';
import type { KeyPair, TunnelCrypto } from './crypto.ts';
import {
  MAC_BYTES,
  initiationHeader,
  initiationPayload,
  prologueOf,
  readInitiation,
  responseBody,
  responsePayload,
  timestampOf,
  versionsOf,
} from './messages.ts';
import { Handshake, IK_PSK2 } from './noise.ts';
import type { PeerTunnel } from './peer-tunnel.ts';
import { macKeysOf, macOf } from './psk.ts';
import type { MacKeys, TunnelPsk } from './psk.ts';

/** Both ends of the handshake: what is written, and what is made of what comes. */
export interface PendingHandshake {
  readonly localIndex: number;
  readonly pskId: number;
  readonly handshake: Handshake;
  /** Of messages to the peer, and of messages to us. */
  readonly macKeys: MacKeys;
  readonly ownMacKeys: MacKeys;
  readonly mac1: Uint8Array;
  readonly message: Uint8Array;
  readonly sentMs: number;
  hasCookie: boolean;
}

/** An initiation to the peer, ready to go. `full`: no index is free; `unusable`: the peer's static key is worthless. */
export function startHandshake(
  context: TunnelContext,
  peer: PeerTunnel,
  psk: TunnelPsk,
  now: number,
  cookie: Uint8Array | undefined,
): PendingHandshake | 'full' | 'unusable' {
  const { crypto, staticKeys, indexes } = context;
  const shared = peer.staticShared();
  if (shared === undefined) return 'unusable';
  const localIndex = indexes.allocate(peer);
  if (localIndex === undefined) return 'full';
  const header = initiationHeader(localIndex, psk.id);
  const handshake = new Handshake({
    crypto,
    pattern: IK_PSK2,
    role: 'initiator',
    prologue: prologueOf(header),
    staticKeys,
    remoteStatic: peer.staticKey,
    psk: psk.key.reveal(),
    admit: () => shared,
  });
  const noise = handshake.write(
    initiationPayload(context.nextTimestamp(now), context.versions),
    freshKeys(context),
  );
  if (noise === undefined) {
    indexes.free(localIndex);
    return 'unusable';
  }
  const macKeys = macKeysOf(crypto, psk, peer.staticKey);
  const body = concat(header, noise);
  const mac1 = macOf(crypto, macKeys.mac1.reveal(), body);
  const covered = concat(body, mac1);
  const mac2 = cookie === undefined ? new Uint8Array(MAC_BYTES) : macOf(crypto, cookie, covered);
  return {
    localIndex,
    pskId: psk.id,
    handshake,
    macKeys,
    ownMacKeys: macKeysOf(crypto, psk, staticKeys.publicKey),
    mac1,
    message: concat(covered, mac2),
    sentMs: now,
    hasCookie: false,
  };
}

/** Wipes what was kept for the answer. */
export function forgetHandshake({ handshake, macKeys, ownMacKeys }: PendingHandshake): void {
  handshake.destroy();
  for (const { mac1, cookie } of [macKeys, ownMacKeys]) {
    mac1.destroy();
    cookie.destroy();
  }
}

/** An initiation whose sender is proven to be a peer of ours, and fresh. */
export interface Admitted {
  readonly peer: PeerTunnel;
  readonly handshake: Handshake;
  readonly remoteIndex: number;
  /** What its sender speaks. */
  readonly versions: VersionRange;
}

/** Opens an initiation: the peer that it is from, or why nothing is answered. */
export function admitInitiation(
  context: TunnelContext,
  psk: TunnelPsk,
  now: number,
  bytes: Uint8Array,
  from: Address,
  peerOf: (staticKey: Uint8Array) => PeerTunnel | undefined,
): Admitted | { readonly refused: string; readonly peer?: PeerTunnel } {
  const { crypto, staticKeys } = context;
  const { prologue, noise, senderIndex } = readInitiation(bytes);
  let peer: PeerTunnel | undefined;
  const handshake = new Handshake({
    crypto,
    pattern: IK_PSK2,
    role: 'responder',
    prologue,
    staticKeys,
    psk: psk.key.reveal(),
    admit: (remoteStatic) => {
      peer = peerOf(remoteStatic);
      return peer?.staticShared() ?? false;
    },
  });
  const payload = handshake.read(noise);
  if (payload === undefined || peer === undefined) {
    const isUnknown = handshake.remoteStatic !== undefined && peer === undefined;
    return { refused: isUnknown ? 'unknown-identity' : 'initiation' };
  }
  const refused = from.ip === peer.addr.ip ? refusalOf(peer, now, payload) : 'wrong-address';
  if (refused === undefined)
    return { peer, handshake, remoteIndex: senderIndex, versions: versionsOf(payload) };
  handshake.destroy();
  return { refused, peer };
}

function refusalOf(peer: PeerTunnel, now: number, payload: Uint8Array): string | undefined {
  const timestamp = timestampOf(payload);
  if (!Number.isSafeInteger(timestamp)) return 'initiation';
  const verdict = peer.admitInitiation(now, timestamp);
  return verdict === 'answer' ? undefined : verdict;
}

/** The response to an admitted initiation; undefined when the initiator's ephemeral key is worthless. */
export function answerOf(
  context: TunnelContext,
  { peer, handshake, remoteIndex }: Admitted,
  psk: TunnelPsk,
  localIndex: number,
  version: number | undefined,
): Uint8Array | undefined {
  const payload = responsePayload(localIndex, version, context.versions);
  const noise = handshake.write(payload, freshKeys(context));
  if (noise === undefined) return undefined;
  const body = responseBody(remoteIndex, noise);
  const { mac1 } = macKeysOf(context.crypto, psk, peer.staticKey);
  return concat(body, macOf(context.crypto, mac1.reveal(), body));
}

function freshKeys({ rng, crypto }: TunnelContext): KeyPair {
  const secretKey = random(rng, KEY_BYTES);
  return { secretKey, publicKey: crypto.x25519PublicKey(secretKey) };
}

/** The same primitives; `count` hears of every X25519 operation. */
export function countingDh(crypto: TunnelCrypto, count: () => void): TunnelCrypto {
  return {
    ...crypto,
    x25519: (secretKey, publicKey) => {
      count();
      return crypto.x25519(secretKey, publicKey);
    },
    x25519PublicKey: (secretKey) => {
      count();
      return crypto.x25519PublicKey(secretKey);
    },
  };
}
