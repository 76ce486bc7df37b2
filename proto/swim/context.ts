import type { FaultInjector, Rng } from '../env.ts';
import { MESSAGE_TYPE } from '../memberlist/messages.ts';
import type { KnownNodes } from '../memberlist/stream-parser.ts';
import type { Bans, Banned } from './bans.ts';
import type { SwimDelegate, SwimEvent, StreamAction, Transmit } from './interface.ts';
import type { SwimSettings } from './options.ts';
import type { Sealing } from './sealing.ts';
import type { TimerHeap } from './timer-heap.ts';

/** What the parts of a member share: settings, timers, randomness, counters and the queues that callers poll. */
export interface SwimContext {
  readonly settings: SwimSettings;
  readonly rng: Rng;
  readonly delegate: SwimDelegate;
  readonly timers: TimerHeap;
  readonly transmits: Fifo<Transmit>;
  readonly streamActions: Fifo<StreamAction>;
  readonly events: Fifo<SwimEvent>;
  readonly counts: Counts;
  /** undefined: everything goes in clear. */
  readonly sealing: Sealing | undefined;
  /** For reading push/pulls: what we hold just so. */
  readonly known: KnownNodes;
  /** In simulations only. */
  readonly fault: FaultInjector | undefined;
  readonly bans: Bans;
}

/** Something came from a host that we have nothing to do with. */
export function dropBanned({ counts, bans, events }: SwimContext, now: number, banned: Banned): void {
  counts.drop('banned');
  const { name, addr } = banned;
  if (addr !== undefined && bans.mayTell(now, banned)) events.push({ type: 'banned', name, addr });
}

/** A queue whose takes do not move the rest. */
export class Fifo<T> {
  #items: T[] = [];
  #taken = 0;

  push(item: T): void {
    this.#items.push(item);
  }

  /** undefined when empty; then the memory of what was taken is given back. */
  take(): T | undefined {
    const item = this.#items[this.#taken];
    if (item === undefined) {
      if (this.#taken > 0) this.#items = [];
      this.#taken = 0;
      return undefined;
    }
    this.#taken += 1;
    return item;
  }
}

/** Counter keys by message type, made once. */
export const IN_KEY: readonly string[] = keysOf('in');
export const OUT_KEY: readonly string[] = keysOf('out');

function keysOf(way: 'in' | 'out'): string[] {
  const names = new Map<number, string>(Object.entries(MESSAGE_TYPE).map(([name, type]) => [type, name]));
  return Array.from({ length: 256 }, (_, type) => `${names.get(type) ?? 'unknown'}:${way}`);
}

/** Counters by key. All keys come from fixed sets (message types, reasons), so the map is bounded. */
export class Counts {
  readonly map = new Map<string, number>();

  add(key: string, by = 1): void {
    this.map.set(key, (this.map.get(key) ?? 0) + by);
  }

  drop(reason: string): void {
    this.add(`drop:${reason}`);
  }
}
