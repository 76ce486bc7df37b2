/**
 * The signals of the daemon. The first SIGTERM or SIGINT asks it to stop, a second one ends the process at once.
 *
 * Installed before anything starts, so that a signal during the start is kept until what was begun can be undone.
 */
import { EXIT } from './context.ts';

export class StopSignals {
  /** Resolves at the first SIGTERM or SIGINT. */
  readonly stop: Promise<void>;
  #reload: (() => void) | undefined;
  #isReloadWanted = false;
  readonly #listeners: readonly (readonly [NodeJS.Signals, () => void])[];

  constructor(say: (text: string) => void) {
    let stopped: (() => void) | undefined;
    this.stop = new Promise((resolve) => {
      stopped = resolve;
    });
    const onStop = (): void => {
      if (stopped === undefined) {
        say('overlayd: ended at once; the other hosts will notice by themselves\n');
        process.exit(EXIT.failed);
      }
      stopped();
      stopped = undefined;
    };
    const onReload = (): void => {
      if (this.#reload === undefined) this.#isReloadWanted = true;
      else this.#reload();
    };
    this.#listeners = [
      ['SIGTERM', onStop],
      ['SIGINT', onStop],
      ['SIGHUP', onReload],
    ];
    for (const [signal, listener] of this.#listeners) process.on(signal, listener);
  }

  /** A SIGHUP before this is kept until now: what it asks for may have come after its file was read. */
  onReload(listener: () => void): void {
    this.#reload = listener;
    if (this.#isReloadWanted) listener();
  }

  dispose(): void {
    for (const [signal, listener] of this.#listeners) process.off(signal, listener);
  }
}
