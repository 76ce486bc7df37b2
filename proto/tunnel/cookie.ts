import type { Address, Rng } from '../env.ts';
import { KEY_BYTES, concat, label, nonceOf, random } from './crypto.ts';
import type { TunnelCrypto } from './crypto.ts';
import { MAC_BYTES, cookieReply, indexOf, mac1Of, mac2Of, readCookieReply } from './messages.ts';
import { macOf } from './psk.ts';
import type { MacKeys } from './psk.ts';

/**
 * Cookies, by the idea of WireGuard (Donenfeld 2017, §5.4.7): a busy responder has a sender prove its address before it
 * computes for it. It keeps no state for that: a cookie is an HMAC of the address under a secret that soon changes.
 */
const SECRET_LIFE_MS = 120_000;
/** Shorter than the secret's life by more than a message is under way. */
export const COOKIE_LIFE_MS = 115_000;
const NONCE_BYTES = 16;

export class CookieMaker {
  readonly #crypto: TunnelCrypto;
  readonly #rng: Rng;
  readonly #secret = new Uint8Array(KEY_BYTES);
  #bornMs = -Infinity;

  constructor(crypto: TunnelCrypto, rng: Rng) {
    this.#crypto = crypto;
    this.#rng = rng;
  }

  /** Whether the sender has shown that it gets what is sent to its address. */
  isProven(now: number, initiation: Uint8Array, from: Address): boolean {
    const { covered, mac } = mac2Of(initiation);
    if (mac.every((byte) => byte === 0)) return false;
    return this.#crypto.equal(mac, macOf(this.#crypto, this.#cookieOf(now, from), covered));
  }

  reply(now: number, keys: MacKeys, initiation: Uint8Array, from: Address): Uint8Array {
    const nonce = random(this.#rng, NONCE_BYTES);
    const { mac } = mac1Of(initiation);
    const key = sealKey(this.#crypto, keys, nonce);
    const sealed = this.#crypto.seal(key, nonceOf(0), mac, this.#cookieOf(now, from));
    return cookieReply(indexOf(initiation), nonce, sealed);
  }

  #cookieOf(now: number, { ip, port }: Address): Uint8Array {
    if (now - this.#bornMs >= SECRET_LIFE_MS) {
      this.#rng.fill(this.#secret);
      this.#bornMs = now;
    }
    return macOf(this.#crypto, this.#secret, label(`${ip} ${port}`));
  }
}

/** The cookie in a reply to the initiation that had this mac1; undefined when it is not one. */
export function openCookieReply(
  crypto: TunnelCrypto,
  keys: MacKeys,
  reply: Uint8Array,
  mac1: Uint8Array,
): Uint8Array | undefined {
  const { nonce, sealed } = readCookieReply(reply);
  const cookie = crypto.open(sealKey(crypto, keys, nonce), nonceOf(0), mac1, sealed);
  return cookie?.length === MAC_BYTES ? cookie : undefined;
}

/** A key for one reply: random nonces of AES-GCM's own size would run out in a long flood. */
const sealKey = (crypto: TunnelCrypto, keys: MacKeys, nonce: Uint8Array): Uint8Array =>
  crypto.hmac(keys.cookie.reveal(), concat(label('reply'), nonce));
