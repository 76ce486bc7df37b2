/**
 * A hash tree over the live records of one log (gossip.md 7.6 step 4): 4,096 leaves, fan-out 16, three levels.
 *
 * A record's leaf goes by its key, a leaf's value is the sum of the hashes of its records, a node's the sum of its
 * children: so the root is the log's digest, and one change costs three additions. Built when first needed, kept up
 * with `replace`. Two replicas that differ in one record differ in one leaf.
 */
import type { LogRecord } from './record.ts';
import { recordHash, recordId } from './record.ts';
import type { TreeNode } from './tree-wire.ts';
import { TREE_FANOUT, TREE_LEAVES } from './tree-wire.ts';

/** Widths of the three levels below the root. */
const WIDTHS = [TREE_FANOUT, TREE_FANOUT * TREE_FANOUT, TREE_LEAVES] as const;

export class HashTree {
  readonly #levels = WIDTHS.map((width) => new BigUint64Array(width));
  readonly #leaves = new Map<number, Map<string, LogRecord>>();

  /** Costs one hash a record: 0.1 s for 100,000. */
  static of(records: Iterable<LogRecord>, epoch: bigint): HashTree {
    const tree = new HashTree();
    for (const record of records) if (record.epoch === epoch) tree.replace(undefined, record);
    return tree;
  }

  /** A record came, went, or became another; tombstones do not count. */
  replace(before: LogRecord | undefined, after: LogRecord | undefined): void {
    if (before !== undefined && !before.tombstone) {
      const leaf = leafOf(before);
      this.#add(leaf, -recordHash(before));
      this.#leaves.get(leaf)?.delete(recordId(before.table, before.keyHex));
    }
    if (after !== undefined && !after.tombstone) {
      const leaf = leafOf(after);
      this.#add(leaf, recordHash(after));
      const records = this.#leaves.get(leaf);
      const id = recordId(after.table, after.keyHex);
      if (records === undefined) this.#leaves.set(leaf, new Map([[id, after]]));
      else records.set(id, after);
    }
  }

  #add(leaf: number, hash: bigint): void {
    // Typed arrays wrap at 64 bits, as the digest does.
    let index = leaf;
    for (let level = WIDTHS.length - 1; level >= 0; level--) {
      const sums = this.#levels[level]!;
      sums[index] = sums[index]! + hash;
      index = Math.floor(index / TREE_FANOUT);
    }
  }

  /** Level 0 is the root (index 0), level 2 the parents of leaves. */
  node(level: number, index: number): TreeNode {
    const start = index * TREE_FANOUT;
    return { index, hashes: [...this.#levels[level]!.subarray(start, start + TREE_FANOUT)] };
  }

  /** Children of theirs that differ from ours: indexes one level further down. */
  unequal(level: number, theirs: TreeNode): number[] {
    const ours = this.#levels[level]!;
    const start = theirs.index * TREE_FANOUT;
    return theirs.hashes.flatMap((hash, i) => (hash === ours[start + i] ? [] : [start + i]));
  }

  /** Live records of a leaf, by id. */
  leaf(index: number): ReadonlyMap<string, LogRecord> {
    return this.#leaves.get(index) ?? NONE;
  }
}

const NONE: ReadonlyMap<string, LogRecord> = new Map();

/** FNV-1a over table and key, mixed. */
export function leafOf({ table, key }: Pick<LogRecord, 'table' | 'key'>): number {
  let hash = 0x811c9dc5 ^ table;
  for (const byte of key) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  return ((hash ^ (hash >>> 13)) >>> 0) % TREE_LEAVES;
}
