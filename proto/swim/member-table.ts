import type { Address, Rng } from '../env.ts';
import { below } from '../rng.ts';
import type { Member, MemberState } from './interface.ts';
import { EMPTY_IMAGE } from './member-image.ts';
import type { MemberImage } from './member-image.ts';
import { addressKey, isUp } from './peer.ts';
import type { OwnPeer, Peer } from './peer.ts';
import { ProbeOrder } from './probe-order.ts';
import { VersionKinds } from './versions.ts';
import type { VersionHolder } from './versions.ts';

/**
 * The known nodes, by name, by address, and by place for random picks and rounds of probes (gossip.md 2.1).
 *
 * Members of the image keep their place there; what differs from it is in `#changed`. Those met later are in `#added`,
 * behind the image. No operation but `all` and `reap` looks at every node.
 */
export class MemberTable {
  readonly #image: MemberImage;
  readonly #rng: Rng;
  readonly #order: ProbeOrder;
  /** By place of the image: our own record, or undefined for one that was reaped. */
  readonly #changed = new Map<number, OwnPeer | undefined>();
  readonly #added: OwnPeer[] = [];
  /** Of the added. */
  readonly #byName = new Map<string, OwnPeer>();
  /** Of the added, and of those that moved. */
  readonly #byAddress = new Map<string, OwnPeer>();
  readonly #byIp = new Map<string, Set<OwnPeer>>();
  /** Smoothed round trips, ms, by name. */
  readonly #rtts = new Map<string, number>();
  #reaped = 0;
  /** Where the next node of a push/pull may be: lists of one image have one order. */
  #expected = 0;
  #upCount: number;

  constructor(rng: Rng, image: MemberImage = EMPTY_IMAGE) {
    this.#rng = rng;
    this.#image = image;
    this.#upCount = image.upCount;
    this.#order = new ProbeOrder(rng);
  }

  get size(): number {
    return this.#places - this.#reaped;
  }

  /** Alive or suspect, ourselves included. */
  get upCount(): number {
    return this.#upCount;
  }

  get(name: string): Peer | undefined {
    const added = this.#byName.get(name);
    if (added !== undefined) return added;
    const shared = this.#image.byName.get(name);
    return shared && this.#atPlace(shared.place);
  }

  /** In an order that changes only by adding and reaping; for dumps. */
  *all(): Generator<Peer> {
    for (let place = 0; place < this.#places; place++) {
      const peer = this.#atPlace(place);
      if (peer !== undefined) yield peer;
    }
  }

