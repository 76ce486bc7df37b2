import { TABLE } from '../../proto/state/interface.ts';
import { toHex } from '../../proto/state/bytes.ts';
import { below } from '../../proto/rng.ts';
import type { SeededRng } from '../../proto/rng.ts';
import type { SimNode } from './sim-node.ts';
import { VNI } from './state-layer.ts';
import { stormLayerOf } from './storm-host.ts';

/**
 * What the applications on all hosts truly said, told apart from what replicas make of it: each write has a number of its
 * own, rising for ever, so that a replica's record can be judged without a look at versions.
 */
const KEYS = 5;
const VALUE_BYTES = 4;

export class Truth {
  /** Numbers that were ever written, by "owner keyHex". */
  readonly #said = new Map<string, Set<number>>();
  /** What stands, by owner: keyHex → number. */
  readonly #live = new Map<string, Map<string, number>>();
  /** Application's memory of keys, which outlives its host's restarts. */
  #serial = 0;

  liveOf(owner: string): ReadonlyMap<string, number> {
    return this.#live.get(owner) ?? new Map<string, number>();
  }

  wasSaid(owner: string, keyHex: string, serial: number): boolean {
    return this.#said.get(`${owner} ${keyHex}`)?.has(serial) === true;
  }

  isLive(owner: string, keyHex: string, serial: number): boolean {
    return this.#live.get(owner)?.get(keyHex) === serial;
  }

  /** The application on a host writes or deletes one of its keys. */
  act(node: SimNode, rng: SeededRng): void {
    const key = Uint8Array.of(0x6b, below(rng, KEYS));
    const isDelete = below(rng, 3) === 0;
    node.do((_swim, now) => {
      const { state } = stormLayerOf(node);
      const keyHex = toHex(key);
      const live = this.#own(node.name);
      if (isDelete) {
        if (live.delete(keyHex)) state.delete(now, VNI, TABLE.service, key);
        return;
      }
      this.#serial += 1;
      const value = new Uint8Array(VALUE_BYTES);
      new DataView(value.buffer).setUint32(0, this.#serial);
      state.put(now, VNI, TABLE.service, key, value);
      live.set(keyHex, this.#serial);
      const said = this.#said.get(`${node.name} ${keyHex}`);
      if (said === undefined) this.#said.set(`${node.name} ${keyHex}`, new Set([this.#serial]));
      else said.add(this.#serial);
    });
  }

  /** The host begins a new life, in which it has said nothing yet. */
  restarted({ name }: SimNode): void {
    this.#live.delete(name);
  }

  #own(owner: string): Map<string, number> {
    let live = this.#live.get(owner);
    if (live === undefined) this.#live.set(owner, (live = new Map()));
    return live;
  }
}

/** undefined: not of that form. */
export function serialOf(value: Uint8Array): number | undefined {
  if (value.length !== VALUE_BYTES) return undefined;
  return new DataView(value.buffer, value.byteOffset).getUint32(0);
}
