/**
 * What membership means for state (gossip.md 7.8): who counts, whose records go, and whom to greet or ask when somebody
 * appears, comes back, or takes part in a network of ours.
 */
import type { Rng } from '../env.ts';
import type { Bulk } from './bulk.ts';
import type { Counters } from './counters.ts';
import type { Farewells } from './farewells.ts';
import type { Gaps } from './gaps.ts';
import type { Heads } from './heads.ts';
import type { Identities } from './identities.ts';
import type { Merge } from './merge.ts';
import type { OwnLogs } from './own-logs.ts';
import type { OwnerLog } from './owner-log.ts';
import type { OwnerEvent, Owners } from './owners.ts';
import type { Store } from './store.ts';
import type { Strangers } from './strangers.ts';
import type { SyncClient } from './sync-client.ts';
import { DIRECT_MAX } from './targets.ts';
import { vniOfKeyHex } from './values/interest.ts';

export interface PeersDeps {
  readonly self: string;
  readonly rng: Rng;
  readonly owners: Owners;
  readonly store: Store;
  readonly ownLogs: OwnLogs;
  readonly heads: Heads;
  readonly gaps: Gaps;
  readonly merge: Merge;
  readonly bulk: Bulk;
  readonly client: SyncClient;
  readonly identities: Identities;
  readonly strangers: Strangers;
  readonly farewells: Farewells;
  readonly counters: Counters;
}

/** A host that just started greets everybody; an old one only in a small cluster. */
const YOUNG_MS = 30_000;
/** Spreads the questions of all who saw the same member come back. */
const HEAL_JITTER_MS = 1_000;
/** How many ask one member that came back; each exchange serves both, and digests find who was left out. */
const ASKERS = 8;

export class Peers {
  readonly #deps: PeersDeps;
  #startedMs = 0;

  constructor(deps: PeersDeps) {
    this.#deps = deps;
  }

  start(now: number): void {
    this.#startedMs = now;
  }

  handleAlive(now: number, name: string, epoch: bigint | undefined): void {
    const { owners, store, strangers } = this.#deps;
    const isStranger = strangers.is(name);
    const { event, isNew } = owners.alive(name, epoch);
    if (isStranger) strangers.welcome(name);
    store.forgetInterested();
    this.#follow(event);
    if (isNew && epoch !== undefined) this.#welcome(now, name, event !== undefined);
  }

  handleDead(now: number, name: string): void {
    const { owners, store, bulk } = this.#deps;
    this.#follow(owners.dead(now, name));
    store.forgetInterested();
    bulk.forget(name);
  }

  /** Membership is not signed: who has not said good-bye itself may be there still, and is held as if it were dead. */
  handleLeft(now: number, name: string): void {
    const { owners, store, bulk, identities, counters } = this.#deps;
    const epoch = this.#epochOf(name);
    if (epoch > 0n && !identities.isRetired(name, epoch)) {
      counters.add('left-unsigned');
      this.handleDead(now, name);
      return;
    }
    this.#follow(owners.left(now, name, epoch));
    store.forgetInterested();
    bulk.forget(name);
  }

  /** Ends the logs of all who said good-bye since. */
  handleGoodbyes(now: number): void {
    for (const log of this.#deps.farewells.take()) this.#goodbye(now, log);
  }

  /** Whether it is still a member is for membership to say: an old good-bye that is replayed ends but the old epoch. */
  #goodbye(now: number, log: OwnerLog): void {
    const { owners, store, identities, farewells, counters } = this.#deps;
    const { owner, epoch } = log;
    if (identities.isRetired(owner, epoch)) return;
    counters.add('goodbyes');
    farewells.keep(log);
    identities.retire(owner, epoch);
    store.touchOwner(owner);
    const isGone = this.#epochOf(owner) <= epoch && owners.liveness(owner) !== 'alive';
    if (isGone) this.#follow(owners.left(now, owner, epoch));
    else for (const other of store.logsOf(owner)) if (other.epoch <= epoch) this.#remove(other);
    store.forgetInterested();
  }

