/**
 * Good-byes: an owner's last record, signed as all its others, by which alone what it said goes at once.
 *
 * Membership is not signed: any member can say of another that it has left. So a `left` counts for no more than a death
 * until the owner's own good-bye of that epoch is here; then that epoch is void (Identities.retire), for ever. The good-bye is
 * kept, in place of the log, for those who missed it and still offer or ask for the log. Bounded: the oldest go first.
 */
import { encodeUpdate } from './messages.ts';
import type { OwnerLog } from './owner-log.ts';
import type { LogRecord } from './record.ts';
import { TABLE_GOODBYE, recordId } from './record.ts';

interface Farewell {
  readonly epoch: bigint;
  /** An UPDATE with the signed block that has the good-bye. */
  readonly bytes: Uint8Array;
}

const KEPT_MAX = 4_096;

/** Whether the record says that its owner goes. */
export const isGoodbye = ({ table, keyHex, tombstone }: LogRecord): boolean =>
  table === TABLE_GOODBYE && keyHex === '' && !tombstone;

export class Farewells {
  readonly #kept = new Map<string, Farewell>();
  /** Came in since `take`. */
  #news = new Set<OwnerLog>();

  /** A good-bye came into this log; it is acted upon when the message that brought it is done with. */
  note(log: OwnerLog): void {
    this.#news.add(log);
  }

  /** Logs that end, each once. */
  take(): Iterable<OwnerLog> {
    if (this.#news.size === 0) return [];
    const news = this.#news;
    this.#news = new Set();
    return news;
  }

  /** To be called while the log still has its records. */
  keep(log: OwnerLog): void {
    const record = log.records.get(recordId(TABLE_GOODBYE, ''));
    const block = record?.holder === undefined ? undefined : log.blocks.get(record.holder.from);
    if (block === undefined) return;
    const bytes = encodeUpdate({ ...log.signed, from: block.from, blocks: [block.toWire()] });
    this.#kept.delete(log.owner);
    this.#kept.set(log.owner, { epoch: log.epoch, bytes });
    if (this.#kept.size > KEPT_MAX) this.#kept.delete(this.#kept.keys().next().value!);
  }

  /** The name may have another key now, and another clock. */
  forget(owner: string): void {
    this.#kept.delete(owner);
  }

  /** What tells somebody that the owner is done with that epoch; undefined when we cannot show it. */
  of(owner: string, epoch: bigint): Uint8Array | undefined {
    const kept = this.#kept.get(owner);
    return kept !== undefined && kept.epoch >= epoch ? kept.bytes : undefined;
  }
}
