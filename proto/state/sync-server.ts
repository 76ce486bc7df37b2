/**
 * Answers SYNC and PULL (gossip.md 7.5, 7.6 step 3): compares the asker's lines with ours, sends what is newer here,
 * and asks back for what is newer there.
 *
 * A replica may answer for any owner: logs say themselves how far they reach.
 */
import type { FaultInjector } from '../env.ts';
import type { Bulk, Job } from './bulk.ts';
import type { Counters } from './counters.ts';
import type { Divergence } from './divergence.ts';
import type { LogName, SyncLine, SyncMessage } from './messages.ts';
import { SYNC_FLAG, encodeBusy, encodeSync, encodeUpdate } from './messages.ts';
import type { Outbox } from './outbox.ts';
import { URGENCY } from './outbox.ts';
import type { OwnerLog } from './owner-log.ts';
import type { Owners } from './owners.ts';
import type { Store } from './store.ts';
import type { Strangers } from './strangers.ts';
import { bucketOf, bucketSums } from './sync-buckets.ts';

const BUSY_MS = 2_000;
const NOT_OURS_MS = 30_000;
/** A PULL is answered by packets up to this many, else by DELTA. */
const PULL_PACKETS_MAX = 8;

/** What the server does not do itself. */
export interface SyncServerDeps {
  readonly self: string;
  readonly packetBytes: number;
  readonly store: Store;
  readonly owners: Owners;
  readonly strangers: Strangers;
  readonly outbox: Outbox;
  readonly bulk: Bulk;
  readonly divergence: Divergence;
  readonly counters: Counters;
  readonly fault: FaultInjector | undefined;
  /** We have not synced the scope yet, and are about to. */
  readonly isJoining: (scope: number) => boolean;
  /** Somebody says, unsigned, how far our own log reaches. */
  readonly onOwnHint: (now: number, from: string, name: LogName, head: number) => void;
  /** Shows somebody the good-bye of an owner; false when we have none of that epoch or a later one. */
  readonly tellFarewell: (to: string, owner: string, epoch: bigint) => boolean;
}

export class SyncServer {
  readonly #deps: SyncServerDeps;

  constructor(deps: SyncServerDeps) {
    this.#deps = deps;
  }

  /** A request: lines for all that the asker has in the scope. */
  handleRequest(now: number, from: string, sync: SyncMessage): void {
    const { store, bulk, outbox, fault } = this.#deps;
    const { id, scope } = sync;
    if (!store.serves(scope)) {
      outbox.send(URGENCY.control, from, encodeBusy(id, NOT_OURS_MS), true);
      return;
    }
    if (sync.sums !== undefined) {
      this.#answerSums(from, sync, sync.sums);
      return;
    }
    const { jobs, wants } = this.#compare(now, from, sync);
    if (jobs.length > 0 && (bulk.isBusy || fault?.('sync.busy') === true)) {
      outbox.send(URGENCY.control, from, encodeBusy(id, BUSY_MS), true);
      return;
    }
    // Who joins has asked somebody for everything already: to want it of all who ask would have it come several times.
    const lines = this.#deps.isJoining(scope) ? [] : wants;
    outbox.send(URGENCY.control, from, encodeSync({ id, scope, flags: SYNC_FLAG.answer, lines }), true);
    this.#push(from, jobs);
  }

