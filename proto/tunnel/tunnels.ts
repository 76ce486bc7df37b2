import type { Address } from '../env.ts';
import { Counters } from '../state/counters.ts';
import { TokenBucket } from '../state/token-bucket.ts';
import { TimerHeap } from '../swim/timer-heap.ts';
import type { TunnelContext } from './context.ts';
import { CookieMaker } from './cookie.ts';
import { KEY_BYTES } from './crypto.ts';
import { FloodGate } from './flood-gate.ts';
import { admitInitiation, answerOf, countingDh } from './handshake.ts';
import { IndexTable } from './index-table.ts';
import type { SessionEvent, TunnelPeer, TunnelProblem, TunnelStatus, TunnelTransmit } from './interface.ts';
import { SILENT_VERSION, indexOf, mac1Of, pskIdOf, typeOf } from './messages.ts';
import { DEFAULT_TIMING } from './options.ts';
import type { TunnelTiming, TunnelsOptions } from './options.ts';
import { PeerTunnel } from './peer-tunnel.ts';
import { macKeysOf, macOf } from './psk.ts';
import type { MacKeys, TunnelPsk } from './psk.ts';
import type { ProbeText } from './probes.ts';
import { TUNNEL_VERSIONS, commonVersion } from '../versions.ts';
import { SessionEvents } from './session-events.ts';

/**
 * The sealed sessions of one host with its peers, as a pure object: handle, command, then poll sessions and transmits until
 * undefined (sessions first: who is answered may send at once), then sleep until `nextDeadline`.
 *
 * Everything but data messages comes here (`handleDatagram`); those are the data path's, which tells of them by `noteReceived`
 * and `noteSent`. Bad input is a counter `drop:<reason>`. An initiation is worked on in order of cost: is its source a
 * peer's address, do we hold its psk, is its mac1 right, is there room (FloodGate), whose is it, is it fresh.
 */
const TRANSMITS_MAX = 4096;
const INITIATIONS_PER_SECOND = 100;

interface OwnPsk {
  readonly psk: TunnelPsk;
  /** Of messages to us. */
  readonly macKeys: MacKeys;
}

export class Tunnels {
  readonly #context: TunnelContext;
  readonly #counters = new Counters();
  readonly #timers = new TimerHeap();
  readonly #gate: FloodGate;
  readonly #cookies: CookieMaker;
  readonly #peers = new Map<string, PeerTunnel>();
  readonly #byStatic = new Map<string, PeerTunnel>();
  readonly #byIp = new Map<string, Set<PeerTunnel>>();
  readonly #events = new SessionEvents();
  readonly #transmits: TunnelTransmit[] = [];
  /** Shared with all that goes by it. */
  readonly #timing: { -readonly [K in keyof TunnelTiming]: TunnelTiming[K] };
  #psks: readonly OwnPsk[] = [];
  #lastTimestamp = 0;

