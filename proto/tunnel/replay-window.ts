/**
 * Which counters of a session were seen (RFC 6479): the last 8,192, by a ring of words instead of a shifted bitmap.
 *
 * The reference for the core's window, in plain words: a counter is refused when it was committed before, or is more than
 * WINDOW - 1 below the highest that was committed. Look before a datagram is opened, commit only after its tag was right.
 */
export const WINDOW = 8192;
const WORD_BITS = 32;
/** One word more than the window: the newest word is only partly used. */
const WORDS = WINDOW / WORD_BITS + 1;

export class ReplayWindow {
  readonly #words = new Uint32Array(WORDS);
  #highest = -1;

  /** The highest counter that was committed; -1 before the first. */
  get highest(): number {
    return this.#highest;
  }

  /** Whether it is new. Counters are whole numbers from 0 to 2^53 - 1; anything else never is. */
  isNew(counter: number): boolean {
    if (!Number.isSafeInteger(counter) || counter < 0) return false;
    if (counter > this.#highest) return true;
    if (this.#highest - counter >= WINDOW) return false;
    return ((this.#words[wordOf(counter) % WORDS] as number) & bitOf(counter)) === 0;
  }

  /** Notes it. False, and nothing noted, when it is not new. */
  commit(counter: number): boolean {
    if (!this.isNew(counter)) return false;
    if (counter > this.#highest) this.#advance(counter);
    const word = wordOf(counter) % WORDS;
    this.#words[word] = (this.#words[word] as number) | bitOf(counter);
    return true;
  }

  #advance(counter: number): void {
    const from = this.#highest < 0 ? -1 : wordOf(this.#highest);
    const to = wordOf(counter);
    // Words that come into the window again are those of counters long gone.
    for (let word = Math.max(from + 1, to - WORDS + 1); word <= to; word++) this.#words[word % WORDS] = 0;
    this.#highest = counter;
  }
}

const wordOf = (counter: number): number => Math.floor(counter / WORD_BITS);
const bitOf = (counter: number): number => 1 << (counter % WORD_BITS);