  /** Names the groups in which we differ; none: an answer without wants. */
  #answerSums(from: string, { id, scope }: SyncMessage, theirs: readonly bigint[]): void {
    const { store, outbox } = this.#deps;
    const ours = bucketSums(store.logs(scope), theirs.length);
    const buckets = ours.flatMap((sum, i) => (sum === theirs[i] ? [] : [i]));
    const some = buckets.length > 0 && { some: { of: theirs.length, buckets } };
    const flags = SYNC_FLAG.answer | (some ? SYNC_FLAG.some : 0);
    outbox.send(URGENCY.control, from, encodeSync({ id, scope, flags, lines: [], ...some }), true);
  }

  /** An answer: the lines are what its sender wants from us. */
  handleWants(now: number, from: string, sync: SyncMessage): void {
    const jobs: Job[] = [];
    for (const line of sync.lines) {
      this.#checkOwn(now, from, sync.scope, line);
      const log = this.#deps.store.log(sync.scope, line.owner);
      const job = log === undefined ? undefined : jobFor(log, line);
      if (job !== undefined) jobs.push(job);
    }
    this.#push(from, jobs);
  }

  handlePull(from: string, name: LogName, above: number): void {
    const { store, outbox, packetBytes } = this.#deps;
    const log = store.log(name.scope, name.owner);
    if (log === undefined) this.#deps.tellFarewell(from, name.owner, name.epoch);
    if (log === undefined || name.epoch > log.epoch) return;
    const start = name.epoch === log.epoch ? above : 0;
    if (start >= log.have) return;
    if (start < log.floor) {
      this.#push(from, [{ log, from: 0, snapshot: true }]);
      return;
    }
    const blocks = log.blocksAbove(start);
    const packets = blocks.slice(0, PULL_PACKETS_MAX + 1).map((block, i) => {
      const after = Math.min(blocks[i - 1]?.to ?? start, block.from);
      return encodeUpdate({ ...log.signed, from: after, blocks: [block.toWire()] });
    });
    const fit = packets.every(({ length }) => length <= packetBytes);
    if (blocks.length > PULL_PACKETS_MAX || !fit) this.#push(from, [{ log, from: start, snapshot: false }]);
    else for (const bytes of packets) outbox.send(URGENCY.relay, from, bytes, false);
  }

  /** Sends a log to somebody who has it wrong. */
  sendWhole(log: OwnerLog, to: string): void {
    this.#push(to, [{ log, from: 0, snapshot: true }]);
  }

  /** Asks the owner of a log that we have wrong for all of it. */
  askWhole(log: OwnerLog): void {
    const { owners, outbox } = this.#deps;
    if (!owners.isPeer(log.owner)) return;
    const lines = [{ ...log.line(), have: 0 }];
    outbox.send(
      URGENCY.control,
      log.owner,
      encodeSync({ id: 0, scope: log.scope, flags: SYNC_FLAG.answer, lines }),
      true,
    );
  }

  #push(to: string, jobs: readonly Job[]): void {
    if (jobs.length > 0 && !this.#deps.bulk.add(to, jobs)) this.#deps.counters.add('drop:bulk');
  }

  #compare(now: number, from: string, sync: SyncMessage): { jobs: Job[]; wants: SyncLine[] } {
    const { store, owners, strangers, self, divergence, tellFarewell } = this.#deps;
    const theirs = new Map(sync.lines.map((line) => [line.owner, line]));
    const jobs: Job[] = [];
    const wants: SyncLine[] = [];
    const { of, buckets } = sync.some ?? { of: 1, buckets: [0] };
    const compared = new Set(buckets);
    for (const log of store.logs(sync.scope)) {
      if (!compared.has(bucketOf(log.owner, of))) continue;
      const line = theirs.get(log.owner);
      theirs.delete(log.owner);
      if (line !== undefined) this.#checkOwn(now, from, sync.scope, line);
      const job = jobFor(log, line);
      if (job !== undefined) {
        if (!strangers.is(log.owner)) jobs.push(job);
      } else if (line !== undefined && log.owner !== self && isBehind(log, line)) wants.push(log.line());
      else if (line !== undefined) divergence.handleLine(now, from, log, line);
    }
    for (const line of theirs.values()) {
      this.#checkOwn(now, from, sync.scope, line);
      const { owner, epoch } = line;
      if (owner === self || line.have === 0 || tellFarewell(from, owner, epoch)) continue;
      if (!owners.accepts(owner, epoch)) continue;
      if (strangers.is(owner) && !strangers.hasRoom(now, sync.scope, owner)) continue;
      wants.push({ owner, epoch: 0n, have: 0, floor: 0, count: 0, digest: 0n });
    }
    return { jobs, wants };
  }

  #checkOwn(now: number, from: string, scope: number, { owner, epoch, have }: SyncLine): void {
    if (owner === this.#deps.self) this.#deps.onOwnHint(now, from, { scope, owner, epoch }, have);
  }
}

/** What brings the holder of `line` up to our log; undefined when it has all of it. */
function jobFor(log: OwnerLog, line: SyncLine | undefined): Job | undefined {
  if (log.have === 0) return undefined;
  if (line === undefined || line.epoch < log.epoch || (line.epoch === log.epoch && line.have === 0)) {
    return { log, from: 0, snapshot: true };
  }
  if (line.epoch > log.epoch || line.have >= log.have) return undefined;
  const isBelowFloor = line.have < log.floor;
  return { log, from: isBelowFloor ? 0 : line.have, snapshot: isBelowFloor };
}

const isBehind = (log: OwnerLog, line: SyncLine): boolean =>
  line.epoch > log.epoch || (line.epoch === log.epoch && line.have > log.have);
