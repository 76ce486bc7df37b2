/**
 * Wanted rows of one network: who owns each MAC, and from that forwarding, neighbour and flood rows.
 *
 * Every refresh* compares what is wanted with what was last emitted for one key and emits the difference, so work is
 * in proportion to the change, puts replace, and a loser's delete never takes a winner's row away.
 * It does not know the state layer: the view hands it winning claims.
 */
import type { RankedMac } from './ranked-macs.ts';
import { RankedMacs } from './ranked-macs.ts';
import type { OwnNetwork, RowChange, WantedRow } from './rows.ts';

/** The winning claim on a MAC. */
export interface Winner {
  readonly owner: string;
  readonly held: boolean;
  readonly mobility: number;
  readonly hlc: bigint;
  readonly ips: readonly string[];
  readonly name: string;
}

/** What the table asks of the view: where an owner stands (undefined: unknown, or it is us). */
export type PeerOf = (owner: string) => number | undefined;

export class NetworkTable {
  readonly own: OwnNetwork;
  readonly #self: string;
  readonly #peerOf: PeerOf;
  readonly #emit: (change: RowChange) => void;

  readonly #winners = new Map<number, Winner>();
  readonly #macsOfOwner = new Map<string, Set<number>>();
  readonly #macsOfIp = new Map<string, RankedMacs>();
  readonly #pinned = new Map<number, number>();
  readonly #floodHolders = new Map<number, number>();
  /** Emitted rows. */
  readonly #fdb = new Map<number, { peer: number; pinned: boolean }>();
  readonly #neighbours = new Map<string, number>();

  constructor(own: OwnNetwork, self: string, peerOf: PeerOf, emit: (change: RowChange) => void) {
    this.own = own;
    this.#self = self;
    this.#peerOf = peerOf;
    this.#emit = emit;
    emit({ op: 'network-put', ...own });
  }

  winner(mac: number): Winner | undefined {
    return this.#winners.get(mac);
  }

  winners(): ReadonlyMap<number, Winner> {
    return this.#winners;
  }

  setWinner(mac: number, winner: Winner | undefined): void {
    const before = this.#winners.get(mac);
    if (before !== undefined) dropFrom(this.#macsOfOwner, before.owner, mac);
    if (winner === undefined) this.#winners.delete(mac);
    else {
      this.#winners.set(mac, winner);
      addTo(this.#macsOfOwner, winner.owner, mac);
    }
    for (const ip of before?.ips ?? []) this.#dropIp(ip, mac);
    if (winner !== undefined) for (const ip of winner.ips) this.#addIp(ip, mac, winner);
    this.#refreshFdb(mac);
    for (const ip of before?.ips ?? []) this.#refreshNeighbour(ip);
    for (const ip of winner?.ips ?? []) this.#refreshNeighbour(ip);
  }

  /** The owner's peer index has changed. */
  refreshOwner(owner: string): void {
    for (const mac of this.#macsOfOwner.get(owner) ?? []) this.#refreshFdb(mac);
  }

  /** A configured MAC of a static peer: outranks every claim. */
  pin(mac: number, peer: number | undefined): void {
    if (peer === undefined) this.#pinned.delete(mac);
    else this.#pinned.set(mac, peer);
    this.#refreshFdb(mac);
  }

  /** One more, or one less, wants broadcast frames at this peer. */
  holdFlood(peer: number, delta: 1 | -1): void {
    const holders = (this.#floodHolders.get(peer) ?? 0) + delta;
    const { network } = this.own;
    if (holders > 0) this.#floodHolders.set(peer, holders);
    else this.#floodHolders.delete(peer);
    if (holders === 1 && delta === 1) this.#emit({ op: 'flood-put', network, peer });
    if (holders === 0) this.#emit({ op: 'flood-del', network, peer });
  }

  /** All rows of this network, peers apart. */
  *wanted(): Generator<WantedRow> {
    const { network } = this.own;
    yield { op: 'network-put', ...this.own };
    for (const peer of this.#floodHolders.keys()) yield { op: 'flood-put', network, peer };
    for (const [mac, row] of this.#fdb) yield { op: 'fdb-put', network, mac, ...row };
    for (const [ip, mac] of this.#neighbours) yield { op: 'neighbour-put', network, ip, mac };
  }

  #refreshFdb(mac: number): void {
    const { network } = this.own;
    const wanted = this.#wantedFdb(mac);
    const actual = this.#fdb.get(mac);
    if (wanted === undefined) {
      if (this.#fdb.delete(mac)) this.#emit({ op: 'fdb-del', network, mac });
    } else if (wanted.peer !== actual?.peer || wanted.pinned !== actual.pinned) {
      this.#fdb.set(mac, wanted);
      this.#emit({ op: 'fdb-put', network, mac, ...wanted });
    }
  }

  #wantedFdb(mac: number): { peer: number; pinned: boolean } | undefined {
    const pinned = this.#pinned.get(mac);
    if (pinned !== undefined) return { peer: pinned, pinned: true };
    const winner = this.#winners.get(mac);
    if (winner === undefined || winner.owner === this.#self) return undefined;
    const peer = this.#peerOf(winner.owner);
    return peer === undefined ? undefined : { peer, pinned: false };
  }

  #refreshNeighbour(ip: string): void {
    const { network } = this.own;
    const wanted = this.#wantedNeighbour(ip);
    const actual = this.#neighbours.get(ip);
    if (wanted === actual) return;
    if (wanted === undefined) {
      this.#neighbours.delete(ip);
      this.#emit({ op: 'neighbour-del', network, ip, mac: actual! });
    } else {
      this.#neighbours.set(ip, wanted);
      this.#emit({ op: 'neighbour-put', network, ip, mac: wanted });
    }
  }

  /** The MAC that answers for an IP; undefined when nobody does or it is on this host and answers itself. */
  #wantedNeighbour(ip: string): number | undefined {
    const best = this.#macsOfIp.get(ip)?.best();
    return best === undefined || best.winner.owner === this.#self ? undefined : best.mac;
  }

  #addIp(ip: string, mac: number, winner: Winner): void {
    let macs = this.#macsOfIp.get(ip);
    if (macs === undefined) {
      macs = new RankedMacs(outranks);
      this.#macsOfIp.set(ip, macs);
    }
    macs.set(mac, winner);
  }

  #dropIp(ip: string, mac: number): void {
    const macs = this.#macsOfIp.get(ip);
    macs?.delete(mac);
    if (macs?.size === 0) this.#macsOfIp.delete(ip);
  }
}

/** gossip.md 7.7 for (VNI, IP): live before held, mobility, HLC, lower name; then lower MAC, for two of one owner. */
function outranks({ mac: macA, winner: a }: RankedMac, { mac: macB, winner: b }: RankedMac): boolean {
  if (a.held !== b.held) return b.held;
  if (a.mobility !== b.mobility) return a.mobility > b.mobility;
  if (a.hlc !== b.hlc) return a.hlc > b.hlc;
  if (a.owner !== b.owner) return a.owner < b.owner;
  return macA < macB;
}

function addTo(sets: Map<string, Set<number>>, key: string, member: number): void {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([member]));
  else set.add(member);
}

function dropFrom(sets: Map<string, Set<number>>, key: string, member: number): void {
  const set = sets.get(key);
  if (set?.delete(member) === true && set.size === 0) sets.delete(key);
}
