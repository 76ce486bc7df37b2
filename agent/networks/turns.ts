/** One thing at a time under one key, in the order asked for. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  async take<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve();
    const turn = before.then(work, work);
    // Whoever asked hears of a failure; the next one only waits.
    const quiet = turn.catch(() => undefined);
    this.#last.set(key, quiet);
    try {
      return await turn;
    } finally {
      if (this.#last.get(key) === quiet) this.#last.delete(key);
    }
  }
}
