/**
 * What a replica does with a piece of somebody's log, however it came (UPDATE or DELTA): gossip.md 7.2, 7.3.
 *
 * Refused: scopes that we do not hold, owners that left with that epoch, earlier epochs, names under another key, and
 * blocks that their owner has not signed. What is covered already is not looked at again, so that repeats cost nothing.
 * Our own log is changed by nobody but us: a piece of it that we signed and that is ahead of us means that we lost our
 * memory or were cloned (`onOwn`).
 */
import type { Block, HeldBlock } from './block.ts';
import { openBlock, recordsOf } from './block.ts';
import type { Counters } from './counters.ts';
import type { Hlc } from './hlc.ts';
import type { Identities } from './identities.ts';
import type { Head, LogName, Update } from './messages.ts';
import { DELTA_FLAG, endOf } from './messages.ts';
import type { OwnerLog } from './owner-log.ts';
import type { Owners } from './owners.ts';
import type { LogRecord } from './record.ts';
import { recordId } from './record.ts';
import type { Verifier } from './signing.ts';
import { isSameBytes, snapshotStatement } from './signing.ts';
import type { Chunk, Whole } from './snapshots.ts';
import { Snapshots, isAtLeast } from './snapshots.ts';
import type { Store } from './store.ts';
import type { Strangers } from './strangers.ts';
import { VerificationRates } from './verification-rates.ts';

interface Signed {
  readonly block: Block;
  readonly held: HeldBlock;
}

/** Hashes of spent entries that a log may keep, for each record that it may have: an honest owner stays well below. */
const SPENT_SHARE = 4;
const SPENT_MIN = 16_384;

export interface MergeDeps {
  readonly self: string;
  readonly selfKey: Uint8Array;
  readonly store: Store;
  readonly owners: Owners;
  readonly identities: Identities;
  readonly strangers: Strangers;
  readonly verifier: Verifier;
  readonly hlc: Hlc;
  readonly counters: Counters;
  readonly recordsPerLog: number;
}

export class Merge {
  readonly #deps: MergeDeps;
  readonly #snapshots: Snapshots;
  readonly #rates = new VerificationRates();
  /** A block of our own log, signed by us, reaches that far. */
  onOwn: (now: number, name: LogName, head: number) => void = () => {};
  /** Somebody says, unsigned, that our own log reaches that far. */
  onOwnHint: (now: number, from: string, name: LogName, head: number) => void = () => {};

  constructor(deps: MergeDeps) {
    this.#deps = deps;
    this.#snapshots = new Snapshots(deps.verifier, deps.counters);
  }