  /** Those that are not as the image has them. */
  *own(): Generator<Peer> {
    for (const peer of this.#changed.values()) if (peer !== undefined) yield peer;
    yield* this.#added;
  }

  /** The others, as push/pulls carry them. */
  packShared(): { count: number; wires: readonly Uint8Array[] } {
    return this.#image.pack(this.#changed);
  }

  /** Length of the node at `at` of a push/pull if it says only what the image does and we have not changed; else 0. */
  match(bytes: Uint8Array, at: number): number {
    const place = this.#image.find(bytes, at, this.#expected);
    if (place < 0 || this.#changed.has(place)) return 0;
    this.#expected = place + 1;
    return this.#image.wireLength(place);
  }

  /** The kinds of versions that there are. */
  versions(): readonly VersionHolder[] {
    const kinds = new VersionKinds();
    if (this.#changed.size < this.#image.peers.length) {
      for (const { name, vsn } of this.#image.peers.slice(0, 1)) kinds.add(name, true, vsn);
    }
    for (const { name, state, vsn } of this.own()) kinds.add(name, state === 'alive', vsn);
    return kinds.all;
  }

  /** A node that is not known, or one of the image by an own record. */
  add(peer: OwnPeer): void {
    const shared = this.#image.byName.get(peer.name);
    if (isUp(peer)) this.#upCount += 1;
    if (shared === undefined) {
      peer.place = this.#places;
      this.#added.push(peer);
      this.#byName.set(peer.name, peer);
    } else {
      const known = this.#atPlace(shared.place);
      if (known === undefined) this.#reaped -= 1;
      else if (isUp(known)) this.#upCount -= 1;
      peer.place = shared.place;
      this.#changed.set(peer.place, peer);
    }
    this.#index(peer);
  }

  /** The record to change: the same one, or an own copy of a shared one, which takes its place. */
  edit(peer: Peer): OwnPeer {
    if (this.#image.peers[peer.place] !== peer) return peer;
    const own = { ...peer };
    this.#changed.set(own.place, own);
    return own;
  }

  setState(now: number, peer: OwnPeer, state: MemberState): void {
    // The time of the change must not move with every alive message.
    if (peer.state === state) return;
    const wasUp = isUp(peer);
    peer.state = state;
    peer.stateChangeMs = now;
    if (wasUp !== isUp(peer)) this.#upCount += wasUp ? -1 : 1;
  }

  move(peer: OwnPeer, addr: Address, addrBytes: Uint8Array): void {
    this.#unindex(peer);
    peer.addr = addr;
    peer.addrBytes = addrBytes;
    this.#index(peer);
  }

  /** Who a packet from this address is from: the node there, else the only one with this IP. */
  at(addr: Address): Peer | undefined {
    const exact = this.atExactly(addr);
    if (exact !== undefined) return exact;
    const own = [...(this.#byIp.get(addr.ip) ?? [])];
    const shared = (this.#image.byIp.get(addr.ip) ?? []).flatMap((peer) => this.#stillAt(peer) ?? []);
    const sharing = new Set([...own, ...shared]);
    if (sharing.size !== 1) return undefined;
    const [only] = sharing;
    return only;
  }

  isAnyUpAt(ip: string): boolean {
    for (const peer of this.#byIp.get(ip) ?? []) if (isUp(peer)) return true;
    return (this.#image.byIp.get(ip) ?? []).some((peer) => {
      const current = this.#stillAt(peer);
      return current !== undefined && isUp(current);
    });
  }

  /** Exactly the node that announced this address. */
  atExactly(addr: Address): Peer | undefined {
    const key = addressKey(addr);
    const own = this.#byAddress.get(key);
    if (own !== undefined) return own;
    const shared = this.#image.byAddress.get(key);
    return shared && this.#stillAt(shared);
  }

  /** Up to `count` different nodes that pass; by random picks, so few of many may be missed. */
  pick(count: number, accepts: (peer: Peer) => boolean): Peer[] {
    const picked: Peer[] = [];
    const places = this.#places;
    for (let i = 0; i < 3 * places && picked.length < count; i++) {
      const peer = this.#atPlace(below(this.#rng, places));
      if (peer !== undefined && !picked.includes(peer) && accepts(peer)) picked.push(peer);
    }
    return picked;
  }

  /** The next in this round of probes, whoever it is; undefined when all had their turn. */
  nextInRound(): Peer | undefined {
    for (;;) {
      const place = this.#order.next(this.#places);
      if (place === undefined) return undefined;
      const peer = this.#atPlace(place);
      if (peer !== undefined) return peer;
    }
  }

  /** A new round, in a new order, without those that `isGone`. */
  startRound(isGone: (peer: Peer) => boolean): void {
    this.#order.restart();
    for (const [place, peer] of this.#changed) {
      if (peer === undefined || !isGone(peer)) continue;
      this.#forget(peer);
      this.#changed.set(place, undefined);
      this.#reaped += 1;
    }
    let kept = 0;
    for (const peer of this.#added) {
      if (isGone(peer)) {
        this.#byName.delete(peer.name);
        this.#forget(peer);
      } else {
        peer.place = this.#image.peers.length + kept;
        this.#added[kept++] = peer;
      }
    }
    this.#added.length = kept;
  }

  /** `sampleMs` is the round trip of one probe; smoothed as TCP does it. */
  noteRoundTrip({ name }: Peer, sampleMs: number): void {
    const before = this.#rtts.get(name);
    this.#rtts.set(name, before === undefined ? sampleMs : before + (sampleMs - before) * RTT_GAIN);
  }

  /** What the layer above sees: a copy, which later changes do not reach. */
  memberOf({ name, addr, meta, state, incarnation, stateChangeMs }: Peer): Member {
    const rttMs = this.#rtts.get(name);
    return { name, addr, meta: meta ?? NO_BYTES, state, incarnation, stateChangeMs, rttMs };
  }

  get #places(): number {
    return this.#image.peers.length + this.#added.length;
  }

  #atPlace(place: number): Peer | undefined {
    const { peers } = this.#image;
    if (place >= peers.length) return this.#added[place - peers.length];
    const own = this.#changed.size === 0 ? undefined : this.#changed.get(place);
    if (own !== undefined) return own;
    return this.#reaped > 0 && this.#changed.has(place) ? undefined : peers[place];
  }

  /** The current record of a shared one, as long as it has not moved. */
  #stillAt(shared: Peer): Peer | undefined {
    const peer = this.#atPlace(shared.place);
    return peer?.addr === shared.addr ? peer : undefined;
  }

  #forget(peer: OwnPeer): void {
    if (isUp(peer)) this.#upCount -= 1;
    this.#rtts.delete(peer.name);
    this.#unindex(peer);
  }

  #index(peer: OwnPeer): void {
    this.#byAddress.set(addressKey(peer.addr), peer);
    const sharing = this.#byIp.get(peer.addr.ip);
    if (sharing === undefined) this.#byIp.set(peer.addr.ip, new Set([peer]));
    else sharing.add(peer);
  }

  #unindex(peer: OwnPeer): void {
    const key = addressKey(peer.addr);
    // A newer name may have taken the address over.
    if (this.#byAddress.get(key) === peer) this.#byAddress.delete(key);
    const sharing = this.#byIp.get(peer.addr.ip);
    sharing?.delete(peer);
    if (sharing?.size === 0) this.#byIp.delete(peer.addr.ip);
  }
}

/** Weight of a new sample in the smoothed round trip. */
const RTT_GAIN = 1 / 8;
const NO_BYTES = new Uint8Array(0);
