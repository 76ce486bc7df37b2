/**
 * Sessions as the control plane installs them: a place in the core's table and keys in the cipher for each.
 *
 * A session dies with the worker that counted it: a new worker has no replay window of it, so it must not go on.
 * Keys of a removed session are kept until the worker has surely read the removal.
 */
import type { Command } from './commands.ts';
import { constant } from './core.ts';
import type { CoreConstants } from './core-exports.ts';
import type { Handles, SessionKeyPair, SessionKeys } from './session-keys.ts';

export interface NewSession extends SessionKeyPair {
  /** What the other side puts into its datagrams: unique here. */
  readonly localIndex: number;
  readonly remoteIndex: number;
  /** Peer of the tables. */
  readonly peer: number;
}

/** A worker reads its commands within milliseconds; one that hangs is ended after five seconds. */
const RETIRE_MS = 15_000;
const HANDLES_BYTES = 16;

export class Sessions {
  readonly #constants: CoreConstants;
  readonly #keys: SessionKeys;
  /** Local index → place. */
  readonly #places = new Map<number, number>();
  readonly #indexes = new Map<number, number>();
  readonly #free: number[] = [];
  readonly #retiring = new Map<number, NodeJS.Timeout>();
  #used = 0;

  constructor(constants: CoreConstants, keys: SessionKeys) {
    this.#constants = constants;
    this.#keys = keys;
  }

  /** Undefined: the table is full, or the index in use. */
  add(session: NewSession): Command | undefined {
    if (this.#places.has(session.localIndex)) return undefined;
    const place = this.#take();
    if (place === undefined) return undefined;
    const handles = this.#handles(place, session);
    this.#places.set(session.localIndex, place);
    this.#indexes.set(place, session.localIndex);
    const raw = new Uint8Array(HANDLES_BYTES);
    const view = new DataView(raw.buffer);
    view.setFloat64(0, handles.open, true);
    view.setFloat64(8, handles.seal, true);
    const { localIndex, remoteIndex, peer } = session;
    return { op: this.#op('OP_SESSION_PUT'), a: place, b: localIndex, c: remoteIndex, d: peer, raw };
  }

  #handles(place: number, session: NewSession): Handles {
    try {
      return this.#keys.add(place, session);
    } catch (error) {
      this.#free.push(place);
      throw error;
    }
  }

  use(localIndex: number): Command | undefined {
    return this.#command('OP_SESSION_USE', localIndex);
  }

  remove(localIndex: number): Command | undefined {
    const command = this.#command('OP_SESSION_DEL', localIndex);
    const place = this.#places.get(localIndex);
    if (place === undefined) return undefined;
    this.#forget(place);
    const timer = setTimeout(() => {
      this.#retiring.delete(place);
      this.#keys.remove(place);
      this.#free.push(place);
    }, RETIRE_MS);
    timer.unref();
    this.#retiring.set(place, timer);
    return command;
  }

  /** No worker has any of them any more. Returns their local indexes. */
  drop(): number[] {
    const lost = [...this.#places.keys()];
    for (const timer of this.#retiring.values()) clearTimeout(timer);
    this.#retiring.clear();
    this.#places.clear();
    this.#indexes.clear();
    this.#keys.removeAll();
    this.#free.length = 0;
    this.#used = 0;
    return lost;
  }

  place(localIndex: number): number | undefined {
    return this.#places.get(localIndex);
  }

  localIndex(place: number): number | undefined {
    return this.#indexes.get(place);
  }

  #take(): number | undefined {
    const place = this.#free.pop();
    if (place !== undefined) return place;
    return this.#used < constant(this.#constants, 'SESSION_MAX') ? this.#used++ : undefined;
  }

  #forget(place: number): void {
    const index = this.#indexes.get(place);
    this.#indexes.delete(place);
    if (index !== undefined) this.#places.delete(index);
  }

  #command(name: string, localIndex: number): Command | undefined {
    const place = this.#places.get(localIndex);
    return place === undefined ? undefined : { op: this.#op(name), a: place };
  }

  #op(name: string): number {
    return constant(this.#constants, name);
  }
}
