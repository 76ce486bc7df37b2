/**
 * Sends long pieces of logs as DELTA chunks over TCP, made one at a time when the outbox has room (gossip.md 7.6).
 *
 * A session is what one peer gets for one SYNC or PULL. Nothing is built ahead, so memory is bounded by the sessions.
 * A record that is superseded while its log is under way goes out as it was at the start: older versions do no harm.
 */
import type { StateTransmit } from './interface.ts';
import type { Update } from './messages.ts';
import { DELTA_FLAG, cutUpdates, encodeDelta } from './messages.ts';
import type { OwnerLog } from './owner-log.ts';

export interface Job {
  readonly log: OwnerLog;
  /** Send above this sequence. */
  readonly from: number;
  /** What is not listed is deleted. */
  readonly snapshot: boolean;
}

interface Session {
  readonly to: string;
  readonly jobs: Job[];
  current: Chunks | undefined;
}

interface Chunks {
  readonly job: Job;
  readonly epoch: bigint;
  readonly updates: Generator<Update>;
  next: Update;
}

/** Small enough that taking one in is a short turn of the event loop (some 700 endpoints). */
const CHUNK_BYTES = 32 * 1_024;
/** Snapshots served at once; who asks beyond that hears BUSY. */
const SESSIONS_MAX = 4;
/** Pushes that a peer asked for in its answer are few; beyond this they are left to the next sync. */
const SESSIONS_LIMIT = 16;

export class Bulk {
  #sessions: Session[] = [];

  get isBusy(): boolean {
    return this.#sessions.length >= SESSIONS_MAX;
  }

  get isIdle(): boolean {
    return this.#sessions.length === 0;
  }

  /** False when there is no room for another session. What the peer is getting already is not sent twice. */
  add(to: string, jobs: readonly Job[]): boolean {
    const running = this.#sessions.filter((s) => s.to === to);
    const fresh = jobs.filter(
      (job) => !running.some((s) => s.current?.job.log === job.log || s.jobs.some((j) => j.log === job.log)),
    );
    if (fresh.length === 0) return true;
    if (this.#sessions.length >= SESSIONS_LIMIT) return false;
    this.#sessions.push({ to, jobs: fresh, current: undefined });
    return true;
  }

  /** The peer is gone. */
  forget(peer: string): void {
    this.#sessions = this.#sessions.filter((s) => s.to !== peer);
  }

  /** The next chunk of the session whose turn it is. */
  next(): StateTransmit | undefined {
    for (;;) {
      const session = this.#sessions.shift();
      if (session === undefined) return undefined;
      const bytes = nextChunk(session);
      if (bytes === undefined) continue;
      this.#sessions.push(session);
      return { to: session.to, bytes, reliable: true };
    }
  }
}

function nextChunk(session: Session): Uint8Array | undefined {
  for (;;) {
    session.current ??= startJob(session.jobs.shift());
    const chunks = session.current;
    if (chunks === undefined) return undefined;
    const { job, next: update } = chunks;
    if (job.log.epoch !== chunks.epoch) {
      session.current = undefined;
      continue;
    }
    const following = chunks.updates.next();
    const isLast = following.done === true;
    if (isLast) session.current = undefined;
    else chunks.next = following.value;
    let flags = job.snapshot ? DELTA_FLAG.snapshot : 0;
    if (isLast) flags |= DELTA_FLAG.last | (job.log.marker === undefined ? 0 : DELTA_FLAG.complete);
    return encodeDelta(update, flags);
  }
}

function startJob(job: Job | undefined): Chunks | undefined {
  if (job === undefined) return undefined;
  const { epoch, have } = job.log;
  const records = job.log.above(job.from).filter((record) => !job.snapshot || !record.tombstone);
  const updates = cutUpdates(job.log.name, job.from, have, records, CHUNK_BYTES);
  // There is always one update, if an empty one.
  return { job, epoch, updates, next: updates.next().value! };
}
