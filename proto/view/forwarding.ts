/**
 * The wanted data-path tables as a function of state, own networks and static peers (design 5, gossip.md 7.7).
 *
 * Fed with "look again" changes, it re-reads the claims under that one key and emits row changes in an order that can
 * be applied as it comes: a peer is put before rows point to it and deleted after the last of them. `wanted()` gives
 * every row that ought to be there, for the auditor. Nothing is remembered that state does not say, but one thing:
 * a MAC that moves too often is frozen where it stands (MoveDamper).
 *
 * It reads no clock, writes no state, and says nothing of what is local: rows are of remote owners only.
 */
import type { Claim, StateChange, StateNode } from '../state/interface.ts';
import { TABLE } from '../state/interface.ts';
import { decodeEndpoint } from '../state/values/endpoint.ts';
import { interestKeyHex, vniOfKeyHex } from '../state/values/interest.ts';
import { macKeyHex, macOfKeyHex } from '../state/values/mac.ts';
import { decodeVtep } from '../state/values/vtep.ts';
import { toHex } from '../state/bytes.ts';
import { MOVE_LIMIT, MOVE_WINDOW_MS, MoveDamper } from './move-damper.ts';
import { NetworkTable } from './network-table.ts';
import type { Winner } from './network-table.ts';
import { PeerTable } from './peer-table.ts';
import type { MeaningOf, OwnNetwork, PeerRow, RowChange, StaticPeer, WantedRow } from './rows.ts';

export interface ForwardingOptions {
  /** Our member name: claims of ours give no rows. */
  readonly self: string;
  /** Largest UDP payload to a peer of which nothing else is known, bytes. */
  readonly maxPayload: number;
  /** Room in the data path's peer table. */
  readonly peerMax?: number;
  readonly moveLimit?: number;
  readonly moveWindowMs?: number;
  /** Owners that mean another network than we by a VNI get nothing, and nothing of theirs is a row here. */
  readonly meaningOf?: MeaningOf;
}

/** What state must answer; `State` does. */
export type ForwardingSource = Pick<StateNode, 'claims' | 'records'>;

export interface DuplicateMac {
  readonly type: 'duplicate-mac';
  readonly vni: number;
  readonly mac: number;
  /** Owners that claim it, the one it is frozen at first. */
  readonly owners: readonly string[];
}

/** One line of the forwarding table for people: who has a MAC. */
export interface EndpointEntry {
  readonly vni: number;
  readonly mac: number;
  readonly owner: string;
  readonly ips: readonly string[];
  readonly name: string;
  readonly held: boolean;
}

interface Vtep {
  readonly ip: string;
  readonly port: number;
  readonly peer: number | undefined;
}

interface PlacedStatic extends StaticPeer {
  readonly peer: number;
}

const NOBODY: ReadonlySet<string> = new Set();
/** Events that nobody takes are dropped, oldest first. */
const EVENTS_MAX = 1_024;
/** The core has 4,096 peer entries; indexes run from 1. */
const PEER_MAX = 4_095;

export class ForwardingView {
  readonly #source: ForwardingSource;
  readonly #self: string;
  readonly #damper: MoveDamper;
  readonly #peers: PeerTable;
  readonly #networks = new Map<number, NetworkTable>();
  readonly #vteps = new Map<string, Vtep>();
  readonly #ownersOfVtepKey = new Map<string, Set<string>>();
  readonly #interested = new Map<number, Set<string>>();
  #meaningOf: MeaningOf;
  /** By VNI, as the rows are now. */
  readonly #strangers = new Map<number, Set<string>>();
  #statics: PlacedStatic[] = [];
  #staticConfig: readonly StaticPeer[] = [];
  #changes: RowChange[] = [];
  readonly #events: DuplicateMac[] = [];
  readonly #counters = new Map<string, number>();

