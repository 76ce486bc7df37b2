import type { SecretKey } from './secret-key.ts';

/**
 * The keys that a host holds (gossip.md 4): in order, the first is the primary, all of them open what comes.
 *
 * Besides, one is the base key: the newest that an operator put first, by file or by hand. Hosts of which nothing is known
 * are sent this one, because rotated keys are what a newcomer cannot have.
 */
export const RING_MAX = 16;

/** Where a key comes from: the operator's file, the operator's hand (`keyring add`), or automatic rotation. */
export type KeyOrigin = 'file' | 'hand' | 'rotated';

interface Entry {
  readonly key: SecretKey;
  readonly origin: KeyOrigin;
}

export class Keyring {
  #entries: readonly Entry[] = [];
  /** Of the entries, made once for each change: they are walked for every packet. */
  #keys: readonly SecretKey[] = [];
  #base = '';
  #version = 0;

  /** First = primary. Throws RangeError without a key. */
  constructor(keys: readonly SecretKey[], origin: KeyOrigin = 'file') {
    for (const key of keys) this.add(key, origin);
    if (this.#entries.length === 0) throw new RangeError('a keyring has at least one key');
    this.#base = this.primary.fingerprint;
  }

  /** Changes with every change of the ring: for caches. */
  get version(): number {
    return this.#version;
  }

  /** In the order in which they are tried and preferred. */
  get keys(): readonly SecretKey[] {
    return this.#keys;
  }

  get fingerprints(): readonly string[] {
    return this.#entries.map(({ key }) => key.fingerprint);
  }

  get primary(): SecretKey {
    return (this.#entries[0] as Entry).key;
  }

  get base(): SecretKey {
    return this.find(this.#base) ?? this.primary;
  }

  find(fingerprint: string): SecretKey | undefined {
    return this.#entries.find(({ key }) => key.fingerprint === fingerprint)?.key;
  }

  originOf(fingerprint: string): KeyOrigin | undefined {
    return this.#entries.find(({ key }) => key.fingerprint === fingerprint)?.origin;
  }

  /** At the end of the ring. False when it is there already, or the ring is full. */
  add(key: SecretKey, origin: KeyOrigin): boolean {
    if (this.find(key.fingerprint) !== undefined || this.#entries.length >= RING_MAX) return false;
    this.#set([...this.#entries, { key, origin }]);
    return true;
  }

  /** Makes it the primary. False when it is not there. */
  use(fingerprint: string): boolean {
    const entry = this.#entries.find(({ key }) => key.fingerprint === fingerprint);
    if (entry === undefined) return false;
    if (entry.origin !== 'rotated') this.#base = fingerprint;
    if (entry !== this.#entries[0]) this.#set([entry, ...this.#entries.filter((other) => other !== entry)]);
    return true;
  }

  /** False for the primary, and when it is not there. */
  remove(fingerprint: string): boolean {
    if (this.primary.fingerprint === fingerprint || this.find(fingerprint) === undefined) return false;
    this.#set(this.#entries.filter(({ key }) => key.fingerprint !== fingerprint));
    if (this.#base === fingerprint) {
      const next = this.#entries.find(({ origin }) => origin !== 'rotated') ?? this.#entries[0];
      this.#base = (next as Entry).key.fingerprint;
    }
    return true;
  }

  #set(entries: readonly Entry[]): void {
    this.#entries = entries;
    this.#keys = entries.map(({ key }) => key);
    this.#version += 1;
  }
}