  /** Keys became void, or good again, or the operator's list is another: what no longer counts goes at once. */
  handleIdentities(): void {
    const { self, store, identities, farewells, bulk } = this.#deps;
    const ended = new Set<string>();
    for (const scope of store.scopes()) {
      for (const { owner, key } of store.logs(scope))
        if (owner !== self && identities.isVoid(owner, key)) ended.add(owner);
    }
    for (const owner of ended) {
      // Readers look again at all of it, and find nothing.
      store.touchOwner(owner);
      for (const log of store.logsOf(owner)) this.#remove(log);
      farewells.forget(owner);
      bulk.forget(owner);
    }
    store.forgetInterested();
  }

  /** Ends holds and forgets those who are long gone; whether there were any. */
  handleDeadline(now: number): boolean {
    const events = this.#deps.owners.handleDeadline(now, (owner) => this.#epochOf(owner));
    for (const event of events) this.#follow(event);
    return events.length > 0;
  }

  /** Somebody, perhaps we, entered or left a network. */
  interestChanged(now: number, owner: string, keyHex: string): void {
    const { self, store, ownLogs, client, owners, heads } = this.#deps;
    const vni = vniOfKeyHex(keyHex);
    if (vni === undefined) return;
    const isOurs = store.interests().has(vni);
    if (owner === self && isOurs) {
      ownLogs.open(now, vni);
      client.open(now, vni);
    } else if (owner === self) {
      client.close(vni);
      store.leaveScope(vni);
    } else if (isOurs && owners.isPeer(owner)) {
      client.kick(now, vni);
      heads.greet(now, owner, ownLogs.log(vni));
      this.#askIfUnknown(now, vni, owner);
    }
  }

  /** A peer is there (again): it may have missed our words, and after a separation we may have missed others'. */
  #welcome(now: number, name: string, isBack: boolean): void {
    const { store, ownLogs, heads, client } = this.#deps;
    if (now - this.#startedMs < YOUNG_MS || this.#isSmall(0)) {
      for (const log of ownLogs.all()) {
        if (log.scope === 0 || store.takesPart(name, log.scope)) heads.greet(now, name, log);
      }
    }
    for (const scope of [0, ...store.interests()]) {
      if (scope !== 0 && !store.takesPart(name, scope)) continue;
      client.kick(now, scope);
      if (!isBack) this.#askIfUnknown(now, scope, name);
      else if (this.#isAsker(scope)) client.trigger(now, scope, name, this.#jitter());
    }
  }

  /** Who left and came back by hand says nothing anew: in a small cluster all ask it, in a large one digests tell. */
  #askIfUnknown(now: number, scope: number, name: string): void {
    const { store, client } = this.#deps;
    if (this.#isSmall(scope) && store.log(scope, name) === undefined)
      client.trigger(now, scope, name, this.#jitter());
  }

  /** In a large cluster some of those who see one member come back ask it; of a whole part that comes back, all. */
  #isAsker(scope: number): boolean {
    const { store, rng } = this.#deps;
    return this.#isSmall(scope) || rng.float() * store.interestedAtMost(scope) < ASKERS;
  }

  #isSmall(scope: number): boolean {
    return this.#deps.store.interestedAtMost(scope) <= DIRECT_MAX;
  }

  #jitter(): number {
    return this.#deps.rng.float() * HEAL_JITTER_MS;
  }

  #follow(event: OwnerEvent | undefined): void {
    const { store } = this.#deps;
    if (event === undefined) return;
    // Also before a removal: by now the owner counts for nothing, so that removing its records tells nobody.
    store.touchOwner(event.owner);
    if (event.type === 'removed') {
      for (const log of store.logsOf(event.owner)) this.#remove(log);
    }
  }

  #remove(log: OwnerLog): void {
    const { store, merge, gaps } = this.#deps;
    store.removeLog(log);
    merge.forget(log);
    gaps.forget(log);
  }

  /** The highest epoch that we know of an owner. */
  #epochOf(owner: string): bigint {
    let epoch = 0n;
    for (const log of this.#deps.store.logsOf(owner)) if (log.epoch > epoch) epoch = log.epoch;
    return epoch;
  }
}
