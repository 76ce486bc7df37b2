/**
 * Sends long pieces of logs as DELTA chunks over TCP, made one at a time when the outbox has room (gossip.md 7.6).
 *
 * A session is what one peer gets for one SYNC or PULL. Nothing is built ahead, so memory is bounded by the sessions.
 * A record that is superseded while its log is under way goes out as it was at the start: older versions do no harm.
 * Under a snapshot of our own log goes our signature: by it alone may a receiver take what is absent for deleted.
 */
import type { FaultInjector } from '../env.ts';
import type { StateTransmit } from './interface.ts';
import type { Update } from './messages.ts';
import { DELTA_FLAG, encodeDelta, endOf, packBlocks } from './messages.ts';
import { recordsOf } from './block.ts';
import type { OwnerLog } from './owner-log.ts';
import type { Signer, Verifier } from './signing.ts';
import { SnapshotList, snapshotStatement } from './signing.ts';

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
  /** Of our own log's snapshot. */
  readonly list: SnapshotList | undefined;
}

/** Small enough that taking one in is a short turn of the event loop (some 700 endpoints). */
const CHUNK_BYTES = 32 * 1_024;
/** Snapshots served at once; who asks beyond that hears BUSY. */
const SESSIONS_MAX = 4;
/** Pushes that a peer asked for in its answer are few; beyond this they are left to the next sync. */
const SESSIONS_LIMIT = 16;

export interface BulkDeps {
  readonly self: string;
  readonly signer: Signer;
  readonly verifier: Verifier;
  readonly fault?: FaultInjector | undefined;
}

export class Bulk {
  readonly #deps: BulkDeps;
  #sessions: Session[] = [];

  constructor(deps: BulkDeps) {
    this.#deps = deps;
  }

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
      const bytes = this.#nextChunk(session);
      // A snapshot that breaks off is found out and asked for again.
      if (bytes === undefined || this.#deps.fault?.('snapshot.cut') === true) continue;
      this.#sessions.push(session);
      return { to: session.to, bytes, reliable: true };
    }
  }

  #nextChunk(session: Session): Uint8Array | undefined {
    for (;;) {
      if (session.current === undefined) {
        const job = session.jobs.shift();
        if (job === undefined) return undefined;
        session.current = this.#start(job);
      }
      const chunks = session.current;
      if (chunks === undefined) continue;
      const { job, next: update, list } = chunks;
      if (job.log.epoch !== chunks.epoch) {
        session.current = undefined;
        continue;
      }
      const following = chunks.updates.next();
      const isLast = following.done === true;
      if (isLast) session.current = undefined;
      else chunks.next = following.value;
      list?.addChunk(endOf(update), update.blocks.flatMap(recordsOf));
      const flags = (job.snapshot ? DELTA_FLAG.snapshot : 0) | (isLast ? DELTA_FLAG.last : 0);
      return encodeDelta(update, flags, isLast ? this.#manifest(update, list) : undefined);
    }
  }

  #manifest(update: Update, list: SnapshotList | undefined): Uint8Array | undefined {
    if (list === undefined) return undefined;
    return this.#deps.signer.sign(snapshotStatement(update, endOf(update), list.hash));
  }

  #start(job: Job): Chunks | undefined {
    const { log, from, snapshot } = job;
    const blocks = log
      .blocksAbove(from)
      .map((block) => block.toWire((record) => !snapshot || !record.tombstone));
    const updates = packBlocks(log.signed, from, blocks, CHUNK_BYTES);
    const first = updates.next();
    if (first.done === true) return undefined;
    const isOurs = snapshot && log.owner === this.#deps.self;
    const list = isOurs ? new SnapshotList(this.#deps.verifier) : undefined;
    return { job, epoch: log.epoch, updates, next: first.value, list };
  }
}
