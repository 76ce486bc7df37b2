import { TABLE } from '../state/interface.ts';
import type { StateNode } from '../state/interface.ts';
import { fromHex, toHex } from '../state/bytes.ts';
import type { SwimNode } from '../swim/interface.ts';
import { decodeMeta, encodeMeta } from '../swim/meta.ts';
import type { KeyHolder } from './recent-primaries.ts';
import type { Rotation } from './rotation.ts';

/**
 * Rotation between membership and state: who holds what is read from the members' meta, the plan from the keyring records; our
 * part of the plan is written, and what we hold is announced.
 */
const EVERY_MS = 2000;

export interface RotationDriverParts {
  readonly rotation: Rotation;
  readonly swim: SwimNode;
  readonly state: StateNode;
  /** The ring changed: keep it before anybody hears of it. */
  readonly onRing: (now: number) => void;
}

export class RotationDriver {
  readonly rotation: Rotation;
  readonly #parts: RotationDriverParts;
  /** Of the ring as it was last kept. */
  #keptVersion: number;
  #nextMs = 0;

  constructor(parts: RotationDriverParts) {
    this.rotation = parts.rotation;
    this.#parts = parts;
    this.#keptVersion = parts.rotation.keyring.version;
  }

  nextDeadline(): number {
    return this.#nextMs;
  }

  /** A new key for all, as soon as may be; the wish is kept when this returns. False: rotation is off. */
  renew(now: number): boolean {
    const isOn = this.rotation.renew();
    if (isOn) this.#parts.onRing(now);
    return isOn;
  }

  /** At the deadline, and at any time in between when keys or members changed. */
  run(now: number): void {
    const { rotation, swim, state, onRing } = this.#parts;
    this.#nextMs = now + EVERY_MS;
    const records = Array.from(state.records(0, TABLE.keyring), ({ owner, key, value }) => {
      return { owner, fingerprint: toHex(key), value };
    });
    for (const { name } of state.bans()) rotation.forgetHost(name);
    const writes = rotation.step(now, { members: this.holders(), records });
    const { version, fingerprints } = rotation.keyring;
    if (version !== this.#keptVersion || writes.length > 0) onRing(now);
    this.#keptVersion = version;
    for (const { fingerprint, value } of writes) {
      const key = fromHex(fingerprint);
      if (value === undefined) state.delete(now, 0, TABLE.keyring, key);
      else state.put(now, 0, TABLE.keyring, key, value);
    }
    const meta = decodeMeta(swim.self.meta);
    if (meta === undefined || meta.keys?.join() === fingerprints.join()) return;
    swim.setMeta(now, encodeMeta({ ...meta, keys: fingerprints }));
  }

  /** The other members that are overlayd, and the keys that they announce. */
  holders(): KeyHolder[] {
    const { swim } = this.#parts;
    return swim.members().flatMap(({ name, meta, state }) => {
      const decoded = name === swim.self.name ? undefined : decodeMeta(meta);
      if (decoded === undefined) return [];
      return [{ name, isLive: state === 'alive' || state === 'suspect', keys: decoded.keys ?? [] }];
    });
  }
}
