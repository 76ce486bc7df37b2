import type { Timer } from '../swim/timer-heap.ts';
import { NO_BYTES, nonceOf } from './crypto.ts';
import type { TunnelCrypto } from './crypto.ts';
import { concat } from './crypto.ts';
import { keepaliveHeader, readKeepalive, sealedAad } from './messages.ts';
import type { SessionKeys } from './noise.ts';
import { openProbe, sealProbe } from './probes.ts';
import type { ProbeText } from './probes.ts';
import { Secret } from './secret.ts';

/**
 * One pair of directions between two hosts, from one handshake. It holds the data path's keys to wipe them, and seals
 * and opens keepalives and path probes with keys of its own.
 */
export interface SessionOptions {
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly role: 'initiator' | 'responder';
  readonly pskId: number;
  /** Of the protocol; proto/versions.ts. */
  readonly version: number;
  readonly createdMs: number;
  readonly data: SessionKeys;
  readonly control: SessionKeys;
}

export class Session {
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly role: 'initiator' | 'responder';
  readonly pskId: number;
  readonly version: number;
  readonly createdMs: number;
  readonly sendKey: Secret;
  readonly receiveKey: Secret;
  /** The other side was heard on it. */
  isConfirmed = false;
  /** Its successor has been asked for. */
  isRekeyDue = false;
  heardMs: number;
  /** Keepalives in a row without an answer. */
  unanswered = 0;
  /** Whatever is to happen to it next. */
  timer: Timer | undefined;
  readonly #control: { readonly send: Secret; readonly receive: Secret };
  #sendCounter = 0;
  #receivedCounter = -1;

  constructor({ localIndex, remoteIndex, role, pskId, version, createdMs, data, control }: SessionOptions) {
    this.localIndex = localIndex;
    this.remoteIndex = remoteIndex;
    this.role = role;
    this.pskId = pskId;
    this.version = version;
    this.createdMs = createdMs;
    this.heardMs = createdMs;
    this.sendKey = new Secret(data.send);
    this.receiveKey = new Secret(data.receive);
    this.#control = { send: new Secret(control.send), receive: new Secret(control.receive) };
  }

  sealKeepalive(crypto: TunnelCrypto, wantsAnswer: boolean): Uint8Array {
    const counter = this.#sendCounter++;
    const header = keepaliveHeader(this.remoteIndex, counter, wantsAnswer);
    const key = this.#control.send.reveal();
    return concat(header, crypto.seal(key, nonceOf(counter), sealedAad(header, 0), NO_BYTES));
  }

  /** Whether it wants an answer; undefined when it is no new keepalive of this session. */
  openKeepalive(crypto: TunnelCrypto, bytes: Uint8Array): { readonly wantsAnswer: boolean } | undefined {
    const { counter, wantsAnswer, aad, tag } = readKeepalive(bytes);
    // Late ones are refused with the replayed: another comes soon.
    if (!Number.isSafeInteger(counter) || counter <= this.#receivedCounter) return undefined;
    const key = this.#control.receive.reveal();
    if (crypto.open(key, nonceOf(counter), aad, tag) === undefined) return undefined;
    this.#receivedCounter = counter;
    return { wantsAnswer };
  }

  sealProbe(crypto: TunnelCrypto, probe: ProbeText): Uint8Array {
    return sealProbe(crypto, this.#control.send.reveal(), this.remoteIndex, this.#sendCounter++, probe);
  }

  /** Its token; undefined when the other side has not made it. */
  openProbe(crypto: TunnelCrypto, bytes: Uint8Array): number | undefined {
    return openProbe(crypto, this.#control.receive.reveal(), bytes);
  }

  setTimer(timer: Timer | undefined): void {
    this.timer?.cancel();
    this.timer = timer;
  }

  destroy(): void {
    this.setTimer(undefined);
    for (const secret of [this.sendKey, this.receiveKey, this.#control.send, this.#control.receive])
      secret.destroy();
  }
}
