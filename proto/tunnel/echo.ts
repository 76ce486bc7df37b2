import type { Address, Rng } from '../env.ts';
import { Counters } from '../state/counters.ts';
import { TokenBucket } from '../state/token-bucket.ts';
import { isSameAddress } from '../swim/peer.ts';
import { concat, label, random } from './crypto.ts';
import type { TunnelCrypto } from './crypto.ts';
import { readU64, viewOf, writeU64 } from './messages.ts';
import { macOf } from './psk.ts';
import type { TunnelPsk } from './psk.ts';

/**
 * Does a datagram get from here to a peer's data port, and one of its to ours? Gossip has other ports, so a cluster can
 * look healthy while a firewall eats all its traffic (checklist 3.6); this finds out, for clear networks too, and says where.
 *
 *   16 echo request, 17 echo answer (48 bytes each)
 *     type 1 · flags 1 · 0 ×2 · psk id 4 · nonce 16 · wall clock of the answering host, ms since 1970, 8 · mac 16
 *
 * The mac is over all before it, with a key of the psk; hosts without a cluster key use zeros for both. Flag 1: answer to
 * where the request came from, and not to our data port: a stateful firewall lets that one through, which tells a port
 * that is shut here from one that is shut there. An answer is as long as its request. Requests are answered up to a rate.
 */
export const ECHO_TYPE = { request: 16, answer: 17 } as const;
export const ECHO_BYTES = 48;

const FLAG_ASIDE = 1;
const NONCE_BYTES = 16;
const PSK_ID_AT = 4;
const NONCE_AT = 8;
const WALL_AT = 24;
const MAC_AT = 32;
const KEY_LABEL = label('overlayd echo v1');
const NO_KEY = new Uint8Array(32);

const FIRST_WITHIN_MS = 500;
/** Loaded machines are slow, not shut. */
const PATIENCE_MS = 1_500;
/** In small clusters a port that is shut is found within ten seconds; in large ones probing must not become a load. */
const PERIOD_MS = 4_000;
const PERIOD_PER_PEER_MS = 50;
/** Lost in a row until it is no accident. */
const FAILURES_MAX = 3;
const ANSWERS_PER_SECOND = 500;
const TRANSMITS_MAX = 4_096;

export interface EchoPeer {
  readonly addr: Address;
  /** It holds a cluster key, so that what it is sent is to have a mac. */
  readonly keyed: boolean;
}

/**
 * open: datagrams pass both ways. silent: nothing comes back. shut-here: answers come, but none to our data port.
 * unknown: not enough tried yet.
 */
export type EchoState = 'unknown' | 'open' | 'silent' | 'shut-here';

export interface EchoStatus {
  readonly peer: string;
  readonly addr: Address;
  readonly state: EchoState;
  readonly rttMs: number | undefined;
  /** How far its clock is ahead of ours, good to half a round trip. */
  readonly clockAheadMs: number | undefined;
  /** Since its last request reached us: it can send here. */
  readonly heardMs: number | undefined;
}

export interface EchoChange {
  readonly peer: string;
  readonly addr: Address;
  readonly state: EchoState;
  readonly before: EchoState;
}

interface Watched {
  readonly name: string;
  peer: EchoPeer;
  state: EchoState;
  nextMs: number;
  failures: number;
  /** Of the last two requests, by kind: an answer may be late. */
  sent: { readonly nonce: string; readonly ms: number; readonly aside: boolean }[];
  asideMs: number;
  rttMs: number | undefined;
  clockAheadMs: number | undefined;
  heardAtMs: number | undefined;
}

export interface EchoOptions {
  readonly crypto: Pick<TunnelCrypto, 'hmac' | 'equal'>;
  readonly rng: Rng;
  /** Milliseconds since 1970. */
  readonly wall: () => number;
}

interface EchoKey {
  readonly id: number;
  readonly mac: Uint8Array;
}

export class DataPathEcho {
  readonly #options: EchoOptions;
  readonly #watched = new Map<string, Watched>();
  readonly #answers = new TokenBucket(ANSWERS_PER_SECOND, ANSWERS_PER_SECOND);
  readonly #transmits: { to: Address; bytes: Uint8Array }[] = [];
  readonly #changes: EchoChange[] = [];
  readonly #counters = new Counters();
  #keys: readonly EchoKey[] = [];
  #takesClear = true;

  constructor(options: EchoOptions) {
    this.#options = options;
  }