  /** Applies an UPDATE, or a DELTA that is no snapshot. Returns the log, and whether it told us anything new. */
  update(now: number, from: string, update: Update): { log: OwnerLog; isNew: boolean } | undefined {
    if (this.#isRefused(now, from, update)) return undefined;
    const known = this.#deps.store.log(update.scope, update.owner);
    const isCurrent = known?.epoch === update.epoch;
    if (isCurrent && known.coverage.coversRange(update.from, endOf(update)))
      return { log: known, isNew: false };
    const fresh = update.blocks.filter(
      (block) => !isCurrent || !known.coverage.coversRange(block.from, block.to),
    );
    const blocks = this.#verify(now, from, update, fresh);
    // With no block of its own above what we have, a message proves nothing there.
    if (fresh.length === 0 && !(isCurrent && endOf(update) <= known.coverage.head)) return undefined;
    const log = blocks === undefined ? undefined : this.#admit(now, update);
    if (blocks === undefined || log === undefined) return undefined;
    for (const { block, held } of blocks) if (!this.#apply(log, block, held)) return undefined;
    this.#cover(log, update.from, endOf(update));
    return { log, isNew: true };
  }

  /** Whether there is any use in asking for a log that somebody (unsigned) says is there. */
  mayAsk(now: number, from: string, head: Head): boolean {
    const { self, store, owners, identities, strangers } = this.#deps;
    const { scope, owner, epoch } = head;
    if (owner === self) {
      this.onOwnHint(now, from, head, head.head);
      return false;
    }
    if (!store.serves(scope) || !owners.accepts(owner, epoch)) return false;
    if (strangers.is(owner) && !strangers.hasRoom(now, scope, owner)) return false;
    return epoch >= (store.log(scope, owner)?.epoch ?? 0n) && !identities.isRetired(owner, epoch);
  }

  /** Returns the log, if it may have changed. */
  delta(
    now: number,
    from: string,
    update: Update,
    flags: number,
    manifest: Uint8Array | undefined,
  ): OwnerLog | undefined {
    if ((flags & DELTA_FLAG.repair) !== 0) return this.#repair(now, from, update);
    if ((flags & DELTA_FLAG.snapshot) === 0) return this.update(now, from, update)?.log;
    return this.#snapshot(now, from, update, flags, manifest);
  }

  /**
   * Some blocks, sent because our copy is wrong (tree-repair.ts): their records are taken although they are covered. But
   * only while we know by the owner's signature that we lack something: else what is not here has been deleted since.
   */
  #repair(now: number, from: string, update: Update): OwnerLog | undefined {
    const { store, counters } = this.#deps;
    if (this.#isRefused(now, from, update)) return undefined;
    const known = store.log(update.scope, update.owner);
    if (known?.epoch !== update.epoch || !known.isDoubtful) return undefined;
    for (const { block, held } of this.#verify(now, from, update, update.blocks) ?? []) {
      for (const record of recordsOf(block)) {
        const id = recordId(record.table, record.keyHex);
        const ours = known.records.get(id);
        if (ours !== undefined && isAtLeast(ours, record)) continue;
        counters.add('divergence');
        // Another content under a version that its owner has signed: ours is not what we once took.
        if (ours?.epoch === record.epoch && ours.seq === record.seq) known.remove(id);
        this.#take(known, record, true);
      }
      known.keep(held, recordsOf(block));
    }
    this.#cover(known, 0, 0);
    return known;
  }

  /** Everything that can be told without a look at signatures. */
  #isRefused(now: number, from: string, update: Update): boolean {
    const { self, store, owners, identities, strangers } = this.#deps;
    const { scope, owner, epoch, key } = update;
    if (owner === self) {
      this.#own(now, from, update);
      return this.#refuse('own');
    }
    if (!store.serves(scope)) return this.#refuse('not-interested');
    const refusal = identities.check(owner, key, epoch);
    if (refusal !== undefined) return this.#refuse(refusal);
    if (!owners.accepts(owner, epoch)) return this.#refuse('owner-left');
    if (epoch < (store.log(scope, owner)?.epoch ?? 0n)) return this.#refuse('old-epoch');
    if (!strangers.is(owner)) return false;
    // It has no pin yet.
    if (!strangers.isUnderKey(owner, key)) return this.#refuse('other-key');
    return strangers.hasRoom(now, scope, owner) ? false : this.#refuse('stranger');
  }

  /** Our own words, from somebody else: they matter only if they are truly ours. */
  #own(now: number, from: string, update: Update): void {
    const { store, selfKey, verifier, self } = this.#deps;
    const last = update.blocks.at(-1);
    const own = store.log(update.scope, self);
    const isAhead = own === undefined || update.epoch > own.epoch || (last?.to ?? 0) > own.have;
    if (!isAhead || last === undefined || !isSameBytes(update.key, selfKey)) return;
    if (own !== undefined && update.epoch < own.epoch) return;
    if (!this.#mayVerify(now, from, 1)) return;
    if (openBlock(update, selfKey, last, verifier) === undefined) return;
    this.onOwn(now, update, last.to);
  }

  #verify(now: number, from: string, update: Update, blocks: readonly Block[]): Signed[] | undefined {
    const { verifier, counters } = this.#deps;
    if (blocks.length > 0 && !this.#mayVerify(now, from, blocks.length)) return undefined;
    const signed: Signed[] = [];
    for (const block of blocks) {
      const held = openBlock(update, update.key, block, verifier);
      if (held === undefined) {
        this.#refuse('signature');
        return undefined;
      }
      signed.push({ block, held });
    }
    if (blocks.length > 0) counters.add('verified', blocks.length);
    return signed;
  }

  #mayVerify(now: number, from: string, count: number): boolean {
    const may = this.#rates.take(now, from, count);
    if (!may) this.#deps.counters.add('drop:signatures', count);
    return may;
  }

