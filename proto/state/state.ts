/**
 * The replicated state of the cluster as one sans-I/O object (gossip.md 7): one owner writes, all read.
 *
 * Reading order: OwnLogs makes versions, FastPath spreads them, Merge takes in those of others into the Store of
 * OwnerLogs, SyncClient and SyncServer find and mend what got lost, Owners says who counts, Store answers readers.
 *
 * After any handle or command poll `pollTransmit` and `pollChange` until undefined, then sleep until `nextDeadline`.
 * It knows neither sockets nor membership's wire: messages go to members by name. Whatever comes in, nothing throws;
 * only `put` throws, RangeError, when a record is over the limits.
 */
import { Bulk } from './bulk.ts';
import { WireError, toHex } from './bytes.ts';
import { Counters } from './counters.ts';
import { ROOTS_MAX, decodeAck, decodeRoots, encodeAck, encodeRoots } from './digest.ts';
import { Divergence } from './divergence.ts';
import { Epidemic } from './epidemic.ts';
import { FastPath } from './fast-path.ts';
import { Gaps } from './gaps.ts';
import { Heads } from './heads.ts';
import { Hlc } from './hlc.ts';
import type { Claim, StateChange, StateNode, StateRecord, StateTransmit, Table } from './interface.ts';
import { TABLE } from './interface.ts';
import { Merge } from './merge.ts';
import type { LogName, Message, SyncMessage } from './messages.ts';
import { SYNC_ANSWER, decodeMessage } from './messages.ts';
import type { StateConfig, StateDeps, StateOptions } from './options.ts';
import { withDefaults } from './options.ts';
import { Outbox } from './outbox.ts';
import { OwnLogs } from './own-logs.ts';
import type { OwnerEvent } from './owners.ts';
import { Owners } from './owners.ts';
import { Piggyback } from './piggyback.ts';
import { Store } from './store.ts';
import { SyncClient } from './sync-client.ts';
import { SyncServer } from './sync-server.ts';
import { DIRECT_MAX, Targets } from './targets.ts';
import { vniOfKeyHex } from './values/interest.ts';
import type { SwimDelegate } from '../swim/interface.ts';

const PURGE_MS = 60_000;
/** A difference seen in an ack counts when we have been quiet for that long, and at most every so often. */
const ACK_QUIET_MS = 2_000;
const ACK_PAUSE_MIN_MS = 5_000;
const ACK_PAUSE_MAX_MS = 60_000;
/** A host that just started greets everybody; an old one only in a small cluster. */
const YOUNG_MS = 30_000;
const HEAL_JITTER_MS = 1_000;
const EARLY_SYNC_MS = 1_000;

export class State implements StateNode {
  readonly delegate: SwimDelegate;
  readonly #config: StateConfig;
  readonly #deps: StateDeps;
  readonly #counters = new Counters();
  readonly #hlc: Hlc;
  readonly #owners: Owners;
  readonly #store: Store;
  readonly #ownLogs: OwnLogs;
  readonly #merge: Merge;
  readonly #targets: Targets;
  readonly #outbox: Outbox;
  readonly #bulk = new Bulk();
  readonly #epidemic: Epidemic;
  readonly #heads: Heads;
  readonly #gaps: Gaps;
  readonly #piggyback = new Piggyback();
  readonly #fastPath: FastPath;
  readonly #divergence: Divergence;
  readonly #client: SyncClient;
  readonly #server: SyncServer;
  #startedMs: number | undefined;
  #nowMs = 0;
  #purgeMs = Infinity;
  #clusterChangedMs = -Infinity;
  #ackSyncMs = -Infinity;
  #ackPauseMs = ACK_PAUSE_MIN_MS;
  #rootSlice = 0;

