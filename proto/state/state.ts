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
import { WireError, toHex } from './bytes.ts';
import { ROOTS_MAX, decodeAck, decodeRoots, encodeAck, encodeRoots } from './digest.ts';
import { isGoodbye } from './farewells.ts';
import type { Identities, IdentityList } from './identities.ts';
import type { Claim, StateChange, StateNode, StateRecord, StateTransmit, Table } from './interface.ts';
import { TABLE } from './interface.ts';
import type { Message, SyncMessage } from './messages.ts';
import { SYNC_FLAG, decodeMessage, encodeNotice, isOversized } from './messages.ts';
import type { StateDeps, StateOptions } from './options.ts';
import { withDefaults } from './options.ts';
import { URGENCY } from './outbox.ts';
import { Pace } from './pace.ts';
import type { Parts } from './parts.ts';
import { makeParts } from './parts.ts';
import type { Revocation, RevocationContent } from './revocation.ts';
import type { Revocations } from './revocations.ts';
import { vniOfKeyHex } from './values/interest.ts';
import type { Banned } from '../swim/bans.ts';
import type { SwimDelegate } from '../swim/interface.ts';

const PURGE_MS = 60_000;
/** A difference seen in an ack counts when we have been quiet for that long, and at most every so often. */
const ACK_QUIET_MS = 2_000;
const ACK_PAUSE_MIN_MS = 5_000;
const ACK_PAUSE_MAX_MS = 60_000;

export class State implements StateNode {
  readonly delegate: SwimDelegate;
  readonly #node: string;
  readonly #parts: Parts;
  #hasStarted = false;
  #nowMs = 0;
  #purgeMs = Infinity;
  #clusterChangedMs = -Infinity;
  readonly #ackPace = new Pace(ACK_PAUSE_MIN_MS, ACK_PAUSE_MAX_MS);
  #rootSlice = 0;

