/** All peers, in the order of the tables. */

import { kernelVxlanPeer } from './kernel-vxlan.ts';
import { overlaydBatchPeer, overlaydDgramPeer } from './overlayd.ts';
import type { Peer } from './peer.ts';
import { vethPeer } from './veth.ts';
import { wireguardGoPeer, wireguardGoTrixiePeer } from './wireguard-go.ts';

/** Ratios are to this one; it is measured whenever any other is. */
export const REFERENCE = kernelVxlanPeer;

export const PEERS: readonly Peer[] = [
  vethPeer,
  kernelVxlanPeer,
  overlaydBatchPeer,
  overlaydDgramPeer,
  wireguardGoPeer,
  wireguardGoTrixiePeer,
];