  /** The log that a verified message may change. */
  #admit(now: number, update: Update): OwnerLog | undefined {
    const { store, owners, identities, strangers, counters } = this.#deps;
    const { scope, owner, epoch, key } = update;
    const log = store.open({ scope, owner, epoch });
    if (log === undefined) {
      this.#refuse('too-many-owners');
      return undefined;
    }
    if (strangers.is(owner)) {
      for (const { entries } of update.blocks) strangers.took(owner, entries.length);
    } else identities.accept(owner, key, epoch);
    owners.noteRecords(now, owner);
    log.key = key;
    if (epoch > log.epoch) {
      counters.add('restarts-seen');
      log.beginEpoch(epoch);
      this.#snapshots.forget(log);
      store.touch(scope);
    }
    return log;
  }

  /** False when the log keeps too many signatures for too little. */
  #apply(log: OwnerLog, block: Block, held: HeldBlock): boolean {
    if (log.spent + block.entries.length > SPENT_SHARE * this.#deps.recordsPerLog + SPENT_MIN) {
      this.#refuse('too-sparse');
      return false;
    }
    const records = recordsOf(block);
    for (const record of records) this.#take(log, record, false);
    log.keep(held, records);
    return true;
  }

  /**
   * The owner has said all it has to say in this epoch, and we have all of it: what it said before may go, and so may its
   * logs of networks that it no longer takes part in.
   */
  #complete(log: OwnerLog): void {
    const { self, store } = this.#deps;
    log.dropStale();
    if (log.scope !== 0 || log.owner === self) return;
    for (const other of store.logsOf(log.owner)) {
      if (other.scope === 0 || other.epoch >= log.epoch) continue;
      if (!store.takesPart(log.owner, other.scope)) store.removeLog(other);
    }
  }

  #cover(log: OwnerLog, from: number, to: number): void {
    if (!log.cover(from, to)) this.#deps.counters.add('too-many-holes');
    this.#deps.store.touch(log.scope);
    if (log.marker !== undefined && log.isProven) this.#complete(log);
  }

  #take(log: OwnerLog, record: LogRecord, isRepair: boolean): void {
    const { hlc, counters } = this.#deps;
    if (!hlc.observe(record.hlc)) counters.add('hlc-ahead');
    const taken = isRepair ? log.replace(record) : log.apply(record);
    if (!taken) counters.add('drop:log-full');
  }

  /**
   * A chunk of a snapshot: its records are taken at once. Once all are here they cover the range; and if its owner has signed
   * what is live, whatever it does not list is removed. Others than the owner can only fill.
   */
  #snapshot(
    now: number,
    from: string,
    update: Update,
    flags: number,
    manifest: Uint8Array | undefined,
  ): OwnerLog | undefined {
    if (this.#isRefused(now, from, update) || update.blocks.length === 0) return undefined;
    const blocks = this.#verify(now, from, update, update.blocks);
    const log = blocks === undefined ? undefined : this.#admit(now, update);
    if (blocks === undefined || log === undefined) return undefined;
    const listed: Chunk['blocks'][number][] = [];
    for (const { block, held } of blocks) {
      if (!this.#apply(log, block, held)) return undefined;
      listed.push({ held, records: recordsOf(block).filter(({ tombstone }) => !tombstone) });
    }
    const isLast = (flags & DELTA_FLAG.last) !== 0;
    const chunk = { from: update.from, to: endOf(update), blocks: listed, isLast, manifest };
    const whole = this.#snapshots.add(now, log, chunk);
    if (whole === undefined || whole.upTo < log.have) return undefined;
    if (whole.manifest !== undefined) this.#finish(log, whole, whole.manifest);
    log.floor = Math.max(log.floor, whole.upTo);
    this.#cover(log, 0, whole.upTo);
    return log;
  }

  /** Makes the log what its owner says it is, if the owner says so. */
  #finish(log: OwnerLog, incoming: Whole, manifest: Uint8Array): void {
    const statement = snapshotStatement(log, incoming.upTo, incoming.list.hash);
    if (!this.#deps.verifier.verify(log.key, statement, manifest)) {
      this.#refuse('manifest');
      return;
    }
    for (const { record, held } of incoming.repairs) {
      // The owner's word also stands against another content under the same version.
      log.remove(recordId(record.table, record.keyHex));
      this.#take(log, record, true);
      log.keep(held, [record]);
      const ours = log.records.get(recordId(record.table, record.keyHex));
      if (ours !== undefined) ours.mark = incoming.mark;
    }
    for (const [id, record] of log.records) {
      const isOld = record.epoch === log.epoch && record.seq <= incoming.upTo;
      if (isOld && record.mark !== incoming.mark) log.remove(id);
    }
  }

  /** A snapshot of the log is coming in, and has not stalled. */
  isComing(now: number, log: OwnerLog): boolean {
    return this.#snapshots.isComing(now, log);
  }

  /** Forgets half-done snapshots of a log that is gone. */
  forget(log: OwnerLog): void {
    this.#snapshots.forget(log);
  }

  #refuse(reason: string): true {
    this.#deps.counters.add(`refused:${reason}`);
    return true;
  }
}
