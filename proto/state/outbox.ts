/**
 * What waits to be sent, and how fast it may go: a token bucket over four classes, the most urgent first.
 *
 * A message may take the bucket below zero (one DELTA chunk is larger than a second's worth): it then waits for the
 * debt to be paid. Each class is bounded in bytes; over it the new message is dropped and counted, which costs nothing
 * but time: logs are the truth, queues are not, and HEADS, PULL and SYNC repair.
 * Bulk (snapshots) is not queued at all: it is asked for, piece by piece, when nothing else waits.
 */
import type { FaultInjector } from '../env.ts';
import type { StateTransmit } from './interface.ts';

export const URGENCY = { control: 0, own: 1, relay: 2 } as const;
export type Urgency = (typeof URGENCY)[keyof typeof URGENCY];

/** Per class, bytes: control is small by nature, own writes to 32 peers may burst. */
const QUEUE_BYTES = [1 << 20, 8 << 20, 4 << 20] as const;
/** IP, UDP and memberlist framing around each message. */
const OVERHEAD_BYTES = 40;
/** Sent messages that a queue which never runs empty may still hold on to. */
const COMPACT_AT = 1_024;

export class Outbox {
  readonly #rateBytes: number;
  readonly #burstBytes: number;
  readonly #queues: StateTransmit[][] = [[], [], []];
  readonly #heads = [0, 0, 0];
  readonly #queuedBytes = [0, 0, 0];
  readonly #ready: StateTransmit[] = [];
  readonly #drop: (bytes: number) => void;
  readonly #fault: FaultInjector | undefined;
  #tokens: number;
  #filledMs: number | undefined;
  /** Gives the next piece of bulk work; undefined when there is none. */
  bulk: () => StateTransmit | undefined = () => undefined;
  hasBulk: () => boolean = () => false;

  constructor(rateBytes: number, burstBytes: number, drop: (bytes: number) => void, fault?: FaultInjector) {
    this.#rateBytes = rateBytes;
    this.#burstBytes = burstBytes;
    this.#tokens = burstBytes;
    this.#drop = drop;
    this.#fault = fault;
  }

  send(urgency: Urgency, to: string, bytes: Uint8Array, reliable: boolean): void {
    const isFull = this.#queuedBytes[urgency]! + bytes.length > QUEUE_BYTES[urgency];
    if (isFull || this.#fault?.('outbox.full') === true) {
      this.#drop(bytes.length);
      return;
    }
    this.#queuedBytes[urgency]! += bytes.length;
    this.#queues[urgency]!.push({ to, bytes, reliable });
  }

  /** Moves what the bucket allows to where `poll` takes it. Call after everything that may have sent. */
  release(now: number): void {
    this.#fill(now);
    while (this.#tokens > 0) {
      const next = this.#next();
      if (next === undefined) return;
      this.#tokens -= next.bytes.length + OVERHEAD_BYTES;
      this.#ready.push(next);
    }
  }

  poll(): StateTransmit | undefined {
    return this.#ready.shift();
  }

  /** When more may go; Infinity when nothing waits. */
  nextDeadline(now: number): number {
    const waits = this.#queuedBytes.some((bytes) => bytes > 0) || this.hasBulk();
    if (!waits || this.#filledMs === undefined) return waits ? now : Infinity;
    return this.#filledMs + Math.max(1, Math.ceil(((1 - this.#tokens) * 1_000) / this.#rateBytes));
  }

  #fill(now: number): void {
    const elapsed = now - (this.#filledMs ?? now);
    this.#filledMs = now;
    this.#tokens = Math.min(this.#burstBytes, this.#tokens + (elapsed * this.#rateBytes) / 1_000);
  }

  #next(): StateTransmit | undefined {
    for (let urgency = 0; urgency < this.#queues.length; urgency++) {
      const queue = this.#queues[urgency]!;
      const head = this.#heads[urgency]!;
      const message = queue[head];
      if (message === undefined) continue;
      this.#queuedBytes[urgency]! -= message.bytes.length;
      this.#heads[urgency] = head + 1;
      if (head + 1 === queue.length) {
        this.#queues[urgency] = [];
        this.#heads[urgency] = 0;
      } else if (head > COMPACT_AT) {
        queue.splice(0, head + 1);
        this.#heads[urgency] = 0;
      }
      return message;
    }
    return this.bulk();
  }
}
