/**
 * What makes a record its owner's: primitives as interfaces, and the bytes that are signed.
 *
 * Every statement is Ed25519 (RFC 8032) over a domain of its own, so that none can be taken for another:
 *
 *   block      "overlayd block 1" 0 · scope u32 · owner · epoch u64 · from u64 · to u64 · digest u64 · n × 16-byte hash
 *   snapshot   "overlayd snapshot 1" 0 · scope u32 · owner · epoch u64 · to u64 · 16-byte hash of what is live
 *
 * Texts carry a varint length; all else has a fixed width. A record's hash is over its canonical form (record.ts).
 */
import { ByteWriter } from './bytes.ts';

export const KEY_BYTES = 32;
export const SIGNATURE_BYTES = 64;
export const HASH_BYTES = 16;

/** This host's identity. */
export interface Signer {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 64 bytes. */
  sign(bytes: Uint8Array): Uint8Array;
}

export interface Verifier {
  /** False for whatever is not a good signature, bad keys included. */
  verify(publicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array): boolean;
  /** 16 bytes of a cryptographic hash. */
  hash(bytes: Uint8Array): Uint8Array;
}

interface Name {
  readonly scope: number;
  readonly owner: string;
  readonly epoch: bigint;
}

/** What a block says beside its records. */
export interface BlockHead {
  /** It says all that was current in from < seq <= to when it was signed. */
  readonly from: number;
  readonly to: number;
  /** Digest of the whole log for whoever has all up to `to` and nothing above. */
  readonly digest: bigint;
}

const begin = (domain: string, { scope, owner, epoch }: Name, capacity: number): ByteWriter =>
  new ByteWriter(capacity).text(`overlayd ${domain} 1\0`).u32(scope).text(owner).u64(epoch);

/** `hashes`: n × 16 bytes, one for each record in the order of the block. */
export const blockStatement = (name: Name, head: BlockHead, hashes: Uint8Array): Uint8Array =>
  begin('block', name, 320 + hashes.length)
    .u64(BigInt(head.from))
    .u64(BigInt(head.to))
    .u64(head.digest)
    .raw(hashes)
    .finish();

/** `live`: see SnapshotList. */
export const snapshotStatement = (name: Name, to: number, live: Uint8Array): Uint8Array =>
  begin('snapshot', name, 320).u64(BigInt(to)).raw(live).finish();

/** The list of live sequence numbers of a snapshot, hashed chunk by chunk as both ends see them. */
export class SnapshotList {
  readonly #verifier: Verifier;
  #hash: Uint8Array = new Uint8Array(HASH_BYTES);

  constructor(verifier: Verifier) {
    this.#verifier = verifier;
  }

  get hash(): Uint8Array {
    return this.#hash;
  }

  addChunk(to: number, live: readonly { readonly seq: number }[]): void {
    const out = new ByteWriter(64 + live.length * 4).raw(this.#hash).varint(to);
    for (const { seq } of live) out.varint(seq);
    this.#hash = this.#verifier.hash(out.finish());
  }
}

export const isSameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i]);
