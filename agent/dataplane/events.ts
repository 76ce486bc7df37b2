/**
 * The core's event ring, read by the main thread (layout: core-exports.ts).
 *
 * A worker that finds the ring full counts a loss and goes on; `takeLost` tells, and the caller then compares the
 * core's table with what it knows (supervisor.ts).
 */
import { readMac } from '../io/mac.ts';
import { ipText } from '../io/sockaddr.ts';
import type { RingCore } from './commands.ts';
import { constant } from './core.ts';
import type { Core } from './core.ts';
import type { DataplaneEvent } from './dataplane.ts';

/** As the core says it; the supervisor puts the last two into words that outlive a worker. */
export type CoreEvent =
  | Extract<DataplaneEvent, { type: 'mac-learned' | 'mac-expired' | 'ip-learned' | 'command-failed' }>
  | { readonly type: 'session-heard'; readonly place: number }
  | { readonly type: 'punted' };

const RECORD = { type: 0, network: 4, port: 8, c: 12, mac: 16, ip: 24 } as const;
const IP_SIZE = 16;

export class EventRing {
  readonly #view: DataView;
  readonly #words: Int32Array;
  readonly #base: number;
  readonly #slots: number;
  readonly #size: number;
  readonly #head: number;
  readonly #tail: number;
  readonly #lost: number;
  readonly #types: Core['events'];
  readonly #ops: Core['ops'];
  #lostSeen = 0;

  constructor({ memory, constants, events, ops }: RingCore & Pick<Core, 'events' | 'ops'>) {
    this.#view = new DataView(memory.buffer);
    this.#words = new Int32Array(memory.buffer);
    this.#base = constant(constants, 'EVENT_RING');
    this.#slots = constant(constants, 'EVENT_SLOTS');
    this.#size = constant(constants, 'EVENT_SIZE');
    this.#head = constant(constants, 'EVENT_HEAD') >>> 2;
    this.#tail = constant(constants, 'EVENT_TAIL') >>> 2;
    this.#lost = constant(constants, 'EVENTS_LOST') >>> 2;
    this.#types = events;
    this.#ops = ops;
  }

  /** Takes everything that waits, oldest first. */
  drain(): CoreEvent[] {
    const head = Atomics.load(this.#words, this.#head) >>> 0;
    let tail = Atomics.load(this.#words, this.#tail) >>> 0;
    const events: CoreEvent[] = [];
    for (; tail !== head; tail = (tail + 1) >>> 0) {
      const event = this.#decode(this.#base + (tail & (this.#slots - 1)) * this.#size);
      if (event !== undefined) events.push(event);
    }
    Atomics.store(this.#words, this.#tail, tail | 0);
    return events;
  }

  /** True when events were lost since the last call. */
  takeLost(): boolean {
    const lost = Atomics.load(this.#words, this.#lost);
    const news = lost !== this.#lostSeen;
    this.#lostSeen = lost;
    return news;
  }

  #decode(at: number): CoreEvent | undefined {
    const view = this.#view;
    const network = view.getUint32(at + RECORD.network, true);
    const port = view.getUint32(at + RECORD.port, true);
    const c = view.getUint32(at + RECORD.c, true);
    const mac = readMac(view, at + RECORD.mac);
    switch (this.#types[view.getUint16(at + RECORD.type, true)]) {
      case 'mac-learned':
        return { type: 'mac-learned', network, port, mac, from: c === 0 ? undefined : c - 1 };
      case 'mac-expired':
        return { type: 'mac-expired', network, port, mac };
      case 'ip-learned': {
        const ip = Uint8Array.from({ length: IP_SIZE }, (_, i) => view.getUint8(at + RECORD.ip + i));
        return { type: 'ip-learned', network, port, mac, ip: ipText(ip) };
      }
      case 'session-heard':
        return { type: 'session-heard', place: c };
      case 'punted':
        return { type: 'punted' };
      case 'command-failed':
        return { type: 'command-failed', op: this.#ops[c] ?? `op ${c}` };
      default:
        return undefined; // a newer core's event; nothing here depends on it
    }
  }
}
