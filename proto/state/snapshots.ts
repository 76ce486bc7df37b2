/**
 * Snapshots that are coming in (gossip.md 7.6 step 3), one a log, chunk by chunk.
 *
 * Each chunk goes over a connection of its own, so a short one may overtake a long one: what comes early is kept until the chunk
 * before it is there. Chunks of two senders may mix: what they list is then not what the owner signed, and nothing is deleted
 * by it. Bounded: logs, early chunks of one and of all, records that are to be mended.
 */
import type { HeldBlock } from './block.ts';
import type { Counters } from './counters.ts';
import type { OwnerLog } from './owner-log.ts';
import type { LogRecord } from './record.ts';
import { recordHash, recordId } from './record.ts';
import type { Verifier } from './signing.ts';
import { SnapshotList } from './signing.ts';

/** What is current of a log in (from, to]. */
export interface Chunk {
  readonly from: number;
  readonly to: number;
  /** Live records, with the verified blocks that they came in. */
  readonly blocks: readonly { readonly held: HeldBlock; readonly records: readonly LogRecord[] }[];
  readonly isLast: boolean;
  /** With the last chunk of the owner's own: its signature under what all of them list. */
  readonly manifest: Uint8Array | undefined;
}

export interface Incoming {
  readonly mark: number;
  readonly upTo: number;
  /** What it lists as live, for the owner's signature under it. */
  readonly list: SnapshotList;
  /** Records under sequences that we had covered and yet do not have: taken when the snapshot is whole. */
  readonly repairs: readonly { readonly record: LogRecord; readonly held: HeldBlock }[];
}

/** All chunks of it are here. */
export interface Whole extends Incoming {
  readonly manifest: Uint8Array | undefined;
}

interface Session extends Incoming {
  readonly mark: number;
  upTo: number;
  lastMs: number;
  readonly list: SnapshotList;
  readonly repairs: { readonly record: LogRecord; readonly held: HeldBlock }[];
  /** By where they begin. */
  readonly early: Map<number, Chunk>;
}

const PATIENCE_MS = 60_000;
const STALL_MS = 3_000;
const LOGS_MAX = 64;
/** Early chunks of one log, some 32 KiB each: a sender's burst has eight, and goes on while a lost segment is sent again. */
const EARLY_OF_LOG_MAX = 32;
const EARLY_MAX = 256;
/** In all snapshots that are coming in: one log that is wrong from end to end. */
const REPAIRS_MAX = 131_072;

export class Snapshots {
  readonly #verifier: Verifier;
  readonly #counters: Counters;
  readonly #sessions = new Map<OwnerLog, Session>();
  #marks = 0;

  constructor(verifier: Verifier, counters: Counters) {
    this.#verifier = verifier;
    this.#counters = counters;
  }

  /** Takes in a chunk whose records the log has been given; the snapshot, once it is whole. */
  add(now: number, log: OwnerLog, chunk: Chunk): Whole | undefined {
    const session = this.#session(now, log, chunk);
    session.lastMs = now;
    if (chunk.from !== session.upTo) {
      this.#keep(session, chunk);
      return undefined;
    }
    for (let next: Chunk | undefined = chunk; next !== undefined; next = takeEarly(session)) {
      absorb(log, session, next);
      if (this.#repairs() > REPAIRS_MAX) {
        this.#sessions.delete(log);
        this.#counters.add('refused:snapshot-repairs');
        return undefined;
      }
      if (!next.isLast) continue;
      this.#sessions.delete(log);
      return { ...session, manifest: next.manifest };
    }
    return undefined;
  }

  /** A snapshot of the log is coming in, and has not stalled. */
  isComing(now: number, log: OwnerLog): boolean {
    const session = this.#sessions.get(log);
    return session !== undefined && now - session.lastMs < STALL_MS;
  }

  /** The log is gone, or begins anew. */
  forget(log: OwnerLog): void {
    this.#sessions.delete(log);
  }

  /** What the chunk belongs to. A first chunk begins anew; what came early may have overtaken it. */
  #session(now: number, log: OwnerLog, { from }: Chunk): Session {
    const known = this.#sessions.get(log);
    if (known !== undefined && (from > 0 || known.upTo === 0)) return known;
    this.#sessions.delete(log);
    for (const [other, { lastMs }] of this.#sessions) {
      if (lastMs < now - PATIENCE_MS || this.#sessions.size >= LOGS_MAX) this.#sessions.delete(other);
    }
    const early = known?.early ?? new Map<number, Chunk>();
    const list = new SnapshotList(this.#verifier);
    const session = { mark: ++this.#marks, upTo: 0, lastMs: now, list, repairs: [], early };
    this.#sessions.set(log, session);
    return session;
  }

  #keep({ early, upTo }: Session, chunk: Chunk): void {
    // The same again, from another sender.
    if (chunk.from < upTo) return;
    let all = 0;
    for (const session of this.#sessions.values()) all += session.early.size;
    if (all < EARLY_MAX && early.size < EARLY_OF_LOG_MAX) early.set(chunk.from, chunk);
    else this.#counters.add('snapshot-out-of-order');
  }

  #repairs(): number {
    let count = 0;
    for (const { repairs } of this.#sessions.values()) count += repairs.length;
    return count;
  }
}

function takeEarly({ early, upTo }: Session): Chunk | undefined {
  const chunk = early.get(upTo);
  early.delete(upTo);
  return chunk;
}

/** Notes that the snapshot lists these records, or what has superseded them. */
function absorb(log: OwnerLog, session: Session, { to, blocks }: Chunk): void {
  session.upTo = to;
  session.list.addChunk(
    to,
    blocks.flatMap(({ records }) => records),
  );
  for (const { held, records } of blocks) {
    for (const record of records) {
      const ours = log.records.get(recordId(record.table, record.keyHex));
      if (ours !== undefined && isAtLeast(ours, record)) ours.mark = session.mark;
      else session.repairs.push({ record, held });
    }
  }
}

/** Newer than the other, or the same. */
export function isAtLeast(ours: LogRecord, other: LogRecord): boolean {
  if (ours.epoch !== other.epoch) return false;
  return ours.seq > other.seq || (ours.seq === other.seq && recordHash(ours) === recordHash(other));
}
