/**
 * Which key speaks for which name: the first that is seen is pinned, or a list says so and then only that counts.
 *
 * A pin also holds the lowest epoch that is still believed. It rises with each run of the owner and with its good-bye, and
 * is kept on disk by the caller (`pins`, `version`), so that recorded traffic of an earlier run means nothing after a
 * restart either. Keys that were revoked count for nobody (revocations.ts says which). Bounded: a full table gives up the pin of who has
 * not been a member for longest, and where all are members refuses names that it does not know.
 */
import { toHex } from './bytes.ts';
import { canonicalHex } from './revocation.ts';

export interface Pin {
  readonly name: string;
  /** Lower-case hex of the 32-byte public key. */
  readonly keyHex: string;
  /** Statements of an earlier epoch are void. */
  readonly minEpoch: bigint;
}

export interface ListedIdentity {
  readonly keyHex: string;
  /** May revoke others. */
  readonly isAdmin: boolean;
}

export type IdentityList = ReadonlyMap<string, ListedIdentity>;

export interface IdentityOptions {
  /** Given by the operator: then no other names or keys count. */
  readonly listed?: IdentityList | undefined;
  /** As seen in earlier runs. */
  readonly pins?: readonly Pin[];
  readonly pinsMax?: number;
}

/** Why a statement of a name does not count. */
export type Refusal = 'other-key' | 'unlisted' | 'revoked' | 'old-epoch' | 'too-many-names';

const PINS_MAX = 65_536;
/** Names and keys that were refused and are told of: in all, and of one name. */
const STRANGERS_MAX = 1_024;
const STRANGERS_OF_NAME_MAX = 4;

export class Identities {
  readonly #self: string;
  readonly #selfHex: string;
  #listed: IdentityList | undefined;
  #hasAdmins = false;
  /** The one that was set longest ago comes first. */
  readonly #pins = new Map<string, Pin>();
  readonly #max: number;
  /** In canonical form. */
  readonly #revokedKeys = new Set<string>();
  /** Rises with every change that belongs on disk. */
  version = 0;
  /** A name came with a key that is not its own, or is not listed; told once for each such pair. */
  onStranger: (name: string, keyHex: string, why: 'other-key' | 'unlisted') => void = () => {};
  readonly #strangers = new Map<string, Set<string>>();
  /** Live, or gone for less than a day: the pin of such a one is never given up. */
  isMember: (name: string) => boolean = () => true;

