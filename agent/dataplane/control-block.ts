/**
 * The few words that a worker and the main thread share beside the core's memory.
 *
 * A batch worker never runs its event loop, so posted messages do not reach it: the main thread sets a flag here and
 * rings the worker's eventfd.
 */
const CONTROL_WORDS = 16;
const STOP = 0;
const HEARTBEAT_MS = 1;
const LONGEST_GAP_US = 2;
const DOORBELL = 3;

export class ControlBlock {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
  }

  static create(): ControlBlock {
    return new ControlBlock(new SharedArrayBuffer(CONTROL_WORDS * 4));
  }

  requestStop(): void {
    Atomics.store(this.#words, STOP, 1);
  }

  get stopRequested(): boolean {
    return Atomics.load(this.#words, STOP) !== 0;
  }

  /** Milliseconds of the monotonic clock, low 32 bits. */
  beat(nowMs: number): void {
    Atomics.store(this.#words, HEARTBEAT_MS, nowMs | 0);
  }

  heartbeatAgeMs(nowMs: number): number {
    return ((nowMs | 0) - Atomics.load(this.#words, HEARTBEAT_MS)) | 0;
  }

  noteGap(microseconds: number): void {
    if (microseconds > Atomics.load(this.#words, LONGEST_GAP_US)) {
      Atomics.store(this.#words, LONGEST_GAP_US, microseconds);
    }
  }

  /** The longest gap since the last call. */
  takeLongestGapUs(): number {
    return Atomics.exchange(this.#words, LONGEST_GAP_US, 0);
  }

  /** Worker: true when the main thread has not been told yet; the caller then posts the message. */
  ringDoorbell(): boolean {
    return Atomics.exchange(this.#words, DOORBELL, 1) === 0;
  }

  /** Main thread: before it reads the events, so that none rung meanwhile is missed. */
  answerDoorbell(): void {
    Atomics.store(this.#words, DOORBELL, 0);
  }
}