  constructor(options: StateOptions, deps: StateDeps) {
    this.#node = options.node;
    this.#parts = makeParts(withDefaults(options), deps);
    const { store, hlc, piggyback } = this.#parts;
    store.onChange = (log, record) => {
      if (log.scope !== 0) return;
      if (record.table === TABLE.revocation) this.#parts.revocations.noteRecord(log);
      if (log.owner !== this.#node && isGoodbye(record)) this.#parts.farewells.note(log);
      this.#clusterChangedMs = this.#nowMs;
      if (record.table === TABLE.interest) {
        this.#parts.peers.interestChanged(this.#nowMs, log.owner, record.keyHex);
      }
    };
    this.delegate = {
      localState: (now) => this.#localState(now),
      broadcasts: (_now, overhead, budget) => piggyback.take(overhead, budget, store.interested(0).length),
      hasBroadcasts: () => !piggyback.isEmpty,
      ackPayload: () => encodeAck(hlc.last, store.root(0)),
    };
  }

  // Commands

  /** Whose keys we know; to be kept on disk. */
  get identities(): Identities {
    return this.#parts.identities;
  }

  /** Which keys are void, by whose word; to be kept on disk. */
  get revocations(): Revocations {
    return this.#parts.revocations;
  }

  /** Our epoch as it is now: higher than the one given when our name was met ahead of us. To be put into Meta. */
  get epoch(): bigint {
    return this.#parts.ownLogs.epoch;
  }

  put(now: number, scope: number, table: Table, key: Uint8Array, value: Uint8Array): void {
    this.#enter(now);
    this.#parts.ownLogs.put(now, scope, table, key, value);
    this.#leave(now);
  }

  /** Withdrawing an interest record takes back all our records in that scope too. */
  delete(now: number, scope: number, table: Table, key: Uint8Array): void {
    this.#enter(now);
    const vni = scope === 0 && table === TABLE.interest ? vniOfKeyHex(toHex(key)) : undefined;
    if (vni !== undefined && this.#parts.store.interests().has(vni)) {
      this.#parts.ownLogs.deleteAll(now, vni);
      this.#sendNow(now);
    }
    this.#parts.ownLogs.delete(now, scope, table, key);
    this.#leave(now);
  }

  /** To be followed by membership's leave, and by `renew` before a join. */
  sayGoodbye(now: number): void {
    this.#enter(now);
    this.#parts.ownLogs.sayGoodbye(now);
    this.#sendNow(now);
    this.#leave(now);
  }

  /** Starts a new life under a higher epoch, saying all our records again (after leave and join by hand). */
  renew(now: number): void {
    this.#enter(now);
    this.#parts.ownLogs.renumber(now, this.epoch + 1n);
    this.#leave(now);
  }

  /** Says that a key is void, or good again: everybody obeys who hears of it. It is told before it counts here. */
  revoke(now: number, content: Omit<RevocationContent, 'stamp'>): Revocation {
    this.#enter(now);
    const { revocations, outbox, counters } = this.#parts;
    const word = revocations.say(now, content);
    this.#sendNow(now);
    if (this.#parts.owners.isPeer(word.name))
      outbox.send(URGENCY.control, word.name, encodeNotice(word.bytes), false);
    counters.add('revocations-said');
    this.#leave(now);
    return word;
  }

  /** The operator's list of names and keys changed: what is not on it goes. */
  setListed(now: number, listed: IdentityList | undefined): void {
    this.#enter(now);
    this.#parts.identities.setListed(listed);
    this.#parts.revocations.relist();
    this.#parts.peers.handleIdentities();
    this.#leave(now);
  }

  bans(): readonly Banned[] {
    return this.#parts.revocations.bans();
  }

  noticeFor(name: string): Uint8Array | undefined {
    const word = this.#parts.revocations.against(name);
    return word && encodeNotice(word.bytes);
  }

  // Messages

  handleMessage(now: number, from: string, bytes: Uint8Array): void {
    this.#enter(now);
    this.#guard(() => {
      if (isOversized(bytes)) return this.#parts.counters.add('drop:oversized');
      const message = decodeMessage(bytes, now);
      this.#parts.counters.add(`in:${message.kind}`);
      if (message.kind !== 'notice' && this.#isShutOut(from)) return;
      this.#dispatch(now, from, message, bytes);
    });
    this.#leave(now);
  }

  handleRemoteState(now: number, from: string, bytes: Uint8Array): void {
    this.#enter(now);
    this.#guard(() => {
      if (this.#isShutOut(from)) return;
      // One of the two that exchanged digests is enough; a host that is still joining does not wait for the other.
      for (const { scope, root } of decodeRoots(bytes) ?? []) {
        if (!this.#parts.store.serves(scope) || root === this.#parts.store.root(scope)) continue;
        if (this.#node < from || this.#parts.client.isJoining(scope))
          this.#parts.client.trigger(now, scope, from);
      }
    });
    this.#leave(now);
  }

  handleAckPayload(now: number, from: string, bytes: Uint8Array): void {
    this.#enter(now);
    this.#guard(() => {
      const ack = decodeAck(bytes);
      if (ack === undefined || this.#isShutOut(from)) return;
      if (!this.#parts.hlc.observe(ack.hlc)) this.#parts.counters.add('hlc-ahead');
      this.#compareClusterRoot(now, from, ack.root);
    });
    this.#leave(now);
  }

  #dispatch(now: number, from: string, message: Message, bytes: Uint8Array): void {
    switch (message.kind) {
      case 'update':
        return this.#parts.fastPath.handleUpdate(now, from, message.update, bytes);
      case 'heads':
        return this.#parts.fastPath.handleHeads(now, from, message.heads);
      case 'pull':
        return this.#parts.server.handlePull(from, message.log, message.from);
      case 'delta': {
        const { update, flags, manifest } = message;
        // Who offers what has ended has not heard of it.
        if (!this.#parts.store.log(0, update.owner))
          this.#parts.tellFarewell(from, update.owner, update.epoch);
        this.#parts.merge.delta(now, from, update, flags, manifest);
        const log = this.#parts.store.log(update.scope, update.owner);
        if (log !== undefined) this.#parts.gaps.check(now, log, from);
        return this.#parts.client.handleDelta(now, update.scope);
      }
      case 'sync':
        return this.#handleSync(now, from, message.sync);
      case 'tree':
        return this.#parts.treeRepair.handle(now, from, message.tree);
      case 'busy':
        return this.#parts.client.handleBusy(now, from, message.id, message.retryAfterMs);
      case 'notice':
        return this.#parts.revocations.handleNotice(now, message.revocation);
      case 'unknown':
        return undefined;
    }
  }

  /** Who is revoked, or not on the operator's list, is neither believed nor answered. */
  #isShutOut(from: string): boolean {
    if (!this.#parts.identities.isVoidName(from)) return false;
    this.#parts.counters.add('drop:shut-out');
    return true;
  }

  #handleSync(now: number, from: string, sync: SyncMessage): void {
    if ((sync.flags & SYNC_FLAG.answer) === 0) this.#parts.server.handleRequest(now, from, sync);
    else {
      this.#parts.client.handleAnswer(now, from, sync);
      this.#parts.server.handleWants(now, from, sync);
    }
  }

  /** A probe's ack is a free comparison; while we differ from somebody for long, ask ever more rarely. */
  #compareClusterRoot(now: number, from: string, root: bigint): void {
    if (root === this.#parts.store.root(0)) {
      this.#ackPace.reset();
      return;
    }
    if (now - this.#clusterChangedMs < ACK_QUIET_MS || !this.#ackPace.take(now)) return;
    this.#parts.client.trigger(now, 0, from);
  }

  // Membership

  handleMemberAlive(now: number, name: string, epoch: bigint | undefined): void {
    if (name === this.#node) return;
    this.#enter(now);
    this.#parts.peers.handleAlive(now, name, epoch);
    this.#parts.revocations.note();
    this.#leave(now);
  }

  handleMemberDead(now: number, name: string): void {
    if (name === this.#node) return;
    this.#enter(now);
    this.#parts.peers.handleDead(now, name);
    this.#parts.revocations.note();
    this.#leave(now);
  }

  handleMemberLeft(now: number, name: string): void {
    if (name === this.#node) return;
    this.#enter(now);
    this.#parts.peers.handleLeft(now, name);
    this.#parts.revocations.note();
    this.#leave(now);
  }

  // Time

  handleDeadline(now: number): void {
    this.#enter(now);
    if (this.#parts.peers.handleDeadline(now)) this.#parts.revocations.note();
    this.#parts.ownLogs.handleDeadline(now);
    this.#parts.epidemic.handleDeadline(now);
    this.#parts.gaps.handleDeadline(now);
    this.#parts.client.handleDeadline(now);
    this.#parts.divergence.handleDeadline(now);
    this.#parts.treeRepair.handleDeadline(now);
    if (now >= this.#purgeMs) this.#purge(now);
    this.#leave(now);
    this.#parts.heads.handleDeadline(now);
    this.#parts.outbox.release(now);
  }

  nextDeadline(): number {
    return Math.min(
      this.#parts.owners.nextDeadline(),
      this.#parts.revocations.nextDeadline(),
      this.#parts.ownLogs.nextDeadline(),
      this.#parts.epidemic.nextDeadline(),
      this.#parts.heads.nextDeadline(),
      this.#parts.gaps.nextDeadline(),
      this.#parts.client.nextDeadline(),
      this.#parts.divergence.nextDeadline(),
      this.#parts.treeRepair.nextDeadline(),
      this.#parts.outbox.nextDeadline(this.#nowMs),
      this.#purgeMs,
    );
  }

  #purge(now: number): void {
    this.#purgeMs = now + PURGE_MS;
    for (const scope of this.#parts.store.scopes()) {
      for (const log of this.#parts.store.logs(scope)) log.purge(now);
    }
  }

  #enter(now: number): void {
    this.#nowMs = now;
    if (this.#hasStarted) return;
    this.#hasStarted = true;
    this.#parts.peers.start(now);
    this.#purgeMs = now + PURGE_MS;
    this.#parts.client.open(now, 0);
  }

  /** After everything that may have written or queued: what is due goes out. */
  #leave(now: number): void {
    this.#parts.peers.handleGoodbyes(now);
    if (this.#parts.revocations.run(now)) this.#parts.peers.handleIdentities();
    this.#parts.fastPath.flush(now);
    this.#parts.outbox.release(now);
  }

  /** Own writes go out before whom they go to is forgotten. */
  #sendNow(now: number): void {
    this.#parts.ownLogs.flushNow(now);
    while (this.#parts.ownLogs.isDue(now)) this.#parts.fastPath.flush(now);
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#parts.counters.add('drop:malformed');
    }
  }

  #localState(now: number): Uint8Array {
    this.#enter(now);
    const scopes = [...this.#parts.store.interests()].sort((a, b) => a - b);
    const slices = Math.max(1, Math.ceil(scopes.length / (ROOTS_MAX - 1)));
    const slice = scopes.filter((_, i) => i % slices === this.#rootSlice % slices);
    this.#rootSlice++;
    return encodeRoots(
      this.epoch,
      [0, ...slice].map((scope) => ({ scope, root: this.#parts.store.root(scope) })),
    );
  }

  // What the caller takes, and readers

  pollTransmit(): StateTransmit | undefined {
    return this.#parts.outbox.poll();
  }

  pollChange(): StateChange | undefined {
    return this.#parts.store.takeChange();
  }

  claims(scope: number, table: Table, keyHex: string): readonly Claim[] {
    return this.#parts.store.claims(scope, table, keyHex);
  }

  records(scope: number, table: Table): Iterable<StateRecord> {
    return this.#parts.store.records(scope, table);
  }

  interests(): ReadonlySet<number> {
    return this.#parts.store.interests();
  }

  interested(scope: number): readonly string[] {
    return this.#parts.store.interested(scope);
  }

  root(scope: number): bigint {
    return this.#parts.store.root(scope);
  }

  /**
   * What happened, by name: "in:KIND" messages; "refused:REASON" pieces of logs that may not come in; "drop:REASON" for
   * malformed or oversized input, signatures and comparisons above what a peer may ask of us, and full queues; "divergence"
   * (must stay 0), "withheld", "renumbered", "restarts-seen", "hlc-ahead", "too-many-holes", "snapshot-out-of-order" (more
   * early chunks than are kept); "goodbyes"; "left-unsigned" where membership said it and the host did not.
   */
  counters(): ReadonlyMap<string, number> {
    return this.#parts.counters.all;
  }
}
