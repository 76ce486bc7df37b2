import type { Address, Rng } from '../env.ts';
import { below, shuffle } from '../rng.ts';
import type { Member, MemberState } from './interface.ts';
import type { Suspicion } from './suspicions.ts';
import type { Versions } from './versions.ts';

/** What we hold of one node, ourselves included. */
export interface Peer {
  readonly name: string;
  addr: Address;
  /** The 4 or 16 bytes as they were announced, for passing on. */
  addrBytes: Uint8Array;
  /** null and empty mean the same, and are passed on as they came. */
  meta: Uint8Array | null;
  vsn: Versions;
  incarnation: number;
  state: MemberState;
  stateChangeMs: number;
  rttMs: number | undefined;
  suspicion: Suspicion | undefined;
  conflictAtMs: number;
}

/**
 * The known nodes, by name, by address, and in a random order for probing and picking (gossip.md 2.1: a new node is
 * swapped with a random one). No operation but `reap` looks at every node.
 */
export class MemberTable {
  readonly #byName = new Map<string, Peer>();
  readonly #order: Peer[] = [];
  readonly #byAddress = new Map<string, Peer>();
  readonly #byIp = new Map<string, Set<Peer>>();
  readonly #rng: Rng;

  constructor(rng: Rng) {
    this.#rng = rng;
  }

  get size(): number {
    return this.#byName.size;
  }

  get(name: string): Peer | undefined {
    return this.#byName.get(name);
  }

  /** In an order that changes only by adding and reaping; for rounds and dumps. */
  get order(): readonly Peer[] {
    return this.#order;
  }

  add(peer: Peer): void {
    this.#byName.set(peer.name, peer);
    const at = below(this.#rng, this.#order.length + 1);
    this.#order.push(peer);
    const other = this.#order[at] as Peer;
    this.#order[at] = peer;
    this.#order[this.#order.length - 1] = other;
    this.#index(peer);
  }

  move(peer: Peer, addr: Address, addrBytes: Uint8Array): void {
    this.#unindex(peer);
    peer.addr = addr;
    peer.addrBytes = addrBytes;
    this.#index(peer);
  }

  /** Who a packet from this address is from: the node there, else the only one with this IP. */
  at(addr: Address): Peer | undefined {
    const exact = this.#byAddress.get(addressKey(addr));
    if (exact !== undefined) return exact;
    const sharing = this.#byIp.get(addr.ip);
    if (sharing?.size !== 1) return undefined;
    const [only] = sharing;
    return only;
  }

  /** Exactly the node that announced this address. */
  atExactly(addr: Address): Peer | undefined {
    return this.#byAddress.get(addressKey(addr));
  }

  /** Up to `count` different nodes that pass; by random picks, so few of many may be missed. */
  pick(count: number, accepts: (peer: Peer) => boolean): Peer[] {
    const picked: Peer[] = [];
    for (let i = 0; i < 3 * this.#order.length && picked.length < count; i++) {
      const peer = this.#order[below(this.#rng, this.#order.length)] as Peer;
      if (!picked.includes(peer) && accepts(peer)) picked.push(peer);
    }
    return picked;
  }

  /** Forgets those that `isGone`, and makes a new random order. */
  reap(isGone: (peer: Peer) => boolean): void {
    let kept = 0;
    for (const peer of this.#order) {
      if (isGone(peer)) {
        this.#byName.delete(peer.name);
        this.#unindex(peer);
      } else {
        this.#order[kept++] = peer;
      }
    }
    this.#order.length = kept;
    shuffle(this.#rng, this.#order);
  }

  #index(peer: Peer): void {
    this.#byAddress.set(addressKey(peer.addr), peer);
    const sharing = this.#byIp.get(peer.addr.ip);
    if (sharing === undefined) this.#byIp.set(peer.addr.ip, new Set([peer]));
    else sharing.add(peer);
  }

  #unindex(peer: Peer): void {
    const key = addressKey(peer.addr);
    // A newer name may have taken the address over.
    if (this.#byAddress.get(key) === peer) this.#byAddress.delete(key);
    const sharing = this.#byIp.get(peer.addr.ip);
    sharing?.delete(peer);
    if (sharing?.size === 0) this.#byIp.delete(peer.addr.ip);
  }
}

export function addressKey({ ip, port }: Address): string {
  return `${ip} ${port}`;
}

/** What the layer above sees: a copy, which later changes do not reach. */
export function memberOf(peer: Peer): Member {
  const { name, addr, state, incarnation, stateChangeMs, rttMs } = peer;
  return { name, addr, meta: peer.meta ?? new Uint8Array(0), state, incarnation, stateChangeMs, rttMs };
}

/** Takes part: gets pings and gossip. */
export function isUp({ state }: Peer): boolean {
  return state === 'alive' || state === 'suspect';
}
