/**
 * The body of TREE (gossip.md 7.4, kind 6): id, scope, owner, epoch, then what the level says.
 *
 *   0 1 2  nodes   n × (index, 16 × u64): sums of the 16 children of each node
 *   3      leaves  n × (leaf, m × (table u8, key, seq, u32 of the record's hash)): all live records of each leaf
 *   4      ids     n × (table u8, key): "what do you have there?"
 *
 * Several nodes share a message, where the sketch in gossip.md has one each.
 */
import type { ByteReader, ByteWriter } from './bytes.ts';
import { WireError } from './bytes.ts';
import type { LogName } from './messages.ts';
import { KEY_MAX_BYTES } from './record.ts';

export const TREE_FANOUT = 16;
export const TREE_LEAVES = 4_096;
/** Keys in one message: what whoever comes with more would have us do is not worth it. */
export const TREE_KEYS_MAX = 8_192;
const LEVEL = { leaves: 3, ids: 4 } as const;

export interface TreeNode {
  readonly index: number;
  /** Of its 16 children. */
  readonly hashes: readonly bigint[];
}

export interface TreeId {
  readonly table: number;
  readonly key: Uint8Array;
}

export interface TreeEntry extends TreeId {
  readonly seq: number;
  /** Low half of the record's hash: enough to tell two contents of one version apart. */
  readonly hash: number;
}

export interface TreeLeaf {
  readonly leaf: number;
  readonly entries: readonly TreeEntry[];
}

export type TreePart =
  | { readonly level: number; readonly nodes: readonly TreeNode[] }
  | { readonly leaves: readonly TreeLeaf[] }
  | { readonly ids: readonly TreeId[] };

export interface TreeMessage extends LogName {
  /** Given by who began; the same in all messages of one comparison. */
  readonly id: number;
  readonly part: TreePart;
}

export function writeTree(out: ByteWriter, { id, scope, owner, epoch, part }: TreeMessage): ByteWriter {
  out.varint(id).varint(scope).text(owner).varint64(epoch);
  if ('nodes' in part) {
    out.u8(part.level).varint(part.nodes.length);
    for (const { index, hashes } of part.nodes) {
      out.varint(index);
      for (const hash of hashes) out.u64(hash);
    }
  } else if ('leaves' in part) {
    out.u8(LEVEL.leaves).varint(part.leaves.length);
    for (const { leaf, entries } of part.leaves) {
      out.varint(leaf).varint(entries.length);
      for (const { table, key, seq, hash } of entries) out.u8(table).bytes(key).varint(seq).u32(hash);
    }
  } else {
    out.u8(LEVEL.ids).varint(part.ids.length);
    for (const { table, key } of part.ids) out.u8(table).bytes(key);
  }
  return out;
}

/** What follows the log's name; keys are copies. Throws WireError. */
export function readTreePart(r: ByteReader): TreePart {
  const level = r.u8();
  if (level < LEVEL.leaves) {
    const width = TREE_FANOUT ** level;
    const nodes = readList(r, 1 + 8 * TREE_FANOUT, () => ({
      index: r.varint(width - 1),
      hashes: Array.from({ length: TREE_FANOUT }, () => r.u64()),
    }));
    if (nodes.length > width) throw new WireError('more nodes than the level has');
    return { level, nodes };
  }
  if (level === LEVEL.leaves) {
    let keys = 0;
    const leaves = readList(r, 2, () => {
      const leaf = r.varint(TREE_LEAVES - 1);
      const entries = readList(r, 7, () => ({ ...readId(r), seq: r.varint(), hash: r.u32() }));
      keys += entries.length;
      if (keys > TREE_KEYS_MAX) throw new WireError('too many keys');
      return { leaf, entries };
    });
    return { leaves };
  }
  if (level === LEVEL.ids) return { ids: readList(r, 2, () => readId(r)) };
  throw new WireError('no such level');
}

function readId(r: ByteReader): TreeId {
  return { table: r.u8(), key: r.bytes(KEY_MAX_BYTES).slice() };
}

/** The count is believed only as far as the bytes go. */
function readList<T>(r: ByteReader, entryBytes: number, entry: () => T): T[] {
  const count = r.varint();
  if (count > TREE_KEYS_MAX || count * entryBytes > r.left)
    throw new WireError('list longer than its message');
  return Array.from({ length: count }, entry);
}
