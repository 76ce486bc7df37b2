/** All peers, in the order of the tables. */

import { fastdPeer } from './fastd.ts';
import { kernelVxlanPeer } from './kernel-vxlan.ts';
import { nebulaPeer } from './nebula.ts';
import { openvpnPeer } from './openvpn.ts';
import { overlaydBatchPeer, overlaydDgramPeer, overlaydSealedPeer } from './overlayd.ts';
import type { Peer } from './peer.ts';
import { tincPeer } from './tinc.ts';
import { vethPeer } from './veth.ts';
import { wireguardGoPeer, wireguardGoTrixiePeer } from './wireguard-go.ts';

/** Ratios are to this one; it is measured whenever any other is. */
export const REFERENCE = kernelVxlanPeer;

export const PEERS: readonly Peer[] = [
  vethPeer,
  kernelVxlanPeer,
  overlaydBatchPeer,
  overlaydSealedPeer,
  overlaydDgramPeer,
  wireguardGoPeer,
  wireguardGoTrixiePeer,
  nebulaPeer,
  tincPeer,
  fastdPeer,
  openvpnPeer,
];