  /** The cluster keys that are held, the preferred first; whether hosts without one are spoken to. */
  setKeys(psks: readonly TunnelPsk[], takesClear: boolean): void {
    const { crypto } = this.#options;
    this.#keys = psks.map(({ id, key }) => ({ id, mac: crypto.hmac(key.reveal(), KEY_LABEL) }));
    this.#takesClear = takesClear;
  }

  /** Whom to watch, by name. */
  setPeers(now: number, wanted: ReadonlyMap<string, EchoPeer>): void {
    for (const name of this.#watched.keys()) if (!wanted.has(name)) this.#watched.delete(name);
    for (const [name, peer] of wanted) {
      const known = this.#watched.get(name);
      if (known !== undefined && isSameAddress(known.peer.addr, peer.addr)) known.peer = peer;
      else this.#watched.set(name, this.#newcomer(now, name, peer));
    }
  }

  /** What came on the data port, or with `aside` on the socket that requests go out from. */
  handleDatagram(now: number, bytes: Uint8Array, from: Address, aside: boolean): void {
    const type = bytes[0];
    if (bytes.length !== ECHO_BYTES || (type !== ECHO_TYPE.request && type !== ECHO_TYPE.answer)) {
      this.#counters.add('drop:malformed');
      return;
    }
    if (from.port === 0) {
      this.#counters.add('drop:source-port');
      return;
    }
    const key = this.#keyOf(viewOf(bytes).getUint32(PSK_ID_AT));
    if (key === undefined || !this.#isMac(key, bytes)) {
      this.#counters.add('drop:mac');
      return;
    }
    if (type === ECHO_TYPE.answer) this.#handleAnswer(now, bytes, aside);
    else if (!aside) this.#handleRequest(now, bytes, from, key);
  }

  handleDeadline(now: number): void {
    for (const watched of this.#watched.values()) if (watched.nextMs <= now) this.#turn(now, watched);
  }

  /** Infinity when nobody is watched. */
  nextDeadline(): number {
    let next = Infinity;
    for (const { nextMs } of this.#watched.values()) if (nextMs < next) next = nextMs;
    return next;
  }

  pollTransmit(): { readonly to: Address; readonly bytes: Uint8Array } | undefined {
    return this.#transmits.shift();
  }

  /** Peers whose port was found shut or open since the last call. */
  pollChange(): EchoChange | undefined {
    return this.#changes.shift();
  }

  status(now: number): EchoStatus[] {
    return Array.from(this.#watched.values(), ({ name, peer, state, rttMs, clockAheadMs, heardAtMs }) => {
      const heardMs = heardAtMs === undefined ? undefined : now - heardAtMs;
      return { peer: name, addr: peer.addr, state, rttMs, clockAheadMs, heardMs };
    });
  }

  /** `in:request`, `in:answer`, `out:request`, `out:answer`, `drop:` malformed, source-port, mac, rate, unasked, transmit-queue. */
  counters(): ReadonlyMap<string, number> {
    return this.#counters.all;
  }

  #newcomer(now: number, name: string, peer: EchoPeer): Watched {
    return {
      name,
      peer,
      state: 'unknown',
      nextMs: now + this.#options.rng.float() * FIRST_WITHIN_MS,
      failures: 0,
      sent: [],
      asideMs: -Infinity,
      rttMs: undefined,
      clockAheadMs: undefined,
      heardAtMs: undefined,
    };
  }

  /** A request was not answered in time, or it is time for the next one. */
  #turn(now: number, watched: Watched): void {
    if (watched.sent.length > 0) {
      watched.failures += 1;
      if (watched.failures >= FAILURES_MAX) {
        const asideLately = now - watched.asideMs < PATIENCE_MS + 1.5 * this.#periodMs();
        this.#become(watched, asideLately ? 'shut-here' : 'silent');
      }
    }
    const isSettled = watched.failures >= FAILURES_MAX;
    this.#request(now, watched, false);
    if (watched.failures > 0) this.#request(now, watched, true);
    watched.nextMs = now + (isSettled ? this.#periodMs() : PATIENCE_MS);
  }

  #request(now: number, watched: Watched, aside: boolean): void {
    const { rng } = this.#options;
    // Keys are tried in turn: in a rotation not every host holds all of them.
    const key = watched.peer.keyed
      ? this.#keys[watched.failures % Math.max(1, this.#keys.length)]
      : undefined;
    const nonce = random(rng, NONCE_BYTES);
    watched.sent = [...watched.sent, { nonce: nameOf(nonce), ms: now, aside }].slice(-4);
    this.#send(watched.peer.addr, ECHO_TYPE.request, aside ? FLAG_ASIDE : 0, nonce, 0, key ?? CLEAR_KEY);
  }

