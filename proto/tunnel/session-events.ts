import type { SessionEvent } from './interface.ts';

/**
 * Events that wait to be fetched. A session that ends before anyone fetched its `install` was never there: its keys are
 * wiped by then, and nobody must install zeros.
 */
export class SessionEvents {
  #queue: SessionEvent[] = [];

  push(event: SessionEvent): void {
    const { localIndex } = event;
    const isUnseen = this.#queue.some((other) => other.type === 'install' && other.localIndex === localIndex);
    if (event.type === 'remove' && isUnseen)
      this.#queue = this.#queue.filter((other) => other.localIndex !== localIndex);
    else this.#queue.push(event);
  }

  shift(): SessionEvent | undefined {
    return this.#queue.shift();
  }
}
