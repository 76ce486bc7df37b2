/**
 * Which key speaks for which name: the first that is seen is pinned, or a list says so and then only that counts.
 *
 * A pin also holds the lowest epoch that is still believed. It rises with each run of the owner and with its good-bye, and
 * is kept on disk by the caller (`pins`, `version`), so that recorded traffic of an earlier run means nothing after a
 * restart either. Bounded: a full table refuses names that it does not know.
 */
import { toHex } from './bytes.ts';

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

export interface IdentityOptions {
  /** Given by the operator: then no other names or keys count. */
  readonly listed?: ReadonlyMap<string, ListedIdentity>;
  /** As seen in earlier runs. */
  readonly pins?: readonly Pin[];
  readonly pinsMax?: number;
}

/** Why a statement of a name does not count. */
export type Refusal = 'other-key' | 'unlisted' | 'revoked' | 'old-epoch' | 'too-many-names';

const PINS_MAX = 65_536;

export class Identities {
  readonly #listed: ReadonlyMap<string, ListedIdentity> | undefined;
  readonly #pins = new Map<string, Pin>();
  readonly #max: number;
  readonly #revokedKeys = new Set<string>();
  /** Rises with every change that belongs on disk. */
  version = 0;
  /** A name came with a key that is not its own; told once for each such pair. */
  onOtherKey: (name: string, keyHex: string) => void = () => {};
  readonly #told = new Set<string>();

  constructor(self: string, selfKey: Uint8Array, options: IdentityOptions) {
    this.#listed = options.listed;
    this.#max = options.pinsMax ?? PINS_MAX;
    for (const pin of options.pins ?? []) {
      const listed = this.#listed?.get(pin.name);
      if (listed === undefined || listed.keyHex === pin.keyHex) this.#pins.set(pin.name, pin);
    }
    const keyHex = toHex(selfKey);
    const own = this.#pins.get(self);
    if (own?.keyHex !== keyHex) this.#pins.set(self, { name: self, keyHex, minEpoch: 0n });
  }

  /** Whether a statement that this key signed for this name would count; to be asked before the signature is checked. */
  check(name: string, key: Uint8Array, epoch: bigint): Refusal | undefined {
    const keyHex = toHex(key);
    const listed = this.#listed?.get(name);
    if (this.#listed !== undefined && listed === undefined) return 'unlisted';
    const pin = this.#pins.get(name);
    if ((listed?.keyHex ?? pin?.keyHex ?? keyHex) !== keyHex) {
      this.#tell(name, keyHex);
      return 'other-key';
    }
    if (this.#revokedKeys.has(keyHex)) return 'revoked';
    if (pin === undefined) return this.#pins.size >= this.#max ? 'too-many-names' : undefined;
    return epoch < pin.minEpoch ? 'old-epoch' : undefined;
  }

  /** A statement was checked and its signature was good. */
  accept(name: string, key: Uint8Array, epoch: bigint): void {
    const pin = this.#pins.get(name);
    if (pin === undefined) this.#set({ name, keyHex: toHex(key), minEpoch: epoch });
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

  /** Whether the name may revoke others: any that is pinned, or, where the list names admins, those. */
  mayRevoke(name: string): boolean {
    if (this.#listed === undefined) return this.#pins.has(name);
    const hasAdmins = [...this.#listed.values()].some(({ isAdmin }) => isAdmin);
    return this.#listed.get(name)?.isAdmin ?? !hasAdmins;
  }

  /** Sets the keys that count for nothing. */
  setRevoked(keyHex: string, isRevoked: boolean): void {
    if (isRevoked) this.#revokedKeys.add(keyHex);
    else this.#revokedKeys.delete(keyHex);
  }

  isRevoked(name: string): boolean {
    const keyHex = this.keyOf(name);
    return keyHex !== undefined && this.#revokedKeys.has(keyHex);
  }

  /** The key that speaks for a name; undefined when none is known, or when it is revoked. */
  usableKeyOf(name: string): string | undefined {
    return this.isRevoked(name) ? undefined : this.keyOf(name);
  }

  /** Forgets a name, so that its next key is pinned. False when it is not known, or listed by the operator. */
  forget(name: string): boolean {
    if (this.#listed?.has(name) === true || !this.#pins.delete(name)) return false;
    this.version++;
    return true;
  }

  pins(): Iterable<Pin> {
    return this.#pins.values();
  }

  #set(pin: Pin): void {
    this.#pins.set(pin.name, pin);
    this.version++;
  }

  #tell(name: string, keyHex: string): void {
    const key = `${name} ${keyHex}`;
    if (this.#told.has(key) || this.#told.size >= this.#max) return;
    this.#told.add(key);
    this.onOtherKey(name, keyHex);
  }
}
