import { monotonicMs } from '../clock.ts';

/**
 * The one timer of a protocol object that says itself when it wants to be called next: armed anew after whatever may have
 * changed that.
 */
/** setTimeout takes 24 days at most; who is called early finds nothing due and says again when. */
const LONGEST_MS = 60_000;

export class DeadlineTimer {
  readonly #due: () => void;
  #timer: NodeJS.Timeout | undefined;

  /** `due` is to arm it again. */
  constructor(due: () => void) {
    this.#due = due;
  }

  /** For this time of the monotonic clock, ms; Infinity: for none. */
  arm(deadlineMs: number): void {
    this.stop();
    const delayMs = deadlineMs - monotonicMs();
    if (!Number.isFinite(delayMs)) return;
    this.#timer = setTimeout(this.#due, Math.min(LONGEST_MS, Math.max(1, delayMs)));
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
