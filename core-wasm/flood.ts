/**
 * Flood lists: per network one bit for each peer that gets its broadcasts, multicasts and unknown unicast
 * (head-end replication, RFC 7348 §4.2 without underlay multicast).
 */
import { FLOOD_BASE, FLOOD_SIZE, PEER_MAX } from './layout';
import { NETWORK_FLOOD_PEERS, networkAt, networkCount } from './network';

export const NO_MORE: u32 = 0xffffffff;

function wordAt(network: u32, peer: u32): usize {
  return FLOOD_BASE + network * FLOOD_SIZE + ((peer >> 6) << 3);
}

export function floodPut(network: u32, peer: u32): void {
  const at = wordAt(network, peer);
  const bit = (1 as u64) << (peer & 63);
  if (load<u64>(at) & bit) return;
  store<u64>(at, load<u64>(at) | bit);
  networkCount(network, NETWORK_FLOOD_PEERS, 1);
}

export function floodDelete(network: u32, peer: u32): void {
  const at = wordAt(network, peer);
  const bit = (1 as u64) << (peer & 63);
  if (!(load<u64>(at) & bit)) return;
  store<u64>(at, load<u64>(at) & ~bit);
  networkCount(network, NETWORK_FLOOD_PEERS, -1);
}

export function floodClear(network: u32): void {
  memory.fill(FLOOD_BASE + network * FLOOD_SIZE, 0, FLOOD_SIZE);
  store<u32>(networkAt(network), 0, NETWORK_FLOOD_PEERS);
}

export function floodPeers(network: u32): u32 {
  return load<u32>(networkAt(network), NETWORK_FLOOD_PEERS);
}

/** The first peer of the list at or after `from`, or NO_MORE. */
export function floodNext(network: u32, from: u32): u32 {
  let peer = from;
  while (peer < PEER_MAX) {
    const word = load<u64>(wordAt(network, peer)) >> (peer & 63);
    if (word) return peer + (ctz<u64>(word) as u32);
    peer = (peer | 63) + 1;
  }
  return NO_MORE;
}
