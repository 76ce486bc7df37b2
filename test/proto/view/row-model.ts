/** The data path's tables as plain maps: what a stream of row changes leaves behind. */
import type { RowChange, WantedRow } from '../../../proto/view/rows.ts';

export class RowModel {
  readonly rows = new Map<string, WantedRow>();

  /** Throws when a row comes before what it needs, or goes after what it needed. */
  apply(changes: readonly RowChange[]): void {
    for (const change of changes) this.#apply(change);
  }

  #apply(change: RowChange): void {
    switch (change.op) {
      case 'network-del':
        for (const [key, row] of this.rows) {
          if ('network' in row && row.network === change.network) this.rows.delete(key);
        }
        return;
      case 'peer-del':
        for (const row of this.rows.values()) {
          if (row.op !== 'peer-put' && 'peer' in row && row.peer === change.peer) {
            throw new Error(`peer ${change.peer} deleted under ${JSON.stringify(row)}`);
          }
        }
        this.#delete(`peer ${change.peer}`);
        return;
      case 'flood-del':
        return this.#delete(`flood ${change.network} ${change.peer}`);
      case 'fdb-del':
        return this.#delete(`fdb ${change.network} ${change.mac}`);
      case 'neighbour-del':
        return this.#delete(`neighbour ${change.network} ${change.ip}`);
      default:
        this.#put(change);
    }
  }

  #put(row: WantedRow): void {
    if ('network' in row && row.op !== 'network-put' && !this.rows.has(`network ${row.network}`)) {
      throw new Error(`row of no network: ${JSON.stringify(row)}`);
    }
    if ('peer' in row && row.op !== 'peer-put' && !this.rows.has(`peer ${row.peer}`)) {
      throw new Error(`row to no peer: ${JSON.stringify(row)}`);
    }
    this.rows.set(rowKey(row), row);
  }

  #delete(key: string): void {
    if (!this.rows.delete(key)) throw new Error(`no such row: ${key}`);
  }

  /** Sorted lines that do not depend on which index a peer got. */
  lines(): string[] {
    return canonicalLines(this.rows.values());
  }
}

export function canonicalLines(rows: Iterable<WantedRow>): string[] {
  const all = [...rows];
  const addresses = new Map<number, string>();
  for (const row of all) if (row.op === 'peer-put') addresses.set(row.peer, `${row.addr} ${row.port}`);
  const lines = all.map((row) =>
    JSON.stringify('peer' in row ? { ...row, peer: addresses.get(row.peer) ?? 'nobody' } : row),
  );
  return lines.sort();
}

function rowKey(row: WantedRow): string {
  switch (row.op) {
    case 'network-put':
      return `network ${row.network}`;
    case 'peer-put':
      return `peer ${row.peer}`;
    case 'flood-put':
      return `flood ${row.network} ${row.peer}`;
    case 'fdb-put':
      return `fdb ${row.network} ${row.mac}`;
    default:
      return `neighbour ${row.network} ${row.ip}`;
  }
}
