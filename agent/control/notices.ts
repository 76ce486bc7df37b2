import type { Finding } from '../doctor/finding.ts';

/** What passed by as an event and is no state that could be looked up later; kept a while for `overlayd doctor`. */
const KEPT_MS = 10 * 60_000;
const NOTICES_MAX = 64;

export class Notices {
  readonly #byText = new Map<string, { readonly finding: Finding; readonly atMs: number }>();

  /** The same again only refreshes it; the oldest goes when there are too many. */
  note(now: number, finding: Finding): void {
    const key = `${finding.check} ${finding.what}`;
    this.#byText.delete(key);
    this.#byText.set(key, { finding, atMs: now });
    if (this.#byText.size > NOTICES_MAX) this.#byText.delete(this.#byText.keys().next().value as string);
  }

  recent(now: number): Finding[] {
    return [...this.#byText.values()]
      .filter(({ atMs }) => now - atMs < KEPT_MS)
      .map(({ finding }) => finding);
  }
}
