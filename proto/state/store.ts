/**
 * All logs of a replica, and the index from a key to the owners that claim it.
 *
 * Readers see the claims of visible owners (Owners); writers go through `log`. Changes of what is visible collect in a
 * queue that holds each key once, so its size is bounded by what there is to look at.
 */
import type { Claim, StateChange, StateRecord, Table } from './interface.ts';
import { TABLE } from './interface.ts';
import { ChangeQueue } from './change-queue.ts';
import { orderClaims } from './claim-order.ts';
import { add64 } from './hash.ts';
import type { LogName } from './messages.ts';
import { OwnerLog } from './owner-log.ts';
import type { Owners } from './owners.ts';
import type { LogRecord } from './record.ts';
import { NO_TABLE_LIMITS, TABLE_LIVE_MAX } from './table-limits.ts';
import { recordId } from './record.ts';
import { interestKeyHex, vniOfKeyHex } from './values/interest.ts';

interface Scope {
  readonly logs: Map<string, OwnerLog>;
  /** Owners with a live record under an id; a bare log where there is one, as nearly everywhere. */
  readonly claimants: Map<string, OwnerLog | Set<OwnerLog>>;
  root: bigint | undefined;
}

const STRANGERS_SHARE = 0.75;
const KNOWN_TABLES = new Set<number>(Object.values(TABLE));

export class Store {
  readonly #self: string;
  readonly #owners: Owners;
  readonly #capacity: number;
  readonly #ownersMax: number;
  readonly #scopes = new Map<number, Scope>();
  readonly #changes = new ChangeQueue();
  readonly #interests = new Set<number>();
  readonly #interestedCache = new Map<number, readonly string[]>();
  /** Told of every record that came or went. */
  onChange: (log: OwnerLog, record: LogRecord) => void = () => {};

  constructor(self: string, owners: Owners, capacity: number, ownersMax: number) {
    this.#self = self;
    this.#owners = owners;
    this.#capacity = capacity;
    this.#ownersMax = ownersMax;
  }

  // Logs

  log(scope: number, owner: string): OwnerLog | undefined {
    return this.#scopes.get(scope)?.logs.get(owner);
  }

  logs(scope: number): Iterable<OwnerLog> {
    return this.#scopes.get(scope)?.logs.values() ?? [];
  }

  scopes(): Iterable<number> {
    return this.#scopes.keys();
  }