  constructor(self: string, selfKey: Uint8Array, options: IdentityOptions) {
    this.#self = self;
    this.#selfHex = toHex(selfKey);
    this.#max = options.pinsMax ?? PINS_MAX;
    this.setListed(options.listed);
    for (const pin of options.pins ?? []) {
      const listed = this.#listed?.get(pin.name);
      if (listed === undefined || listed.keyHex === pin.keyHex) this.#pins.set(pin.name, pin);
    }
    const own = this.#pins.get(self);
    if (own?.keyHex !== this.#selfHex)
      this.#pins.set(self, { name: self, keyHex: this.#selfHex, minEpoch: 0n });
  }

  /** Whether a statement that this key signed for this name would count; to be asked before the signature is checked. */
  check(name: string, key: Uint8Array, epoch: bigint): Refusal | undefined {
    const keyHex = toHex(key);
    const refusal = this.#judge(name, keyHex);
    if (refusal === 'other-key' || refusal === 'unlisted') this.#tell(name, keyHex, refusal);
    if (refusal !== undefined) return refusal;
    const pin = this.#pins.get(name);
    if (pin === undefined) return this.#hasRoom() ? undefined : 'too-many-names';
    return epoch < pin.minEpoch ? 'old-epoch' : undefined;
  }

  /** Whether what this key said for this name, and was taken in, counts no more. */
  isVoid(name: string, key: Uint8Array): boolean {
    return this.#judge(name, toHex(key)) !== undefined;
  }

  /** Whether nothing that this name says can count, under whatever key; never of ourselves. */
  isVoidName(name: string): boolean {
    if (name === this.#self) return false;
    if (this.#listed !== undefined && !this.#listed.has(name)) return true;
    return this.isRevoked(name);
  }

  /** A statement was checked and its signature was good. */
  accept(name: string, key: Uint8Array, epoch: bigint): void {
    const pin = this.#pins.get(name);
    const keyHex = toHex(key);
    // Another key: the operator's list has changed.
    if (pin?.keyHex !== keyHex) this.#set({ name, keyHex, minEpoch: epoch });
    else if (epoch > pin.minEpoch) this.#set({ ...pin, minEpoch: epoch });
  }

  /** The name said good-bye: what it said up to that epoch is void. */
  retire(name: string, epoch: bigint): void {
    const pin = this.#pins.get(name);
    if (pin !== undefined && pin.minEpoch <= epoch) this.#set({ ...pin, minEpoch: epoch + 1n });
  }

  /** Whether all that the name said up to that epoch is void, by its own word. */
  isRetired(name: string, epoch: bigint): boolean {
    return (this.#pins.get(name)?.minEpoch ?? 0n) > epoch;
  }

  keyOf(name: string): string | undefined {
    return this.#listed?.get(name)?.keyHex ?? this.#pins.get(name)?.keyHex;
  }

  get listed(): IdentityList | undefined {
    return this.#listed;
  }

  /** From now on only these names and keys count; undefined: whatever was seen first. */
  setListed(listed: IdentityList | undefined): void {
    this.#listed = listed;
    this.#hasAdmins = listed !== undefined && [...listed.values()].some(({ isAdmin }) => isAdmin);
    // What was refused may be listed now, and is told of again if it is not.
    this.#strangers.clear();
  }

  /** Whether this name and key may revoke others: any may, or, where there is a list, those on it; if it has admins, they. */
  mayRevoke(name: string, keyHex: string): boolean {
    if (this.#listed === undefined) return true;
    const listed = this.#listed.get(name);
    return listed?.keyHex === keyHex && (listed.isAdmin || !this.#hasAdmins);
  }

  /** Sets a key that counts for nothing. */
  setRevoked(keyHex: string, isRevoked: boolean): void {
    if (isRevoked) this.#revokedKeys.add(canonicalHex(keyHex));
    else this.#revokedKeys.delete(canonicalHex(keyHex));
  }

  isRevokedKey(keyHex: string): boolean {
    return this.#revokedKeys.size > 0 && this.#revokedKeys.has(canonicalHex(keyHex));
  }

  isRevoked(name: string): boolean {
    if (this.#revokedKeys.size === 0) return false;
    const keyHex = this.keyOf(name);
    return keyHex !== undefined && this.isRevokedKey(keyHex);
  }

  /** The key that speaks for a name; undefined when none is known, or when it is revoked. */
  usableKeyOf(name: string): string | undefined {
    return this.isVoidName(name) ? undefined : this.keyOf(name);
  }

  /** Forgets a name's key, so that the next one is pinned. False when it is not known under it, or listed, or ours. */
  forget(name: string, keyHex: string): boolean {
    if (name === this.#self || this.#listed?.has(name) === true) return false;
    const pin = this.#pins.get(name);
    if (pin === undefined || canonicalHex(pin.keyHex) !== canonicalHex(keyHex)) return false;
    this.#pins.delete(name);
    this.#strangers.delete(name);
    this.version++;
    return true;
  }

  pins(): Iterable<Pin> {
    return this.#pins.values();
  }

  /** Keys that a name came with and that were refused. */
  strangers(): ReadonlyMap<string, ReadonlySet<string>> {
    return this.#strangers;
  }

  #judge(name: string, keyHex: string): Exclude<Refusal, 'old-epoch' | 'too-many-names'> | undefined {
    if (this.isRevokedKey(keyHex)) return 'revoked';
    if (this.#listed !== undefined && !this.#listed.has(name)) return 'unlisted';
    return (this.keyOf(name) ?? keyHex) === keyHex ? undefined : 'other-key';
  }

  #set(pin: Pin): void {
    if (!this.#pins.delete(pin.name) && this.#pins.size >= this.#max) {
      const absent = this.#absent();
      if (absent !== undefined) this.#pins.delete(absent);
    }
    this.#pins.set(pin.name, pin);
    this.version++;
  }

  #hasRoom(): boolean {
    return this.#pins.size < this.#max || this.#absent() !== undefined;
  }

  #absent(): string | undefined {
    for (const name of this.#pins.keys()) if (name !== this.#self && !this.isMember(name)) return name;
    return undefined;
  }

  #tell(name: string, keyHex: string, why: 'other-key' | 'unlisted'): void {
    let keys = this.#strangers.get(name);
    if (keys === undefined) {
      if (this.#strangers.size >= STRANGERS_MAX) return;
      keys = new Set();
      this.#strangers.set(name, keys);
    }
    if (keys.has(keyHex) || keys.size >= STRANGERS_OF_NAME_MAX) return;
    keys.add(keyHex);
    this.onStranger(name, keyHex, why);
  }
}
