/** Two listings of one leaf side by side: who is ahead in what. */
import { toHex } from './bytes.ts';
import type { OwnerLog } from './owner-log.ts';
import type { LogRecord } from './record.ts';
import { recordHash, recordId } from './record.ts';
import type { TreeEntry, TreeId, TreeLeaf } from './tree-wire.ts';

export const entryOf = (record: LogRecord): TreeEntry => ({
  table: record.table,
  key: record.key,
  seq: record.seq,
  hash: Number(recordHash(record) & 0xffff_ffffn),
});

/** `behind`: they list a later version, or another content of ours; `ahead`: we do, or they have nothing. */
export function judge(
  log: OwnerLog,
  ours: ReadonlyMap<string, LogRecord>,
  theirs: TreeLeaf,
): { readonly behind: TreeId[]; readonly ahead: LogRecord[] } {
  const behind: TreeId[] = [];
  const ahead: LogRecord[] = [];
  const listed = new Set<string>();
  for (const entry of theirs.entries) {
    const id = recordId(entry.table, toHex(entry.key));
    listed.add(id);
    // Perhaps a tombstone: those are in no leaf.
    const record = log.records.get(id);
    if (record?.epoch === log.epoch && record.seq > entry.seq) ahead.push(record);
    else if (record?.epoch !== log.epoch || record.seq < entry.seq || entryOf(record).hash !== entry.hash)
      behind.push(entry);
  }
  for (const [id, record] of ours) if (!listed.has(id)) ahead.push(record);
  return { behind, ahead };
}
