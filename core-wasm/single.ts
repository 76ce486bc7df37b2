/**
 * A tunnel frame to a port as it came, with a zero vnet header: the receiving kernel verifies its checksums.
 *
 * But a kernel vxlan device that shares this machine (veth) or whose NIC was to finish the work sends inner checksums
 * unfinished, and TCP super-frames uncut. Such a frame shows by its checksum field holding exactly the pseudo-header's
 * sum; from peers that speak no gossip it is passed on as what it is, unfinished. A true checksum looks like that once
 * in 65,536, and is then merely not verified.
 */
import { classify, etherType, l3, l4, protocol } from './classify';
import { COUNTER_DELIVERED } from './counters';
import { fold } from './checksum';
import { TYPE_IPV4 } from './ethernet';
import { pseudoSum } from './merge';
import { outPut } from './out';
import { peerLearns, peerMaxPayload } from './peer';
import { PROTOCOL_TCP, TCP_SIZE, TCP_SUM, tcpHeaderLength } from './tcp';
import { PROTOCOL_UDP, UDP_SIZE, UDP_SUM } from './udp';
import { GSO_TCPV4, GSO_TCPV6, setGso, setPartial } from './vnet';
import { VXLAN_SIZE } from './vxlan';

/** Adds an out record; false: the table is full. `verdict` is 1 when no other copy carries it. */
export function emitSingle(port: u32, peer: u32, frame: usize, length: u32, verdict: u32): bool {
  const vnet = outPut(port, frame, length, 1, verdict, COUNTER_DELIVERED);
  if (!vnet) return false;
  if (peerLearns(peer) && isUnfinished(frame, length)) writeUnfinished(vnet, peer, frame, length);
  return true;
}

/** The frame's TCP or UDP checksum is only its pseudo-header's. Classifies the frame. */
export function isUnfinished(frame: usize, length: u32): bool {
  classify(frame, length);
  if (l4 == 0) return false;
  const isTcp = protocol == PROTOCOL_TCP;
  if (!isTcp && protocol != PROTOCOL_UDP) return false;
  if (l4 + (isTcp ? TCP_SIZE : UDP_SIZE) > length) return false;
  const there: u32 = load<u16>(frame + l4 + (isTcp ? TCP_SUM : UDP_SUM));
  return there == fold(pseudoSum(frame + l3, etherType == TYPE_IPV4, protocol, length - l4));
}

function writeUnfinished(vnet: usize, peer: u32, frame: usize, length: u32): void {
  setPartial(vnet, l4, protocol == PROTOCOL_TCP ? TCP_SUM : UDP_SUM);
  if (protocol != PROTOCOL_TCP) return;
  // An uncut super-frame: its segments are what fits the path to the peer.
  const headers = l4 + tcpHeaderLength(frame + l4);
  const largest = peerMaxPayload(peer) - VXLAN_SIZE;
  if (length <= largest || headers >= largest) return;
  setGso(vnet, etherType == TYPE_IPV4 ? GSO_TCPV4 : GSO_TCPV6, largest - headers, headers);
}
