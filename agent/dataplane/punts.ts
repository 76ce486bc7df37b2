/** Handshake messages and path probes that the core handed to control (layout: core-wasm/punt.ts), read by the main thread. */
import { constant } from './core.ts';
import type { Core } from './core.ts';
import { readSockaddr } from '../io/sockaddr.ts';

export interface Punt {
  readonly ip: string;
  readonly port: number;
  /** Of a path probe only the head. */
  readonly bytes: Uint8Array;
  /** Bytes that the datagram had. */
  readonly length: number;
}

/** At the end of a record. */
const WHOLE_LENGTH_BYTES = 4;
const RECORD = { length: 0, nameLength: 2, name: 4, message: 32 } as const;

export class PuntRing {
  readonly #core: Core;
  readonly #words: Int32Array;
  readonly #constant: (name: string) => number;

  constructor(core: Core) {
    this.#core = core;
    this.#words = new Int32Array(core.memory.buffer);
    this.#constant = (name) => constant(core.constants, name);
  }

  /** Takes everything that waits, oldest first. */
  drain(): Punt[] {
    const punts: Punt[] = [];
    let tail = this.#load('PUNT_TAIL');
    // The core rings only when it finds the ring empty, so what it put there before the tail was stored is ours to see.
    for (let head = this.#load('PUNT_HEAD'); tail !== head; head = this.#load('PUNT_HEAD')) {
      for (; tail !== head; tail = (tail + 1) >>> 0) {
        const slot = tail & (this.#constant('PUNT_SLOTS') - 1);
        const punt = this.#read(this.#constant('PUNT_RING') + slot * this.#constant('PUNT_SIZE'));
        if (punt !== undefined) punts.push(punt);
      }
      Atomics.store(this.#words, this.#constant('PUNT_TAIL') >>> 2, tail | 0);
    }
    return punts;
  }

  #load(name: 'PUNT_HEAD' | 'PUNT_TAIL'): number {
    return Atomics.load(this.#words, this.#constant(name) >>> 2) >>> 0;
  }

  #read(at: number): Punt | undefined {
    const { bytes, view } = this.#core;
    const name = at + RECORD.name;
    const from = readSockaddr(bytes.slice(name, name + view.getUint16(at + RECORD.nameLength, true)));
    if (from === undefined) return undefined;
    const message = at + RECORD.message;
    const length = view.getUint32(at + this.#constant('PUNT_SIZE') - WHOLE_LENGTH_BYTES, true);
    return {
      ...from,
      bytes: bytes.slice(message, message + view.getUint16(at + RECORD.length, true)),
      length,
    };
  }
}
