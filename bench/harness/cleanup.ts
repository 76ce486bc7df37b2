/**
 * Undo steps of everything the bench made, run last in first out, once, whatever ends the bench.
 *
 * A failing step is told and does not stop the others: namespaces must go even when a daemon will not.
 */

import { messageOf } from './errors.ts';

export class CleanupStack {
  readonly #steps: { readonly what: string; readonly undo: () => Promise<unknown> | void }[] = [];
  readonly #warn: (line: string) => void;

  constructor(warn: (line: string) => void) {
    this.#warn = warn;
  }

  defer(what: string, undo: () => Promise<unknown> | void): void {
    this.#steps.push({ what, undo });
  }

  async run(): Promise<void> {
    for (let step = this.#steps.pop(); step; step = this.#steps.pop()) {
      try {
        await step.undo();
      } catch (error) {
        this.#warn(`cleaning up ${step.what}: ${messageOf(error)}`);
      }
    }
  }
}