  constructor(options: StateOptions, deps: StateDeps) {
    const config = withDefaults(options);
    const { node, deadHoldMs, recordsPerLog, ownersPerScope, rateBytes, burstBytes } = config;
    this.#config = config;
    this.#deps = deps;
    this.#hlc = new Hlc(deps.wall);
    this.#owners = new Owners(node, deadHoldMs);
    this.#store = new Store(node, this.#owners, recordsPerLog, ownersPerScope);
    this.#ownLogs = new OwnLogs(config, this.#store, this.#hlc);
    this.#merge = new Merge(node, this.#store, this.#owners, this.#hlc, this.#counters);
    this.#targets = new Targets(node, this.#store, deps.rng);
    this.#outbox = new Outbox(rateBytes, burstBytes, () => this.#counters.add('drop:outbox'));
    this.#epidemic = new Epidemic(this.#store, this.#targets, this.#outbox, this.#counters);
    this.#heads = new Heads(this.#targets, this.#outbox);
    this.#gaps = new Gaps(this.#owners, this.#outbox, deps.rng);
    this.#divergence = new Divergence(this.#owners, this.#outbox, this.#counters);
    this.#client = new SyncClient(this.#store, this.#targets, this.#outbox, deps.rng, config.syncIntervalMs);
    this.#fastPath = this.#makeFastPath();
    this.#server = this.#makeServer();
    this.#wire();
    this.delegate = {
      localState: (now) => this.#localState(now),
      broadcasts: (_now, overhead, budget) =>
        this.#piggyback.take(overhead, budget, this.#store.interested(0).length),
      ackPayload: () => encodeAck(this.#hlc.last, this.#store.root(0)),
    };
  }

  #makeFastPath(): FastPath {
    return new FastPath({
      ownLogs: this.#ownLogs,
      merge: this.#merge,
      targets: this.#targets,
      outbox: this.#outbox,
      epidemic: this.#epidemic,
      heads: this.#heads,
      gaps: this.#gaps,
      piggyback: this.#piggyback,
      counters: this.#counters,
    });
  }

