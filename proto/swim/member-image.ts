import type { Address } from '../env.ts';
import { ipToBytes } from '../memberlist/address.ts';
import { ByteWriter } from '../memberlist/byte-writer.ts';
import { writeNode } from '../memberlist/stream-message.ts';
import { addressKey, isUp, nodeOf } from './peer.ts';
import type { Peer } from './peer.ts';
import { ownVersions } from './versions.ts';

/**
 * The member list of a cluster that has converged, to start members with instead of joins. One image serves any number
 * of members of one process: each keeps only what has changed since. Ten thousand tables of ten thousand members so cost
 * what they differ in.
 */
export interface ImageMember {
  readonly name: string;
  readonly addr: Address;
  readonly meta?: Uint8Array | null;
  /** 1 by default: that of a member that never had to refute anything. */
  readonly incarnation?: number;
}

/** Where the address of a node ends. */
const NODE_ADDRESS_END = 11;

export class MemberImage {
  /** Index = place. All are alive. */
  readonly peers: readonly Peer[];
  readonly byName: ReadonlyMap<string, Peer>;
  readonly byAddress: ReadonlyMap<string, Peer>;
  readonly byIp: ReadonlyMap<string, readonly Peer[]>;
  readonly upCount: number;
  /** All peers as push/pulls carry them, one behind the other; where each begins, and where the last ends. */
  readonly #wire: Uint8Array;
  readonly #starts: Uint32Array;
  /** Place by the first bytes that tell peers apart: the IPv4 address. */
  readonly #placeOf: ReadonlyMap<number, number>;

  /** Throws RangeError for a name that is there twice, or an address that is none. */
  constructor(members: Iterable<ImageMember> = []) {
    const vsn = ownVersions([0, 255, 0]);
    this.peers = Array.from(members, (member, place) => peerOf(member, vsn, place));
    this.byName = new Map(this.peers.map((peer) => [peer.name, peer]));
    if (this.byName.size !== this.peers.length) throw new RangeError('two members of an image have one name');
    this.byAddress = new Map(this.peers.map((peer) => [addressKey(peer.addr), peer]));
    const byIp = new Map<string, Peer[]>();
    for (const peer of this.peers) {
      const sharing = byIp.get(peer.addr.ip);
      if (sharing === undefined) byIp.set(peer.addr.ip, [peer]);
      else sharing.push(peer);
    }
    this.byIp = byIp;
    this.upCount = this.peers.filter(isUp).length;
    this.#starts = new Uint32Array(this.peers.length + 1);
    const out = new ByteWriter(128 * this.peers.length);
    for (const peer of this.peers) {
      writeNode(out, nodeOf(peer));
      this.#starts[peer.place + 1] = out.finish().length;
    }
    this.#wire = out.finish();
    this.#placeOf = new Map(
      this.peers.map(({ place }) => [this.#addressAt(this.#wire, this.#start(place)), place]),
    );
  }

  /** Everything but these places. */
  pack(but: ReadonlyMap<number, unknown>): { count: number; wires: readonly Uint8Array[] } {
    const wires: Uint8Array[] = [];
    const count = this.peers.length;
    let from = 0;
    for (const place of [...but.keys(), count].sort((a, b) => a - b)) {
      if (place > from) wires.push(this.#wire.subarray(this.#start(from), this.#start(place)));
      from = place + 1;
    }
    return { count: count - but.size, wires };
  }

  /** The place whose node is, byte for byte, at `at`, or -1. `expected` is looked at first. */
  find(bytes: Uint8Array, at: number, expected: number): number {
    if (this.#isAt(bytes, at, expected)) return expected;
    if (at + NODE_ADDRESS_END > bytes.length) return -1;
    const place = this.#placeOf.get(this.#addressAt(bytes, at)) ?? -1;
    return this.#isAt(bytes, at, place) ? place : -1;
  }

  wireLength(place: number): number {
    return this.#start(place + 1) - this.#start(place);
  }

  #isAt(bytes: Uint8Array, at: number, place: number): boolean {
    if (place < 0 || place >= this.peers.length) return false;
    const start = this.#start(place);
    const length = this.#start(place + 1) - start;
    if (at + length > bytes.length) return false;
    const wire = this.#wire;
    for (let i = 0; i < length; i++) if (wire[start + i] !== bytes[at + i]) return false;
    return true;
  }

  /** The four bytes where an IPv4 address is: `87 a4 "Addr" a4`, then these. Anything, where there is none. */
  #addressAt(bytes: Uint8Array, at: number): number {
    const high = (bytes[at + 7] as number) * 256 + (bytes[at + 8] as number);
    return high * 65_536 + (bytes[at + 9] as number) * 256 + (bytes[at + 10] as number);
  }

  #start(place: number): number {
    return this.#starts[place] as number;
  }
}

/** What members without an image start from. */
export const EMPTY_IMAGE = new MemberImage();

function peerOf(
  { name, addr, meta = null, incarnation = 1 }: ImageMember,
  vsn: Uint8Array,
  place: number,
): Peer {
  const addrBytes = ipToBytes(addr.ip);
  if (addrBytes === undefined) throw new RangeError(`"${addr.ip}" is no IP address`);
  return {
    name,
    addr,
    addrBytes,
    meta,
    vsn,
    incarnation,
    state: 'alive',
    stateChangeMs: 0,
    suspicion: undefined,
    conflictAtMs: -Infinity,
    place,
  };
}