  #handleRequest(now: number, bytes: Uint8Array, from: Address, key: EchoKey): void {
    this.#counters.add('in:request');
    if (!this.#answers.take(now, 1)) {
      this.#counters.add('drop:rate');
      return;
    }
    const asker = this.#askerAt(from.ip);
    if (asker !== undefined) asker.heardAtMs = now;
    const isAside = ((bytes[1] as number) & FLAG_ASIDE) !== 0;
    const to = isAside ? from : asker?.peer.addr;
    if (to === undefined) return;
    const nonce = bytes.subarray(NONCE_AT, WALL_AT);
    this.#send(to, ECHO_TYPE.answer, bytes[1] as number, nonce, this.#options.wall(), key);
  }

  #handleAnswer(now: number, bytes: Uint8Array, aside: boolean): void {
    const nonce = nameOf(bytes.subarray(NONCE_AT, WALL_AT));
    for (const watched of this.#watched.values()) {
      const request = watched.sent.find((sent) => sent.nonce === nonce && sent.aside === aside);
      if (request === undefined) continue;
      this.#counters.add('in:answer');
      const rttMs = now - request.ms;
      watched.rttMs = rttMs;
      watched.clockAheadMs = readU64(bytes, WALL_AT) - (this.#options.wall() - rttMs / 2);
      if (aside) {
        watched.asideMs = now;
        return;
      }
      watched.sent = [];
      watched.failures = 0;
      watched.nextMs = now + this.#periodMs();
      this.#become(watched, 'open');
      return;
    }
    this.#counters.add('drop:unasked');
  }

  #become(watched: Watched, state: EchoState): void {
    if (watched.state === state) return;
    this.#changes.push({ peer: watched.name, addr: watched.peer.addr, state, before: watched.state });
    watched.state = state;
  }

  /** Several names may stand at one address for a while; either has the same port then. */
  #askerAt(ip: string): Watched | undefined {
    for (const watched of this.#watched.values()) if (watched.peer.addr.ip === ip) return watched;
    return undefined;
  }

  #periodMs(): number {
    const { rng } = this.#options;
    return Math.max(PERIOD_MS, this.#watched.size * PERIOD_PER_PEER_MS) * (0.9 + 0.1 * rng.float());
  }

  #keyOf(id: number): EchoKey | undefined {
    return this.#keys.find((key) => key.id === id) ?? (id === 0 && this.#takesClear ? CLEAR_KEY : undefined);
  }

  #isMac(key: EchoKey, bytes: Uint8Array): boolean {
    const { crypto } = this.#options;
    return crypto.equal(this.#mac(key, bytes.subarray(0, MAC_AT)), bytes.subarray(MAC_AT));
  }

  #mac(key: EchoKey, covered: Uint8Array): Uint8Array {
    return macOf(this.#options.crypto, key.mac, covered);
  }

  #send(to: Address, type: number, flags: number, nonce: Uint8Array, wallMs: number, key: EchoKey): void {
    if (this.#transmits.length >= TRANSMITS_MAX) {
      this.#counters.add('drop:transmit-queue');
      return;
    }
    const head = new Uint8Array(MAC_AT);
    head[0] = type;
    head[1] = flags & FLAG_ASIDE;
    viewOf(head).setUint32(PSK_ID_AT, key.id);
    head.set(nonce, NONCE_AT);
    writeU64(head, WALL_AT, wallMs);
    this.#counters.add(type === ECHO_TYPE.request ? 'out:request' : 'out:answer');
    this.#transmits.push({ to, bytes: concat(head, this.#mac(key, head)) });
  }
}

const CLEAR_KEY: EchoKey = { id: 0, mac: NO_KEY };

/** Whether a datagram of the data port is one of these; the rest of its kind is the tunnels'. */
export const isEcho = (bytes: Uint8Array): boolean =>
  bytes[0] === ECHO_TYPE.request || bytes[0] === ECHO_TYPE.answer;

const nameOf = (nonce: Uint8Array): string => nonce.join(' ');