  /** The log, made when it is not there; undefined when the scope has too many owners. */
  open(name: LogName): OwnerLog | undefined {
    const scope = this.#scope(name.scope);
    const known = scope.logs.get(name.owner);
    if (known !== undefined) return known;
    if (scope.logs.size >= this.#ownersMax) return undefined;
    const limits = name.owner === this.#self ? NO_TABLE_LIMITS : TABLE_LIVE_MAX;
    const log = new OwnerLog(name, this.#capacity, this.#recordChanged, limits);
    scope.logs.set(name.owner, log);
    return log;
  }

  /** A quarter of the places in a scope is kept for members. */
  hasRoomForStrangers(scope: number): boolean {
    return (this.#scopes.get(scope)?.logs.size ?? 0) < this.#ownersMax * STRANGERS_SHARE;
  }

  /** Every log of an owner, in all scopes. */
  *logsOf(owner: string): Generator<OwnerLog> {
    for (const { logs } of this.#scopes.values()) {
      const log = logs.get(owner);
      if (log !== undefined) yield log;
    }
  }

  removeLog(log: OwnerLog): void {
    log.clear();
    this.#scopes.get(log.scope)?.logs.delete(log.owner);
    this.touch(log.scope);
  }

  /** We do not take part in it any more: the logs of others go, ours stays for those who still ask. */
  leaveScope(scope: number): void {
    for (const log of this.logs(scope)) if (log.owner !== this.#self) this.removeLog(log);
  }

  /** The scope's root has to be computed anew. */
  touch(scope: number): void {
    const known = this.#scopes.get(scope);
    if (known !== undefined) known.root = undefined;
  }

  /** An owner became visible or invisible, or held: look again at all it claims. */
  touchOwner(owner: string): void {
    this.#interestedCache.clear();
    for (const log of this.logsOf(owner)) {
      this.touch(log.scope);
      for (const record of log.records.values()) if (!record.tombstone) this.#queueChange(log.scope, record);
    }
  }

  // Readers

  claims(scope: number, table: Table, keyHex: string): readonly Claim[] {
    const id = recordId(table, keyHex);
    const claims: Claim[] = [];
    for (const log of this.#claimants(scope, id)) {
      const liveness = this.#owners.liveness(log.owner);
      if (liveness !== 'alive' && liveness !== 'held') continue;
      const { value, hlc } = log.records.get(id)!;
      claims.push({ owner: log.owner, held: liveness === 'held', value, hlc });
    }
    return orderClaims(table, claims);
  }

  *records(scope: number, table: Table): Generator<StateRecord> {
    for (const log of this.logs(scope)) {
      if (!this.#owners.isVisible(log.owner)) continue;
      const { owner } = log;
      for (const { table: t, key, value, hlc, tombstone } of log.records.values()) {
        if (t === table && !tombstone) yield { scope, owner, table, key, value, hlc };
      }
    }
  }

  interests(): ReadonlySet<number> {
    return this.#interests;
  }

  /** Whether we hold the scope for others too. */
  serves(scope: number): boolean {
    return scope === 0 || this.#interests.has(scope);
  }

  /** Whether the owner's newest word is that it takes part in the scope. */
  takesPart(owner: string, scope: number): boolean {
    const log = this.log(0, owner);
    const record = log?.records.get(recordId(TABLE.interest, interestKeyHex(scope)));
    return record !== undefined && !record.tombstone && record.epoch === log!.epoch;
  }

  /** Live owners that take part in the scope, us included. */
  interested(scope: number): readonly string[] {
    const cached = this.#interestedCache.get(scope);
    if (cached !== undefined) return cached;
    const names: string[] = [];
    if (scope === 0) names.push(this.#self, ...this.#owners.peers());
    else {
      for (const { owner } of this.#claimants(0, recordId(TABLE.interest, interestKeyHex(scope)))) {
        if (owner === this.#self || this.#owners.isPeer(owner)) names.push(owner);
      }
    }
    this.#interestedCache.set(scope, names);
    return names;
  }

  /** A bound of how many those are, at no cost. */
  interestedAtMost(scope: number): number {
    if (scope === 0) return this.#owners.size + 1;
    const known = this.#scopes.get(0)?.claimants.get(recordId(TABLE.interest, interestKeyHex(scope)));
    return known instanceof Set ? known.size : Number(known !== undefined);
  }

  /** Membership changed: who is interested has to be looked up anew. */
  forgetInterested(): void {
    this.#interestedCache.clear();
  }

  /** Sum over the logs of visible owners: what all live replicas must agree on. */
  root(scope: number): bigint {
    const known = this.#scopes.get(scope);
    if (known === undefined) return 0n;
    if (known.root === undefined) {
      let root = 0n;
      for (const log of known.logs.values()) {
        if (log.have > 0 && this.#owners.isVisible(log.owner)) root = add64(root, log.lineHash);
      }
      known.root = root;
    }
    return known.root;
  }

  takeChange(): StateChange | undefined {
    return this.#changes.take();
  }

  // Inside

  #scope(scope: number): Scope {
    let known = this.#scopes.get(scope);
    if (known === undefined) {
      known = { logs: new Map(), claimants: new Map(), root: undefined };
      this.#scopes.set(scope, known);
    }
    return known;
  }

  #claimants(scope: number, id: string): Iterable<OwnerLog> {
    const known = this.#scopes.get(scope)?.claimants.get(id);
    if (known === undefined) return [];
    return known instanceof Set ? known : [known];
  }

  readonly #recordChanged = (
    log: OwnerLog,
    id: string,
    before: LogRecord | undefined,
    after: LogRecord | undefined,
  ): void => {
    const scope = this.#scopes.get(log.scope)!;
    scope.root = undefined;
    const isLive = after !== undefined && !after.tombstone;
    const wasLive = before !== undefined && !before.tombstone;
    if (isLive && !wasLive) addClaimant(scope.claimants, id, log);
    if (!isLive && wasLive) dropClaimant(scope.claimants, id, log);
    const record = (after ?? before)!;
    if (log.scope === 0 && record.table === TABLE.interest) this.#interestChanged(log, record.keyHex, isLive);
    this.onChange(log, record);
    if (this.#owners.isVisible(log.owner)) this.#queueChange(log.scope, record);
  };

  #interestChanged(log: OwnerLog, keyHex: string, isLive: boolean): void {
    const vni = vniOfKeyHex(keyHex);
    if (vni === undefined) return;
    this.#interestedCache.delete(vni);
    if (log.owner !== this.#self) return;
    if (isLive) this.#interests.add(vni);
    else this.#interests.delete(vni);
  }

  #queueChange(scope: number, record: LogRecord): void {
    const { table, keyHex } = record;
    if (!KNOWN_TABLES.has(table)) return;
    this.#changes.add({ scope, table: table as Table, keyHex });
  }
}

function addClaimant(index: Map<string, OwnerLog | Set<OwnerLog>>, id: string, log: OwnerLog): void {
  const known = index.get(id);
  if (known === undefined) index.set(id, log);
  else if (known instanceof Set) known.add(log);
  else index.set(id, new Set([known, log]));
}

function dropClaimant(index: Map<string, OwnerLog | Set<OwnerLog>>, id: string, log: OwnerLog): void {
  const known = index.get(id);
  if (!(known instanceof Set)) {
    index.delete(id);
    return;
  }
  known.delete(log);
  if (known.size === 1) index.set(id, known.values().next().value!);
}
