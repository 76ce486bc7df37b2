import type { Address, Rng } from '../env.ts';
import type { Keyring } from '../keyring/keyring.ts';
import type { SecretKey } from '../keyring/secret-key.ts';
import { SEAL_OVERHEAD_BYTES, openBlock } from '../memberlist/sealed-block.ts';
import type { Aead, Opener, Sealer } from '../memberlist/sealed-block.ts';
import type { StreamParserOptions } from '../memberlist/stream-parser.ts';
import { WireError } from '../memberlist/wire-error.ts';
import type { Counts, Fifo } from './context.ts';
import { FloodGuard } from './flood-guard.ts';
import type { SwimEvent } from './interface.ts';
import type { MemberTable } from './member-table.ts';
import { addressKey } from './peer.ts';

/**
 * Which key seals what goes to whom, and what of that which comes is let in (gossip.md 1.7, 4).
 *
 * A member is sent the first key of our order that it is known to hold: by the fingerprints that it announces, or, for
 * members of other kinds, by the key of the last thing it sent. Of whom nothing is known gets the base key (keyring.ts).
 * So any order of rotation loses nothing. What cannot be opened is counted and never answered.
 */
export type SealingMode =
  /** Nothing in clear is taken or sent. */
  | 'required'
  /** Takes both; sends sealed to who is known to hold a key. For turning sealing on in a cluster that runs. */
  | 'transition';

export interface SealingDeps {
  readonly aead: Aead;
  /** Shared with who rotates it: changes count at once. */
  readonly keyring: Keyring;
  readonly mode: SealingMode;
  /** Fingerprints that a member with this meta announces; undefined for members that do not announce any. */
  readonly announcedKeys: (meta: Uint8Array) => readonly string[] | undefined;
}

interface SealingParts {
  readonly rng: Rng;
  readonly counts: Counts;
  readonly events: Fifo<SwimEvent>;
  readonly table: MemberTable;
  readonly label: Uint8Array;
  /** Members that can be remembered. */
  readonly maxMembers: number;
}

const NO_BYTES = new Uint8Array(0);
/** One line for an operator per this time, however many packets. */
const TELL_EVERY_MS = 60_000;

export class Sealing {
  readonly overheadBytes = SEAL_OVERHEAD_BYTES;
  readonly #deps: SealingDeps;
  readonly #parts: SealingParts;
  /** Of packets alone: their sender can be forged, and must not cut the streams of that host off (StreamGate). */
  readonly #packetFloods = new FloodGuard();
  /** Fingerprint of the key of the last packet or stream of each address that proved to have one. */
  readonly #lastKeys = new Map<string, string>();
  /** The choice for a meta, as long as the ring stays. */
  readonly #choices = new WeakMap<Uint8Array, { version: number; key: SecretKey | undefined }>();
  #untold = 0;
  #toldMs = -Infinity;

  constructor(deps: SealingDeps, parts: SealingParts) {
    this.#deps = deps;
    this.#parts = parts;
    // A counter that is watched for growth must be there before it grows.
    for (const reason of ['packet-undecryptable', 'stream-undecryptable'])
      parts.counts.add(`drop:${reason}`, 0);
  }

  get isRequired(): boolean {
    return this.#deps.mode === 'required';
  }

  /** undefined: in clear. */
  sealerFor(to: Address): Sealer | undefined {
    const key = this.#keyFor(to);
    return key === undefined ? this.#inClear() : this.sealerWith(key);
  }

  /** For who may be a newcomer, or may have been away for long. */
  baseSealer(): Sealer {
    return this.sealerWith(this.#deps.keyring.base);
  }

  sealerWith(key: SecretKey): Sealer {
    this.#parts.counts.add('seal:out');
    return { aead: this.#deps.aead, key, version: 1, nonce: () => this.#nonce() };
  }

  /** For packets from this address. Throws WireError 'undecryptable', or 'muted' unread. */
  packetOpener(now: number, from: Address): Opener {
    return (block, aad) => {
      // A member is always read: a flood in its name must not cut it off.
      const isMember = this.#parts.table.atExactly(from) !== undefined;
      if (!isMember && this.#packetFloods.isMuted(now, from.ip))
        throw new WireError('muted', 'too much of that');
      try {
        return this.#open(block, aad, addressKey(from)).plain;
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        // Packets bear no mark of being sealed: this one may be in clear.
        if (!this.isRequired) {
          this.#parts.counts.add('seal:clear-in');
          return block;
        }
        this.#packetFloods.failed(now, from.ip);
        this.tell(now, from);
        throw error;
      }
    };
  }

  /** `peer` is the address that the other side announced, where it is known; `onKey` hears what it sealed with. */
  streamOptions(peer: Address | undefined, onKey: (key: SecretKey) => void): StreamParserOptions {
    return {
      isSealRequired: this.isRequired,
      sealLabel: this.#parts.label,
      open: (block, aad) => {
        const { plain, key } = this.#open(block, aad, peer && addressKey(peer));
        onKey(key);
        return plain;
      },
    };
  }

  /** The address of the member that a passing port of this IP belongs to, where that is clear. */
  memberAddr(from: Address): Address | undefined {
    return this.#parts.table.at(from)?.addr;
  }

  /** What came from there could not be opened; it is told of now and then. */
  tell(now: number, from: Address): void {
    this.#untold += 1;
    if (now - this.#toldMs < TELL_EVERY_MS) return;
    this.#parts.events.push({ type: 'undecryptable', addr: from, count: this.#untold });
    this.#toldMs = now;
    this.#untold = 0;
  }

  #open(block: Uint8Array, aad: Uint8Array, from: string | undefined): { plain: Uint8Array; key: SecretKey } {
    const { aead, keyring } = this.#deps;
    const opened = openBlock(aead, keyring.keys, aad, block);
    this.#parts.counts.add('seal:in');
    if (from !== undefined) this.#learn(from, opened.key.fingerprint);
    return opened;
  }

  #learn(from: string, fingerprint: string): void {
    if (this.#lastKeys.get(from) === fingerprint) return;
    this.#lastKeys.delete(from);
    this.#lastKeys.set(from, fingerprint);
    if (this.#lastKeys.size <= this.#parts.maxMembers) return;
    const [oldest] = this.#lastKeys.keys();
    if (oldest !== undefined) this.#lastKeys.delete(oldest);
  }

  #keyFor(to: Address): SecretKey | undefined {
    const { keyring } = this.#deps;
    const meta = this.#parts.table.atExactly(to)?.meta ?? NO_BYTES;
    const announced = this.#announcedOf(meta);
    if (announced !== 'unknown') return announced ?? (this.isRequired ? keyring.base : undefined);
    const last = keyring.find(this.#lastKeys.get(addressKey(to)) ?? '');
    return last ?? (this.isRequired ? keyring.base : undefined);
  }

  /** undefined: it announces none that we have. */
  #announcedOf(meta: Uint8Array): SecretKey | undefined | 'unknown' {
    const { keyring, announcedKeys } = this.#deps;
    const cached = this.#choices.get(meta);
    if (cached?.version === keyring.version) return cached.key;
    const announced = announcedKeys(meta);
    if (announced === undefined) return 'unknown';
    const key = keyring.keys.find(({ fingerprint }) => announced.includes(fingerprint));
    this.#choices.set(meta, { version: keyring.version, key });
    return key;
  }

  #nonce(): Uint8Array {
    const { rng } = this.#parts;
    return new Uint8Array(Uint32Array.of(rng.u32(), rng.u32(), rng.u32()).buffer);
  }

  #inClear(): undefined {
    this.#parts.counts.add('seal:clear-out');
    return undefined;
  }
}
