/** What this host says in its records of a pool, and what of that has changed since it was said last. */
import type { EstateRecord, WardRecord, WardStatus } from './estate.ts';
import type { Holding, Ward } from './holding.ts';
import { encodeEstateRecord, encodeWardRecord, wardKey } from './records.ts';

/** `value` undefined: take the record back. */
export interface RecordWrite {
  readonly table: 'estate' | 'ward';
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

export class Publication {
  readonly #holding: Holding;
  readonly #pool: Uint8Array;
  #estate: EstateRecord | undefined;
  /** By ward. */
  readonly #words = new Map<string, WardRecord>();

  constructor(holding: Holding, pool: Uint8Array) {
    this.#holding = holding;
    this.#pool = pool;
  }

  /** To be called when all that it says is on disk. */
  take(now: number, freeBits: number): RecordWrite[] {
    const { family } = this.#holding.options;
    const writes: RecordWrite[] = [];
    const record = this.#holding.record(freeBits);
    if (!isSame(record, this.#estate)) {
      this.#estate = record;
      writes.push({ table: 'estate', key: this.#pool, value: encodeEstateRecord(record, family) });
    }
    for (const name of new Set([...this.#words.keys(), ...this.#holding.wards.keys()])) {
      const ward = this.#holding.wards.get(name);
      const word = ward && wordTo(now, this.#holding, name, ward);
      if (isSame(word, this.#words.get(name))) continue;
      if (word === undefined) this.#words.delete(name);
      else this.#words.set(name, word);
      const value = word && encodeWardRecord(word, family);
      writes.push({ table: 'ward', key: wardKey(this.#pool, name), value });
    }
    return writes;
  }
}

/**
 * Parts are never changed in place, so that comparing them by identity misses nothing. Who the guardian is depends on its life,
 * and with a new one all wards are gone.
 */
function isSame<T extends EstateRecord | WardRecord>(a: T | undefined, b: T | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (Object.keys(a) as (keyof T)[]).every((part) => part === 'guardian' || a[part] === b[part]);
}

/** What we say to a ward; nothing while what we give it does not count yet. */
function wordTo(now: number, holding: Holding, name: string, ward: Ward): WardRecord | undefined {
  const { lineage } = holding;
  if (lineage === undefined || (!ward.isRegistered && ward.fromRev > holding.noted)) return undefined;
  const { session, life, beat, isWanted, estate } = ward;
  const status = statusOf(holding, name, ward);
  // Whoever may have been taken over has a copy that may be old, most of all of the one that took it over.
  if (status === 'restore' && ward.isRegistered && !holding.isValid(now)) return undefined;
  const copy = status === 'noted' ? undefined : estate;
  const guardian = holding.asGuardian;
  return {
    ward: name,
    status,
    session,
    life,
    lineage,
    guardian,
    beat,
    isWanted,
    rev: estate.rev,
    estate: copy,
  };
}

function statusOf(holding: Holding, name: string, ward: Ward): WardStatus {
  if (ward.isPromised) return 'promised';
  // Its life is offered no more, whatever becomes of the one that it lives now.
  if (ward.isOver) return 'noted';
  if (!ward.isRegistered) return 'restore';
  const record = holding.peers.get(name)?.estate;
  if (record === undefined || record.session !== ward.session) return 'noted';
  return record.life === 0 || record.estate.rev < ward.estate.rev ? 'restore' : 'noted';
}
