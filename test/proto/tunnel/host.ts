import { tunnelCrypto } from '../../../agent/crypto/tunnel-crypto.ts';
import type { Address } from '../../../proto/env.ts';
import { nonceOf } from '../../../proto/tunnel/crypto.ts';
import type { KeyPair, TunnelCrypto } from '../../../proto/tunnel/crypto.ts';
import type { SessionEvent, TunnelStatus, TunnelTransmit } from '../../../proto/tunnel/interface.ts';
import { TYPE, indexOf, sealedAad } from '../../../proto/tunnel/messages.ts';
import type { TunnelTiming } from '../../../proto/tunnel/options.ts';
import { tunnelPsk } from '../../../proto/tunnel/psk.ts';
import type { TunnelPsk } from '../../../proto/tunnel/psk.ts';
import { ReplayWindow } from '../../../proto/tunnel/replay-window.ts';
import { Tunnels } from '../../../proto/tunnel/tunnels.ts';
import { SeededRng } from '../../../proto/rng.ts';

/** A host with tunnels and a data path as simple as it can be: real AES-GCM, the reference window, one datagram at a time. */
export interface HostOptions {
  readonly name: string;
  readonly addr: Address;
  readonly seed: number;
  readonly nowMs?: number;
  /** Its wall clock at nowMs. */
  readonly wallMs?: number;
  readonly timing?: Partial<TunnelTiming>;
  readonly crypto?: TunnelCrypto;
  readonly staticByte?: number;
}

interface Installed {
  readonly peer: string;
  readonly remoteIndex: number;
  readonly send: Uint8Array;
  readonly receive: Uint8Array;
  readonly window: ReplayWindow;
  counter: number;
}

const DATA_HEADER_BYTES = 16;
const WALL_MS = 1_800_000_000_000;

export class TunnelHost {
  readonly name: string;
  readonly addr: Address;
  readonly staticKeys: KeyPair;
  readonly tunnels: Tunnels;
  readonly events: SessionEvent[] = [];
  readonly installed = new Map<number, Installed>();
  /** By peer: the session that is sent on. */
  readonly inUse = new Map<string, number>();
  /** Of data: what became of it. */
  readonly data = { sent: 0, unsent: 0, received: 0, repeated: 0, refused: 0 };
  readonly received: string[] = [];
  readonly #heard = new Set<number>();

  constructor({ name, addr, seed, nowMs = 0, wallMs = WALL_MS, timing, crypto, staticByte }: HostOptions) {
    this.name = name;
    this.addr = addr;
    this.staticKeys = staticKeysOf(staticByte ?? seed);
    const rng = new SeededRng(seed).fork(name);
    this.tunnels = new Tunnels({
      crypto: crypto ?? tunnelCrypto,
      rng,
      staticKeys: this.staticKeys,
      nowMs,
      wallMs,
      ...(timing === undefined ? {} : { timing }),
    });
  }

  setPeer(now: number, other: TunnelHost, addr: Address = other.addr): void {
    this.tunnels.setPeer(now, other.name, { staticKey: other.staticKeys.publicKey, addr });
  }

  status(now: number, peer: string): TunnelStatus {
    return this.tunnels.sessions(now).find((status) => status.peer === peer)!;
  }

  count(name: string): number {
    return this.tunnels.counters().get(name) ?? 0;
  }

  /** Carries out the orders, then gives what is to be sent. */
  poll(): TunnelTransmit[] {
    for (let event = this.tunnels.pollSession(); event !== undefined; event = this.tunnels.pollSession())
      this.#apply(event);
    const transmits: TunnelTransmit[] = [];
    for (let next = this.tunnels.pollTransmit(); next !== undefined; next = this.tunnels.pollTransmit())
      transmits.push(next);
    return transmits;
  }

  /** A sealed datagram; undefined when there is no session to send it on. */
  seal(now: number, peer: string, text: string): Uint8Array | undefined {
    const index = this.inUse.get(peer);
    const session = index === undefined ? undefined : this.installed.get(index);
    if (index === undefined || session === undefined) {
      this.data.unsent += 1;
      return undefined;
    }
    const plain = new TextEncoder().encode(text);
    const header = new Uint8Array(DATA_HEADER_BYTES);
    const view = new DataView(header.buffer);
    header[0] = TYPE.data;
    view.setUint32(4, session.remoteIndex);
    const counter = session.counter++;
    view.setUint32(12, counter);
    const sealed = tunnelCrypto.seal(session.send, nonceOf(counter), sealedAad(header, plain.length), plain);
    this.data.sent += 1;
    this.tunnels.noteSent(now, index, session.counter);
    return Uint8Array.of(...header, ...sealed);
  }

  handle(now: number, bytes: Uint8Array, from: Address): void {
    if (bytes[0] === TYPE.data) this.#open(now, bytes);
    else this.tunnels.handleDatagram(now, bytes, from);
  }

  #open(now: number, bytes: Uint8Array): void {
    const index = indexOf(bytes);
    const session = this.installed.get(index);
    const counter = new DataView(bytes.buffer, bytes.byteOffset).getUint32(12);
    const sealed = bytes.subarray(DATA_HEADER_BYTES);
    const aad = sealedAad(bytes, sealed.length - 16);
    const plain = session && tunnelCrypto.open(session.receive, nonceOf(counter), aad, sealed);
    if (session === undefined || plain === undefined) {
      this.data.refused += 1;
      return;
    }
    if (!session.window.commit(counter)) {
      this.data.repeated += 1;
      return;
    }
    this.data.received += 1;
    this.received.push(new TextDecoder().decode(plain));
    if (this.#heard.has(index)) return;
    this.#heard.add(index);
    this.tunnels.noteReceived(now, index);
  }

  #apply(event: SessionEvent): void {
    this.events.push(event);
    if (event.type === 'install') {
      const { peer, remoteIndex, sendKey, receiveKey } = event;
      const [send, receive] = [sendKey.reveal().slice(), receiveKey.reveal().slice()];
      this.installed.set(event.localIndex, {
        peer,
        remoteIndex,
        send,
        receive,
        window: new ReplayWindow(),
        counter: 0,
      });
    } else if (event.type === 'use') this.inUse.set(event.peer, event.localIndex);
    else {
      this.installed.delete(event.localIndex);
      if (this.inUse.get(event.peer) === event.localIndex) this.inUse.delete(event.peer);
    }
  }
}

export function staticKeysOf(byte: number): KeyPair {
  const secretKey = new Uint8Array(32).fill(byte);
  return { secretKey, publicKey: tunnelCrypto.x25519PublicKey(secretKey) };
}

export function pskOf(byte: number): TunnelPsk {
  return tunnelPsk(tunnelCrypto, new Uint8Array(32).fill(byte));
}

/** Both agree on one session, each way. */
export function agree(a: TunnelHost, b: TunnelHost): boolean {
  const [ofA, ofB] = [a.inUse.get(b.name), b.inUse.get(a.name)];
  if (ofA === undefined || ofB === undefined) return false;
  return a.installed.get(ofA)?.remoteIndex === ofB && b.installed.get(ofB)?.remoteIndex === ofA;
}
