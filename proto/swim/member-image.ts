import type { Address } from '../env.ts';
import { ipToBytes } from '../memberlist/address.ts';
import { addressKey, isUp } from './peer.ts';
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

export class MemberImage {
  /** Index = place. All are alive. */
  readonly peers: readonly Peer[];
  readonly byName: ReadonlyMap<string, Peer>;
  readonly byAddress: ReadonlyMap<string, Peer>;
  readonly byIp: ReadonlyMap<string, readonly Peer[]>;
  readonly upCount: number;

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