  #makeServer(): SyncServer {
    return new SyncServer({
      self: this.#config.node,
      packetBytes: this.#config.packetBytes,
      store: this.#store,
      owners: this.#owners,
      outbox: this.#outbox,
      bulk: this.#bulk,
      divergence: this.#divergence,
      counters: this.#counters,
      onOwn: (now, name, head) => this.#handleOwn(now, name, head),
    });
  }

  /** The few ways in which a part tells another that it does not know. */
  #wire(): void {
    this.#outbox.bulk = () => this.#bulk.next();
    this.#outbox.hasBulk = () => !this.#bulk.isIdle;
    this.#merge.onOwn = (now, name, head) => this.#handleOwn(now, name, head);
    this.#gaps.isComing = (now, log) => this.#merge.isComing(now, log);
    this.#gaps.onGiveUp = (now, scope) => this.#client.trigger(now, scope, undefined);
    this.#epidemic.onOverflow = (now, scope) => this.#client.trigger(now, scope, undefined, EARLY_SYNC_MS);
    this.#store.onChange = (log, record) => {
      if (log.scope === 0) this.#clusterChangedMs = this.#nowMs;
      if (log.scope === 0 && record.table === TABLE.interest) this.#interestChanged(log.owner, record.keyHex);
    };
  }

  // Commands

  /** Our epoch as it is now: higher than the one given when our name was met ahead of us. To be put into Meta. */
  get epoch(): bigint {
    return this.#ownLogs.epoch;
  }

  put(now: number, scope: number, table: Table, key: Uint8Array, value: Uint8Array): void {
    this.#enter(now);
    this.#ownLogs.put(now, scope, table, key, value);
    this.#leave(now);
  }

  /** Withdrawing an interest record takes back all our records in that scope too. */
  delete(now: number, scope: number, table: Table, key: Uint8Array): void {
    this.#enter(now);
    const vni = scope === 0 && table === TABLE.interest ? vniOfKeyHex(toHex(key)) : undefined;
    if (vni !== undefined && this.#store.interests().has(vni)) {
      this.#ownLogs.deleteAll(now, vni);
      this.#sendNow(now);
    }
    this.#ownLogs.delete(now, scope, table, key);
    this.#leave(now);
  }

  /** Starts a new life under a higher epoch, saying all our records again (after leave and join by hand). */
  renew(now: number): void {
    this.#enter(now);
    this.#ownLogs.renumber(now, this.epoch + 1n);
    this.#leave(now);
  }

  // Messages

  handleMessage(now: number, from: string, bytes: Uint8Array): void {
    this.#enter(now);
    this.#guard(() => {
      const message = decodeMessage(bytes, now);
      this.#counters.add(`in:${message.kind}`);
      this.#dispatch(now, from, message, bytes);
    });
    this.#leave(now);
  }

  handleRemoteState(now: number, from: string, bytes: Uint8Array): void {
    this.#enter(now);
    this.#guard(() => {
      // One of the two that exchanged digests is enough; a host that is still joining does not wait for the other.
      for (const { scope, root } of decodeRoots(bytes) ?? []) {
        if (!this.#store.serves(scope) || root === this.#store.root(scope)) continue;
        if (this.#config.node < from || this.#client.isJoining(scope)) this.#client.trigger(now, scope, from);
      }
    });
    this.#leave(now);
  }

  handleAckPayload(now: number, from: string, bytes: Uint8Array): void {
    this.#enter(now);
    this.#guard(() => {
      const ack = decodeAck(bytes);
      if (ack === undefined) return;
      if (!this.#hlc.observe(ack.hlc)) this.#counters.add('hlc-ahead');
      this.#compareClusterRoot(now, from, ack.root);
    });
    this.#leave(now);
  }

  #dispatch(now: number, from: string, message: Message, bytes: Uint8Array): void {
    switch (message.kind) {
      case 'update':
        return this.#fastPath.handleUpdate(now, from, message.update, bytes);
      case 'heads':
        return this.#fastPath.handleHeads(now, from, message.heads);
      case 'pull':
        return this.#server.handlePull(from, message.log, message.from);
      case 'delta': {
        this.#merge.delta(now, message.update, message.flags);
        const log = this.#store.log(message.update.scope, message.update.owner);
        if (log !== undefined) this.#gaps.check(now, log, from);
        return this.#client.handleDelta(now, message.update.scope);
      }
      case 'sync':
        return this.#handleSync(now, from, message.sync);
      case 'busy':
        return this.#client.handleBusy(now, from, message.id, message.retryAfterMs);
      case 'unknown':
        return undefined;
    }
  }

  #handleSync(now: number, from: string, sync: SyncMessage): void {
    if ((sync.flags & SYNC_ANSWER) === 0) this.#server.handleRequest(now, from, sync);
    else {
      this.#client.handleAnswer(now, from, sync.scope, sync.id);
      this.#server.handleWants(now, from, sync);
    }
  }

  /** A probe's ack is a free comparison; while we differ from somebody for long, ask ever more rarely. */
  #compareClusterRoot(now: number, from: string, root: bigint): void {
    if (root === this.#store.root(0)) {
      this.#ackPauseMs = ACK_PAUSE_MIN_MS;
      return;
    }
    if (now - this.#clusterChangedMs < ACK_QUIET_MS || now - this.#ackSyncMs < this.#ackPauseMs) return;
    this.#ackSyncMs = now;
    this.#ackPauseMs = Math.min(this.#ackPauseMs * 2, ACK_PAUSE_MAX_MS);
    this.#client.trigger(now, 0, from);
  }

  /** Our own log as somebody else has it. Ahead of ours: we are a clone, or have lost our memory. */
  #handleOwn(now: number, name: LogName, head: number): void {
    const own = this.#ownLogs.log(name.scope);
    const isAhead = name.epoch > this.epoch || (name.epoch === this.epoch && head > (own?.have ?? 0));
    if (!isAhead) return;
    this.#counters.add('renumbered');
    this.#ownLogs.renumber(now, name.epoch + 1n);
  }

  // Membership

  handleMemberAlive(now: number, name: string, epoch: bigint | undefined): void {
    if (name === this.#config.node) return;
    this.#enter(now);
    const { event, isNew } = this.#owners.alive(name, epoch);
    this.#store.forgetInterested();
    this.#follow(event);
    if (isNew && epoch !== undefined) this.#welcome(now, name, event !== undefined);
    this.#leave(now);
  }

  handleMemberDead(now: number, name: string): void {
    if (name === this.#config.node) return;
    this.#enter(now);
    this.#follow(this.#owners.dead(now, name));
    this.#store.forgetInterested();
    this.#bulk.forget(name);
    this.#leave(now);
  }

  handleMemberLeft(now: number, name: string): void {
    if (name === this.#config.node) return;
    this.#enter(now);
    this.#follow(this.#owners.left(now, name, this.#epochOf(name)));
    this.#store.forgetInterested();
    this.#bulk.forget(name);
    this.#leave(now);
  }

  /** A peer is there (again): it may have missed our words, and after a separation we may have missed others'. */
  #welcome(now: number, name: string, isBack: boolean): void {
    const isYoung = now - (this.#startedMs ?? now) < YOUNG_MS;
    if (isYoung || this.#store.interested(0).length <= DIRECT_MAX) {
      for (const log of this.#ownLogs.all()) {
        if (log.scope === 0 || this.#store.takesPart(name, log.scope)) this.#heads.greet(now, name, log);
      }
    }
    for (const scope of [0, ...this.#store.interests()]) {
      if (scope !== 0 && !this.#store.takesPart(name, scope)) continue;
      this.#client.kick(now, scope);
      if (isBack) this.#client.trigger(now, scope, name, this.#deps.rng.float() * HEAL_JITTER_MS);
    }
  }

  /** Somebody, perhaps we, entered or left a network. */
  #interestChanged(owner: string, keyHex: string): void {
    const vni = vniOfKeyHex(keyHex);
    if (vni === undefined) return;
    if (owner === this.#config.node) {
      if (this.#store.interests().has(vni)) {
        this.#ownLogs.open(this.#nowMs, vni);
        this.#client.open(this.#nowMs, vni);
      } else {
        this.#client.close(vni);
        this.#store.leaveScope(vni);
      }
      return;
    }
    if (!this.#owners.isPeer(owner) || !this.#store.interests().has(vni)) return;
    this.#client.kick(this.#nowMs, vni);
    this.#heads.greet(this.#nowMs, owner, this.#ownLogs.log(vni));
  }

  #follow(event: OwnerEvent | undefined): void {
    if (event === undefined) return;
    // Also before a removal: by now the owner counts for nothing, so that removing its records tells nobody.
    this.#store.touchOwner(event.owner);
    if (event.type === 'removed') {
      for (const log of this.#store.logsOf(event.owner)) {
        this.#store.removeLog(log);
        this.#merge.forget(log);
        this.#gaps.forget(log);
      }
    }
  }

  #epochOf(owner: string): bigint {
    let epoch = 0n;
    for (const log of this.#store.logsOf(owner)) if (log.epoch > epoch) epoch = log.epoch;
    return epoch;
  }

  // Time

  handleDeadline(now: number): void {
    this.#enter(now);
    for (const event of this.#owners.handleDeadline(now, (owner) => this.#epochOf(owner)))
      this.#follow(event);
    this.#ownLogs.handleDeadline(now);
    this.#epidemic.handleDeadline(now);
    this.#gaps.handleDeadline(now);
    this.#client.handleDeadline(now);
    if (now >= this.#purgeMs) this.#purge(now);
    this.#leave(now);
    this.#heads.handleDeadline(now);
    this.#outbox.release(now);
  }

  nextDeadline(): number {
    return Math.min(
      this.#owners.nextDeadline(),
      this.#ownLogs.nextDeadline(),
      this.#epidemic.nextDeadline(),
      this.#heads.nextDeadline(),
      this.#gaps.nextDeadline(),
      this.#client.nextDeadline(),
      this.#outbox.nextDeadline(this.#nowMs),
      this.#purgeMs,
    );
  }

  #purge(now: number): void {
    this.#purgeMs = now + PURGE_MS;
    for (const scope of this.#store.scopes()) {
      for (const log of this.#store.logs(scope)) log.purge(now);
    }
  }

  #enter(now: number): void {
    this.#nowMs = now;
    if (this.#startedMs !== undefined) return;
    this.#startedMs = now;
    this.#purgeMs = now + PURGE_MS;
    this.#client.open(now, 0);
  }

  /** After everything that may have written or queued: what is due goes out. */
  #leave(now: number): void {
    this.#fastPath.flush(now);
    this.#outbox.release(now);
  }

  /** Own writes go out before whom they go to is forgotten. */
  #sendNow(now: number): void {
    this.#ownLogs.flushNow(now);
    this.#fastPath.flush(now);
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#counters.add('drop:malformed');
    }
  }

  #localState(now: number): Uint8Array {
    this.#enter(now);
    const scopes = [...this.#store.interests()].sort((a, b) => a - b);
    const slices = Math.max(1, Math.ceil(scopes.length / (ROOTS_MAX - 1)));
    const slice = scopes.filter((_, i) => i % slices === this.#rootSlice % slices);
    this.#rootSlice++;
    return encodeRoots(
      this.epoch,
      [0, ...slice].map((scope) => ({ scope, root: this.#store.root(scope) })),
    );
  }

  // What the caller takes, and readers

  pollTransmit(): StateTransmit | undefined {
    return this.#outbox.poll();
  }

  pollChange(): StateChange | undefined {
    return this.#store.takeChange();
  }

  claims(scope: number, table: Table, keyHex: string): readonly Claim[] {
    return this.#store.claims(scope, table, keyHex);
  }

  records(scope: number, table: Table): Iterable<StateRecord> {
    return this.#store.records(scope, table);
  }

  interests(): ReadonlySet<number> {
    return this.#store.interests();
  }

  interested(scope: number): readonly string[] {
    return this.#store.interested(scope);
  }

  root(scope: number): bigint {
    return this.#store.root(scope);
  }

  counters(): ReadonlyMap<string, number> {
    return this.#counters.all;
  }
}
