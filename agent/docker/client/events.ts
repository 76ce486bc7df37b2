/**
 * Docker's events for as long as the daemon lives: connects, hands each event on, and connects again with back-off.
 *
 * Docker keeps no events over its own restart, so after each connection the listener is told to look at everything anew
 * (`connected`); between that and the first event nothing is lost, since the stream stands before the look begins.
 * A Docker that is not there is no error: it is said once and tried quietly.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Log } from '../../log.ts';
import { isAbsent } from './api.ts';
import type { ByteStream } from './api.ts';
import { eventSchema } from './schemas.ts';
import type { DockerEvent } from './schemas.ts';

const RETRY_FIRST_MS = 250;
const RETRY_LAST_MS = 15_000;
/** An event is some hundred bytes; labels may be long. */
const LINE_MAX_BYTES = 1 << 20;

export interface EventSource {
  readonly socket: string;
  forget(): void;
  events(signal: AbortSignal): Promise<ByteStream>;
}

export interface EventListener {
  /** The stream stands. What is thrown ends it, and it is tried again. */
  connected(): Promise<void>;
  event(event: DockerEvent): void;
  disconnected(): void;
}

export class EventStream {
  readonly #source: EventSource;
  readonly #listener: EventListener;
  readonly #log: Log;
  readonly #abort = new AbortController();
  readonly #done: Promise<void>;
  /** What was said last, so that it is said once. */
  #said: string | undefined;

  constructor(source: EventSource, listener: EventListener, log: Log) {
    this.#source = source;
    this.#listener = listener;
    this.#log = log;
    this.#done = this.#run();
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    for (let retryMs = RETRY_FIRST_MS; !signal.aborted; retryMs = Math.min(retryMs * 2, RETRY_LAST_MS)) {
      let stood = false;
      try {
        await this.#follow(() => (stood = true));
      } catch (error) {
        if (!signal.aborted && !stood) this.#say(error);
      }
      if (stood && !signal.aborted) this.#sayGone();
      if (stood) retryMs = RETRY_FIRST_MS;
      await pause(retryMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** One connection, to its end. */
  async #follow(stands: () => void): Promise<void> {
    this.#source.forget();
    const one = new AbortController();
    const stop = (): void => one.abort();
    this.#abort.signal.addEventListener('abort', stop, { once: true });
    try {
      const stream = await this.#source.events(one.signal);
      const reading = this.#read(stream);
      // Awaited below; until then its failure is not unhandled.
      reading.catch(() => undefined);
      try {
        await this.#listener.connected();
        stands();
        this.#log.info({ path: this.#source.socket }, 'Docker answers');
        this.#said = undefined;
        await reading;
      } finally {
        one.abort();
        await reading.catch(() => undefined);
        this.#listener.disconnected();
      }
    } finally {
      this.#abort.signal.removeEventListener('abort', stop);
    }
  }

  async #read(stream: ByteStream): Promise<void> {
    let rest = Buffer.alloc(0);
    for await (const chunk of stream) {
      rest = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
      for (let end = rest.indexOf(0x0a); end >= 0; end = rest.indexOf(0x0a)) {
        const event = eventIn(rest.subarray(0, end).toString('utf8'));
        rest = rest.subarray(end + 1);
        if (event !== undefined) this.#listener.event(event);
      }
      if (rest.length > LINE_MAX_BYTES) throw new Error(`an event of more than ${LINE_MAX_BYTES} bytes`);
    }
  }

  /** It ended, was killed, or sent what no event is. */
  #sayGone(): void {
    this.#said = 'gone';
    this.#log.info({ path: this.#source.socket }, 'Docker went away; watching for it');
  }

  #say(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    // That it went has been said.
    if (text === this.#said || (this.#said === 'gone' && isAbsent(error))) return;
    this.#said = text;
    if (isAbsent(error)) {
      this.#log.info({ path: this.#source.socket }, 'no Docker here yet; watching for it');
    } else {
      this.#log.warn({ err: error, path: this.#source.socket }, 'Docker cannot be followed; trying again');
    }
  }
}

/** Undefined for what is none of ours to read: a later Docker may send other shapes. */
function eventIn(line: string): DockerEvent | undefined {
  try {
    const read = eventSchema.safeParse(JSON.parse(line));
    return read.success ? read.data : undefined;
  } catch {
    return undefined;
  }
}
