/**
 * What the control plane has commanded, as rows: a worker that starts late (after a trap) gets the same tables.
 *
 * Only commanded rows; what workers learn themselves is learnt again from traffic.
 */
import type { TableChange } from './dataplane.ts';

export class TableMirror {
  readonly #networks = new Map<number, TableChange>();
  readonly #peers = new Map<number, TableChange>();
  /** The rest by network, then by a key inside it: floods, forwarding rows, neighbours. */
  readonly #rows = new Map<number, Map<string, TableChange>>();

  apply(change: TableChange): void {
    switch (change.op) {
      case 'network-put':
        this.#networks.set(change.network, change);
        break;
      case 'network-del':
        this.#networks.delete(change.network);
        this.#rows.delete(change.network);
        break;
      case 'peer-put':
        this.#peers.set(change.peer, change);
        break;
      case 'peer-del':
        this.#peers.delete(change.peer);
        this.#dropRowsOfPeer(change.peer);
        break;
      case 'flood-put':
      case 'flood-del':
        this.#set(change.network, `flood ${change.peer}`, change.op === 'flood-put' ? change : undefined);
        break;
      case 'fdb-put':
      case 'fdb-del':
        this.#set(change.network, `fdb ${change.mac}`, change.op === 'fdb-put' ? change : undefined);
        break;
      case 'neighbour-put':
      case 'neighbour-del':
        this.#set(
          change.network,
          `neighbour ${change.ip}`,
          change.op === 'neighbour-put' ? change : undefined,
        );
        break;
    }
  }

  /** Every row, what others refer to first. */
  *rows(): Generator<TableChange> {
    yield* this.#networks.values();
    yield* this.#peers.values();
    for (const rows of this.#rows.values()) yield* rows.values();
  }

  #set(network: number, key: string, change: TableChange | undefined): void {
    let rows = this.#rows.get(network);
    if (change === undefined) {
      rows?.delete(key);
      return;
    }
    if (rows === undefined) this.#rows.set(network, (rows = new Map()));
    rows.set(key, change);
  }

  /** As the core does on OP_PEER_DEL. */
  #dropRowsOfPeer(peer: number): void {
    for (const rows of this.#rows.values()) {
      for (const [key, row] of rows) {
        if ((row.op === 'fdb-put' || row.op === 'flood-put') && row.peer === peer) rows.delete(key);
      }
    }
  }
}