  constructor({
    crypto,
    rng,
    staticKeys,
    nowMs,
    wallMs,
    timing,
    versions = TUNNEL_VERSIONS,
  }: TunnelsOptions) {
    const counters = this.#counters;
    const own = countingDh(crypto, () => counters.add('dh'));
    this.#timing = { ...DEFAULT_TIMING, ...timing };
    this.#gate = new FloodGate(this.#timing);
    this.#cookies = new CookieMaker(own, rng);
    this.#context = {
      crypto: own,
      rng,
      staticKeys,
      versions,
      counters,
      timing: this.#timing,
      timers: this.#timers,
      indexes: new IndexTable(rng),
      initiations: new TokenBucket(INITIATIONS_PER_SECOND, INITIATIONS_PER_SECOND),
      psks: () => this.#psks.map(({ psk }) => psk),
      nextTimestamp: (now) => {
        const wanted = Math.floor((wallMs + now - nowMs) * 1_000);
        this.#lastTimestamp = Math.max(this.#lastTimestamp + 1, wanted);
        return this.#lastTimestamp;
      },
      emit: (event) => this.#events.push(event),
      transmit: (message) => this.#transmit(message),
    };
  }

  /** From now on; sessions that are older than that by then are replaced at once, a hundred a second. */
  setRekeyInterval(intervalMs: number): void {
    this.#timing.rekeyIntervalMs = intervalMs;
    for (const peer of this.#peers.values()) peer.handleRekeyInterval();
  }

  /** The psks of all cluster keys that are held, the one to prefer first. */
  setPsks(now: number, psks: readonly TunnelPsk[]): void {
    const { crypto, staticKeys } = this.#context;
    this.#psks = psks.map((psk) => ({ psk, macKeys: macKeysOf(crypto, psk, staticKeys.publicKey) }));
    for (const peer of this.#peers.values()) peer.handlePsks(now);
  }

  /**
   * A peer, or what is new about it; nothing new changes nothing. Another static key is another peer: its sessions end. So
   * do those of another name with this key, which is the host's name of before. False, and refused, for our own key.
   * Throws RangeError for a key that is not 32 bytes.
   */
  setPeer(now: number, name: string, wanted: TunnelPeer): boolean {
    if (wanted.staticKey.length !== KEY_BYTES) throw new RangeError('a static key has 32 bytes');
    const keyName = nameOf(wanted.staticKey);
    if (keyName === nameOf(this.#context.staticKeys.publicKey)) {
      this.#counters.add('peer:own-key');
      return false;
    }
    const holder = this.#byStatic.get(keyName);
    if (holder !== undefined && holder.name === name) {
      this.#move(now, holder, wanted.addr);
      return true;
    }
    if (holder !== undefined) this.removePeer(holder.name);
    this.removePeer(name);
    const peer = new PeerTunnel(this.#context, name, wanted);
    this.#peers.set(name, peer);
    this.#byStatic.set(keyName, peer);
    this.#enter(peer);
    peer.start(now);
    return true;
  }

  removePeer(name: string): void {
    const peer = this.#peers.get(name);
    if (peer === undefined) return;
    this.#peers.delete(name);
    this.#byStatic.delete(nameOf(peer.staticKey));
    this.#leave(peer);
    peer.destroy();
  }

  /** Anything on the tunnel's port that is neither VXLAN nor a data message. The bytes are not kept. */
  handleDatagram(now: number, bytes: Uint8Array, from: Address): void {
    const type = typeOf(bytes);
    if (type === undefined) {
      this.#drop('malformed');
      return;
    }
    // Nobody else has anything to say, and this is the cheapest question of all.
    if (!this.#byIp.has(from.ip)) {
      this.#drop('unknown-source');
      return;
    }
    // Nothing can be answered there.
    if (from.port === 0) {
      this.#drop('source-port');
      return;
    }
    this.#counters.add(`in:${type}`);
    if (type === 'initiation') this.#handleInitiation(now, bytes, from);
    else this.#handleIndexed(now, type, bytes);
  }

  /** The data path had datagrams on this session whose tag was right: at least the first one is to be told, once in a while more. */
  noteReceived(now: number, localIndex: number): void {
    const peer = this.#context.indexes.find(localIndex);
    const session = peer?.sessions.find(localIndex);
    if (session !== undefined) peer?.sessions.heard(now, session);
  }

  /** The data path will use this counter next. It must itself stop at `rejectAfterMessages`. */
  noteSent(now: number, localIndex: number, counter: number): void {
    const peer = this.#context.indexes.find(localIndex);
    const session = peer?.sessions.find(localIndex);
    if (session !== undefined) peer?.noteSent(now, session, counter);
  }

  /** The head of a path probe or answer, in the session that the peer is sent by; undefined while there is none. */
  sealProbe(name: string, probe: ProbeText): Uint8Array | undefined {
    return this.#peers.get(name)?.sessions.current?.sealProbe(this.#context.crypto, probe);
  }

  /** Whose probe or answer it is, and its token; undefined when it is of no session. */
  openProbe(bytes: Uint8Array): { readonly peer: string; readonly token: number } | undefined {
    const index = indexOf(bytes);
    const peer = this.#context.indexes.find(index);
    const token = peer?.sessions.find(index)?.openProbe(this.#context.crypto, bytes);
    return peer === undefined || token === undefined ? undefined : { peer: peer.name, token };
  }

  handleDeadline(now: number): void {
    this.#timers.runDue(now);
  }

  /** Infinity when there is nothing to wait for. */
  nextDeadline(): number {
    return this.#timers.nextMs();
  }

  pollSession(): SessionEvent | undefined {
    return this.#events.shift();
  }

  pollTransmit(): TunnelTransmit | undefined {
    return this.#transmits.shift();
  }

  /** Of all peers, in the order in which they came. */
  sessions(now: number): readonly TunnelStatus[] {
    return Array.from(this.#peers.values(), (peer) => peer.status(now));
  }

  /**
   * `in:` and `out:` by message, `drop:` by reason, `session:first`, `session:rekey`, `session:silent`, `session:too-old`,
   * `session:used-up`, `handshake:full`, `handshake:unusable`, `peer:own-key`; `dh`: X25519 operations.
   */
  counters(): ReadonlyMap<string, number> {
    return this.#counters.all;
  }

  #handleInitiation(now: number, bytes: Uint8Array, from: Address): void {
    const pskId = pskIdOf(bytes);
    const held = this.#psks.filter(({ psk }) => psk.id === pskId);
    if (held.length === 0) {
      this.#dropAt(from, 'unknown-psk', 'no common cluster key');
      return;
    }
    if (!this.#gate.mayCheckMac(now)) {
      this.#drop('busy');
      return;
    }
    const { covered, mac } = mac1Of(bytes);
    const own = held.find(({ macKeys }) => this.#isMac(macKeys.mac1.reveal(), covered, mac));
    if (own === undefined) {
      this.#drop('mac1');
      return;
    }
    const isProven = (): boolean => this.#cookies.isProven(now, bytes, from);
    const isAtHome = [...(this.#byIp.get(from.ip) ?? [])].some(({ addr }) => addr.port === from.port);
    const admission = this.#gate.admit(now, mac, from, isAtHome, isProven);
    if (admission === 'go') this.#answer(now, own.psk, bytes, from);
    else if (admission === 'cookie') {
      this.#counters.add('out:cookie');
      this.#transmit({ to: from, bytes: this.#cookies.reply(now, own.macKeys, bytes, from) });
    } else this.#drop(admission);
  }

  #answer(now: number, psk: TunnelPsk, bytes: Uint8Array, from: Address): void {
    const context = this.#context;
    const admitted = admitInitiation(context, psk, now, bytes, from, (staticKey) =>
      this.#byStatic.get(nameOf(staticKey)),
    );
    if ('refused' in admitted) {
      if (admitted.refused === 'unknown-identity') this.#dropAt(from, admitted.refused, 'identity unknown');
      else this.#drop(admitted.refused);
      if (admitted.refused === 'wrong-address' && admitted.peer !== undefined)
        admitted.peer.problem = 'wrong address';
      return;
    }
    const { peer, handshake, remoteIndex } = admitted;
    const version = commonVersion(context.versions, admitted.versions);
    if (version === undefined) {
      peer.problem = 'no common version';
      this.#drop('version');
      // It would take any answer for a session.
      if (admitted.versions.max === SILENT_VERSION) {
        handshake.destroy();
        return;
      }
    }
    const localIndex = context.indexes.allocate(peer);
    const response =
      localIndex === undefined ? undefined : answerOf(context, admitted, psk, localIndex, version);
    if (localIndex === undefined || response === undefined) {
      handshake.destroy();
      if (localIndex !== undefined) context.indexes.free(localIndex);
      this.#drop(localIndex === undefined ? 'no-index' : 'initiation');
      return;
    }
    if (version === undefined) {
      // The answer says no more than that.
      handshake.destroy();
      context.indexes.free(localIndex);
    } else peer.handleAnswered(now, handshake, localIndex, remoteIndex, psk.id, version);
    this.#counters.add('out:response');
    // To where the peer's records say it is, whatever port this came from.
    this.#transmit({ to: peer.addr, bytes: response });
  }

  /** Messages to an index of ours. */
  #handleIndexed(now: number, type: 'response' | 'cookie' | 'keepalive', bytes: Uint8Array): void {
    const index = indexOf(bytes);
    const peer = this.#context.indexes.find(index);
    if (peer === undefined) {
      this.#drop('unknown-index');
      return;
    }
    const refused = this.#handleOfPeer(now, peer, type, index, bytes);
    if (refused !== undefined) this.#drop(refused);
  }

  #handleOfPeer(
    now: number,
    peer: PeerTunnel,
    type: 'response' | 'cookie' | 'keepalive',
    index: number,
    bytes: Uint8Array,
  ): string | undefined {
    if (type === 'cookie') return peer.handleCookie(now, index, bytes);
    if (type === 'keepalive') {
      const session = peer.sessions.find(index);
      if (session === undefined) return 'unknown-index';
      return peer.sessions.handleKeepalive(now, session, bytes) ? undefined : 'keepalive';
    }
    const key = peer.responseMacKey(index);
    if (key === undefined) return 'unknown-index';
    const { covered, mac } = mac1Of(bytes);
    return this.#isMac(key, covered, mac) ? peer.handleResponse(now, index, bytes) : 'mac1';
  }

  #isMac(key: Uint8Array, covered: Uint8Array, mac: Uint8Array): boolean {
    return this.#context.crypto.equal(macOf(this.#context.crypto, key, covered), mac);
  }

  #move(now: number, peer: PeerTunnel, addr: Address): void {
    if (peer.addr.ip === addr.ip && peer.addr.port === addr.port) return;
    this.#leave(peer);
    peer.move(now, addr);
    this.#enter(peer);
  }

  #enter(peer: PeerTunnel): void {
    const there = this.#byIp.get(peer.addr.ip);
    if (there === undefined) this.#byIp.set(peer.addr.ip, new Set([peer]));
    else there.add(peer);
  }

  #leave(peer: PeerTunnel): void {
    const { ip } = peer.addr;
    const there = this.#byIp.get(ip);
    there?.delete(peer);
    if (there?.size !== 0) return;
    this.#byIp.delete(ip);
    this.#gate.forget(ip);
  }

  #transmit(message: TunnelTransmit): void {
    if (this.#transmits.length < TRANSMITS_MAX) this.#transmits.push(message);
    else this.#drop('transmit-queue');
  }

  #drop(reason: string): void {
    this.#counters.add(`drop:${reason}`);
  }

  /** The address tells whom it may concern: good enough for a hint to the operator. */
  #dropAt(from: Address, reason: string, problem: TunnelProblem): void {
    this.#drop(reason);
    for (const peer of this.#byIp.get(from.ip) ?? []) peer.problem = problem;
  }
}

const nameOf = (staticKey: Uint8Array): string => staticKey.join(' ');
