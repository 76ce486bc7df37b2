/** How large a frame may be that is to reach a peer in one datagram. */
import { peerMaxPayload } from './peer';
import { SEAL_SIZE } from './sealed';
import { VXLAN_SIZE } from './vxlan';

/** Ethernet bytes that a datagram to the peer has room for; control lowers and raises it as the path changes. */
export function roomTo(peer: u32, isSealed: bool): u32 {
  const payload = peerMaxPayload(peer);
  const around = isSealed ? VXLAN_SIZE + SEAL_SIZE : VXLAN_SIZE;
  return payload > around ? payload - around : 0;
}