  constructor(options: ForwardingOptions, source: ForwardingSource) {
    this.#source = source;
    this.#self = options.self;
    this.#meaningOf = options.meaningOf ?? ((): undefined => undefined);
    this.#damper = new MoveDamper(options.moveLimit ?? MOVE_LIMIT, options.moveWindowMs ?? MOVE_WINDOW_MS);
    this.#peers = new PeerTable(options.peerMax ?? PEER_MAX, options.maxPayload, (row) =>
      this.#changes.push(row),
    );
    for (const record of source.records(0, TABLE.vtep)) this.#refreshVtepKey(toHex(record.key));
  }

  /** Sets the networks of this host; those that stay keep their rows. */
  setNetworks(now: number, networks: readonly OwnNetwork[]): void {
    const wanted = new Map(networks.map((n) => [n.vni, n]));
    for (const [vni, table] of this.#networks) {
      const next = wanted.get(vni);
      const { network, suppress, sealed } = table.own;
      if (next?.network !== network || next.suppress !== suppress || next.sealed !== sealed)
        this.#removeNetwork(vni);
    }
    for (const [vni, own] of wanted) if (!this.#networks.has(vni)) this.#addNetwork(now, vni, own);
    this.#placeStatics(this.#staticConfig);
  }

  setStaticPeers(peers: readonly StaticPeer[]): void {
    this.#staticConfig = peers;
    this.#placeStatics(peers);
  }

  /** Looks again at one key of state. Changes of other tables and networks are none of ours. */
  handleChange(now: number, change: StateChange): void {
    if (change.table === TABLE.endpoint) {
      const table = this.#networks.get(change.scope);
      const mac = macOfKeyHex(change.keyHex);
      if (table !== undefined && mac !== undefined) this.#refreshMac(now, change.scope, table, mac);
    } else if (change.scope === 0 && change.table === TABLE.vtep) {
      this.#refreshVtepKey(change.keyHex);
    } else if (change.scope === 0 && change.table === TABLE.interest) {
      const vni = vniOfKeyHex(change.keyHex);
      const table = vni === undefined ? undefined : this.#networks.get(vni);
      if (vni !== undefined && table !== undefined) this.#refreshMembers(now, vni, table);
    }
  }

  /** Which networks owners mean by their VNIs may have changed. */
  setMeaning(now: number, meaningOf: MeaningOf): void {
    this.#meaningOf = meaningOf;
    for (const [vni, table] of this.#networks) this.#refreshMembers(now, vni, table);
  }

  /** Thaws frozen MACs. */
  handleDeadline(now: number): void {
    for (const key of this.#damper.takeThawed(now)) {
      const [vni, mac] = key.split(' ').map(Number) as [number, number];
      const table = this.#networks.get(vni);
      if (table !== undefined) this.#refreshMac(now, vni, table, mac);
    }
  }

  nextDeadline(): number {
    return this.#damper.nextThaw();
  }

  /** Row changes since the last call, to be applied in order. */
  takeChanges(): RowChange[] {
    const changes = this.#changes;
    this.#changes = [];
    return changes;
  }

  pollEvent(): DuplicateMac | undefined {
    return this.#events.shift();
  }

  /** Every row that ought to be in the data path now. */
  *wanted(): Generator<WantedRow> {
    for (const row of this.#peers.rows()) yield { op: 'peer-put', ...row };
    for (const table of this.#networks.values()) yield* table.wanted();
  }

  /** Who has which MAC, on our networks or on one of them; ours too. */
  *endpoints(vni?: number): Generator<EndpointEntry> {
    for (const [key, table] of this.#networks) {
      if (vni !== undefined && vni !== key) continue;
      for (const [mac, { owner, ips, name, held }] of table.winners()) {
        yield { vni: key, mac, owner, ips, name, held };
      }
    }
  }

  /** Where an owner takes frames, as its vtep record says. */
  vtep(
    owner: string,
  ): { readonly ip: string; readonly port: number; readonly peer: number | undefined } | undefined {
    return this.#vteps.get(owner);
  }

  /** The other hosts that take part in each of our networks. */
  *participants(): Generator<{ readonly own: OwnNetwork; readonly owners: ReadonlySet<string> }> {
    for (const [vni, { own }] of this.#networks) yield { own, owners: this.#interested.get(vni) ?? NOBODY };
  }

  /** The largest UDP payload that reaches a peer, until it is forgotten or told anew. */
  setMaxPayload(peer: number, maxPayload: number): void {
    this.#peers.setMaxPayload(peer, maxPayload);
  }

  peerRow(peer: number): PeerRow | undefined {
    return this.#peers.row(peer);
  }

  /** "bad-endpoint", "bad-vtep": records whose value does not decode; "peer-table-full". */
  counters(): ReadonlyMap<string, number> {
    return this.#counters;
  }

  isStranger(vni: number, owner: string): boolean {
    return this.#strangers.get(vni)?.has(owner) === true;
  }

  // Networks

  #addNetwork(now: number, vni: number, own: OwnNetwork): void {
    const peerOf = (owner: string): number | undefined => this.#vteps.get(owner)?.peer;
    const table = new NetworkTable(own, this.#self, peerOf, (row) => this.#changes.push(row));
    this.#networks.set(vni, table);
    this.#refreshInterest(vni);
    for (const mac of this.#macsOf(vni, table)) this.#refreshMac(now, vni, table, mac);
  }

  /** Claimed now, or rows of ours. */
  #macsOf(vni: number, table: NetworkTable): Set<number> {
    const macs = new Set(table.winners().keys());
    for (const record of this.#source.records(vni, TABLE.endpoint)) {
      const mac = macOfKeyHex(toHex(record.key));
      if (mac !== undefined) macs.add(mac);
    }
    return macs;
  }

  #removeNetwork(vni: number): void {
    const table = this.#networks.get(vni)!;
    this.#placeStatics(this.#statics.filter((s) => s.vni !== vni));
    this.#networks.delete(vni);
    this.#interested.delete(vni);
    this.#strangers.delete(vni);
    this.#changes.push({ op: 'network-del', network: table.own.network });
  }

  // Endpoints

  #refreshMac(now: number, vni: number, table: NetworkTable, mac: number): void {
    const claims = this.#source.claims(vni, TABLE.endpoint, macKeyHex(mac));
    const candidates: Winner[] = [];
    const strangers = this.#strangers.get(vni);
    for (const claim of claims) {
      if (strangers?.has(claim.owner) === true) continue;
      const candidate = this.#decode(claim);
      if (candidate !== undefined) candidates.push(candidate);
    }
    table.setWinner(mac, this.#damp(now, vni, mac, table.winner(mac), candidates));
  }

  /** The best candidate, unless the MAC is frozen at another that still claims it. */
  #damp(
    now: number,
    vni: number,
    mac: number,
    before: Winner | undefined,
    candidates: Winner[],
  ): Winner | undefined {
    const best = candidates[0];
    if (best === undefined || before === undefined || best.owner === before.owner) return best;
    const key = `${vni} ${mac}`;
    if (this.#damper.isFrozen(now, key)) return candidates.find((c) => c.owner === before.owner) ?? best;
    if (this.#damper.moved(now, key)) {
      if (this.#events.length >= EVENTS_MAX) this.#events.shift();
      this.#events.push({ type: 'duplicate-mac', vni, mac, owners: candidates.map((c) => c.owner) });
    }
    return best;
  }

  #decode(claim: Claim): Winner | undefined {
    try {
      const { mobility, ips, name } = decodeEndpoint(claim.value);
      return { owner: claim.owner, held: claim.held, mobility, hlc: claim.hlc, ips: [...new Set(ips)], name };
    } catch {
      this.#count('bad-endpoint');
      return undefined;
    }
  }

  // Owners: where they stand, what they take part in

  #refreshVtepKey(keyHex: string): void {
    const claims = this.#source.claims(0, TABLE.vtep, keyHex);
    const before = this.#ownersOfVtepKey.get(keyHex) ?? new Set();
    const after = new Set<string>();
    for (const { owner, value } of claims) {
      if (owner === this.#self) continue;
      try {
        const { ip, port } = decodeVtep(value);
        after.add(owner);
        this.#setVtep(owner, ip, port);
      } catch {
        this.#count('bad-vtep');
      }
    }
    for (const owner of before) if (!after.has(owner)) this.#setVtep(owner, undefined, 0);
    if (after.size > 0) this.#ownersOfVtepKey.set(keyHex, after);
    else this.#ownersOfVtepKey.delete(keyHex);
  }

  /** Moves an owner to an address: new peer first, then the rows that follow it, then the old peer goes. */
  #setVtep(owner: string, ip: string | undefined, port: number): void {
    const before = this.#vteps.get(owner);
    if (ip === before?.ip && (ip === undefined || port === before?.port)) return;
    const peer = ip === undefined ? undefined : this.#peers.acquire(ip, port, false);
    if (ip !== undefined && peer === undefined) this.#count('peer-table-full');
    if (ip === undefined) this.#vteps.delete(owner);
    else this.#vteps.set(owner, { ip, port, peer });
    for (const [vni, table] of this.#networks) {
      table.refreshOwner(owner);
      if (this.#interested.get(vni)?.has(owner) !== true) continue;
      if (peer !== undefined) table.holdFlood(peer, 1);
      if (before?.peer !== undefined) table.holdFlood(before.peer, -1);
    }
    if (before?.peer !== undefined) this.#peers.release(before.peer, false);
  }

  #refreshMembers(now: number, vni: number, table: NetworkTable): void {
    const before = this.#strangers.get(vni) ?? new Set();
    this.#refreshInterest(vni);
    const after = this.#strangers.get(vni)!;
    if (before.size === after.size && [...before].every((owner) => after.has(owner))) return;
    for (const mac of this.#macsOf(vni, table)) this.#refreshMac(now, vni, table, mac);
  }

  #refreshInterest(vni: number): void {
    const table = this.#networks.get(vni)!;
    const before = this.#interested.get(vni) ?? new Set();
    const after = new Set<string>();
    const strangers = new Set<string>();
    const claims = this.#source.claims(0, TABLE.interest, interestKeyHex(vni));
    const own = claims.find(({ owner }) => owner === this.#self);
    const ours = own && this.#meaningOf(vni, this.#self, own.value);
    for (const { owner, value } of claims) {
      if (owner === this.#self) continue;
      const theirs = this.#meaningOf(vni, owner, value);
      if (ours !== undefined && theirs !== undefined && theirs !== ours) strangers.add(owner);
      else after.add(owner);
    }
    this.#strangers.set(vni, strangers);
    this.#interested.set(vni, after);
    for (const owner of after) if (!before.has(owner)) this.#holdFlood(table, owner, 1);
    for (const owner of before) if (!after.has(owner)) this.#holdFlood(table, owner, -1);
  }

  #holdFlood(table: NetworkTable, owner: string, delta: 1 | -1): void {
    const peer = this.#vteps.get(owner)?.peer;
    if (peer !== undefined) table.holdFlood(peer, delta);
  }

  // Static peers

  #placeStatics(peers: readonly StaticPeer[]): void {
    const before = this.#statics;
    this.#statics = [];
    for (const config of peers) {
      const table = this.#networks.get(config.vni);
      if (table === undefined) continue;
      const peer = this.#peers.acquire(config.addr, config.port, true);
      if (peer === undefined) {
        this.#count('peer-table-full');
        continue;
      }
      this.#statics.push({ ...config, peer });
      table.holdFlood(peer, 1);
      for (const mac of config.macs) table.pin(mac, peer);
    }
    const kept = new Map(this.#statics.flatMap((s) => s.macs.map((mac) => [`${s.vni} ${mac}`, s.peer])));
    for (const old of before) {
      const table = this.#networks.get(old.vni)!;
      for (const mac of old.macs) if (!kept.has(`${old.vni} ${mac}`)) table.pin(mac, undefined);
      table.holdFlood(old.peer, -1);
      this.#peers.release(old.peer, true);
    }
  }

  #count(name: string): void {
    this.#counters.set(name, (this.#counters.get(name) ?? 0) + 1);
  }
}
