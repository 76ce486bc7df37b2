/**
 * Peer indexes: one small stable integer for each underlay endpoint (address, port), shared by all that stand there.
 *
 * Two owners at one address (a host that was replaced under another name) share the index; it goes with the last of
 * them. Freed indexes are given out again oldest first, so that a late counter or event rarely meets a new holder.
 */
import type { PeerRow, RowChange } from './rows.ts';

interface Entry {
  row: PeerRow;
  holders: number;
  learners: number;
}

/** 0 is left out: it is nobody's index. */
const FIRST_PEER = 1;

export class PeerTable {
  readonly #max: number;
  readonly #maxPayload: number;
  readonly #emit: (change: RowChange) => void;
  readonly #entries = new Map<number, Entry>();
  readonly #byAddress = new Map<string, number>();
  readonly #freed: number[] = [];
  #next = FIRST_PEER;

  constructor(max: number, maxPayload: number, emit: (change: RowChange) => void) {
    this.#max = max;
    this.#maxPayload = maxPayload;
    this.#emit = emit;
  }

  /** The index for the address, with one holder more; undefined when the table is full. */
  acquire(addr: string, port: number, learn: boolean): number | undefined {
    const address = `${addr} ${port}`;
    const known = this.#byAddress.get(address);
    if (known !== undefined) {
      const entry = this.#entries.get(known)!;
      entry.holders++;
      if (learn) entry.learners++;
      this.#refreshLearn(entry);
      return known;
    }
    if (this.#entries.size >= this.#max) return undefined;
    const peer = this.#next < FIRST_PEER + this.#max ? this.#next++ : this.#freed.shift()!;
    const row = { peer, addr, port, maxPayload: this.#maxPayload, learn };
    this.#entries.set(peer, { row, holders: 1, learners: learn ? 1 : 0 });
    this.#byAddress.set(address, peer);
    this.#emit({ op: 'peer-put', ...row });
    return peer;
  }

  /** Gives one hold back; rows that point to the peer must be gone or moved before the last one goes. */
  release(peer: number, learn: boolean): void {
    const entry = this.#entries.get(peer)!;
    entry.holders--;
    if (learn) entry.learners--;
    if (entry.holders > 0) {
      this.#refreshLearn(entry);
      return;
    }
    this.#entries.delete(peer);
    this.#byAddress.delete(`${entry.row.addr} ${entry.row.port}`);
    this.#freed.push(peer);
    this.#emit({ op: 'peer-del', peer });
  }

  /** What reaches a peer unfragmented is more, or less, than was thought. */
  setMaxPayload(peer: number, maxPayload: number): void {
    const entry = this.#entries.get(peer);
    if (entry === undefined || entry.row.maxPayload === maxPayload) return;
    entry.row = { ...entry.row, maxPayload };
    this.#emit({ op: 'peer-put', ...entry.row });
  }

  row(peer: number): PeerRow | undefined {
    return this.#entries.get(peer)?.row;
  }

  *rows(): Generator<PeerRow> {
    for (const entry of this.#entries.values()) yield entry.row;
  }

  #refreshLearn(entry: Entry): void {
    const learn = entry.learners > 0;
    if (entry.row.learn === learn) return;
    entry.row = { ...entry.row, learn };
    this.#emit({ op: 'peer-put', ...entry.row });
  }
}
