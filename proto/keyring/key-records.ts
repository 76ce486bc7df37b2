import type { Rng } from '../env.ts';
import type { KeyPlan } from './key-plan.ts';
import type { Keyring } from './keyring.ts';
import { WRAPS_MAX, encodeOperation } from './operation.ts';
import type { KeyOperation } from './operation.ts';
import type { KeyHolder } from './recent-primaries.ts';
import type { SecretKey } from './secret-key.ts';
import { wrapKey } from './wrap.ts';
import type { KeyringCrypto } from './wrap.ts';

/**
 * Our part of the plan in the cluster's state: operations that were ordered here, and those whose host has gone for good.
 *
 * A key is wrapped for each key that an operator gave, so that who holds only one of these can take it in.
 */
export interface KeyringRecord {
  readonly owner: string;
  /** The record's key as hex. */
  readonly fingerprint: string;
  readonly value: Uint8Array;
}

/** `value` undefined: take the record back. */
export interface RecordWrite {
  readonly fingerprint: string;
  readonly value: Uint8Array | undefined;
}

interface Found {
  readonly record: KeyringRecord;
  readonly operation: KeyOperation;
}

interface KeyRecordsOptions {
  readonly self: string;
  readonly rng: Rng;
  readonly crypto: KeyringCrypto;
}

export class KeyRecords {
  readonly #keyring: Keyring;
  readonly #plan: KeyPlan;
  readonly #options: KeyRecordsOptions;
  readonly #mine = new Set<string>();

  constructor(keyring: Keyring, plan: KeyPlan, options: KeyRecordsOptions) {
    this.#keyring = keyring;
    this.#plan = plan;
    this.#options = options;
  }

  isMine(fingerprint: string): boolean {
    return this.#mine.has(fingerprint);
  }

  claim(fingerprint: string): void {
    this.#mine.add(fingerprint);
  }

  /** Somebody else has said something later. */
  disclaim(fingerprint: string): void {
    this.#mine.delete(fingerprint);
  }

  /** The key is no more, and there is nothing to be told of it. */
  release(fingerprint: string): void {
    this.#mine.delete(fingerprint);
    this.#plan.forget(fingerprint);
  }

  /** `live` is given once we have been here long enough to judge what others have not said. */
  writes(found: readonly Found[], live: readonly KeyHolder[] | undefined): RecordWrite[] {
    const own = new Map<string, KeyOperation>();
    const told = new Map<string, number>();
    for (const { record, operation } of found) {
      told.set(record.fingerprint, Math.max(told.get(record.fingerprint) ?? 0, operation.stamp));
      if (record.owner === this.#options.self) own.set(record.fingerprint, operation);
    }
    if (live !== undefined) this.#adopt(told, live);
    return [...this.#outdated(own), ...this.#wanted(own)];
  }

  /** What nobody says any more is said by the first by name of those who hold the key. */
  #adopt(told: ReadonlyMap<string, number>, live: readonly KeyHolder[]): void {
    for (const [fingerprint, { stamp, action }] of this.#plan.all) {
      if ((told.get(fingerprint) ?? 0) >= stamp || action === 'remove') continue;
      if (this.#keyring.find(fingerprint) === undefined) continue;
      const isFirst = live.every(({ name, keys }) => {
        return name > this.#options.self || !keys.includes(fingerprint);
      });
      if (isFirst) this.#mine.add(fingerprint);
    }
  }

  /** Somebody else has said something later, or the key is gone. */
  *#outdated(own: ReadonlyMap<string, KeyOperation>): Generator<RecordWrite> {
    for (const [fingerprint, { stamp }] of own) {
      const planned = this.#plan.get(fingerprint);
      if (planned?.stamp === stamp) this.#mine.add(fingerprint);
      else if (!this.#mine.has(fingerprint)) yield { fingerprint, value: undefined };
    }
  }

  *#wanted(own: ReadonlyMap<string, KeyOperation>): Generator<RecordWrite> {
    for (const fingerprint of this.#mine) {
      const planned = this.#plan.get(fingerprint);
      const key = this.#keyring.find(fingerprint);
      if (planned === undefined || (planned.action !== 'remove' && key === undefined)) continue;
      const written = own.get(fingerprint);
      const under = planned.action === 'remove' ? [] : this.#wrappersOf(fingerprint);
      const isSaid =
        written !== undefined &&
        written.stamp === planned.stamp &&
        written.action === planned.action &&
        under.every(({ fingerprint: name }) => written.wraps.some((wrap) => wrap.under === name));
      if (isSaid) continue;
      const { crypto, rng } = this.#options;
      const wraps = key === undefined ? [] : under.map((holder) => wrapKey(crypto, rng, key, holder));
      yield { fingerprint, value: encodeOperation({ ...planned, wraps }) };
    }
  }

  /** Keys that operators gave and that stay; without any other, the primary. */
  #wrappersOf(fingerprint: string): SecretKey[] {
    const given = this.#keyring.keys.filter((key) => {
      const name = key.fingerprint;
      return (
        name !== fingerprint && this.#keyring.originOf(name) !== 'rotated' && !this.#plan.isRemoved(name)
      );
    });
    const { primary } = this.#keyring;
    if (given.length > 0) return given.slice(0, WRAPS_MAX);
    return primary.fingerprint === fingerprint ? [] : [primary];
  }
}
