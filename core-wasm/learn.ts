/**
 * Learning from a port's own frames: which MACs and IPs live behind it. Everything else comes by command.
 *
 * A new or moved address costs a token of the port's bucket and a place in its quota; without them a frame from an
 * unknown source is dropped, so that 10^6 random sources fill neither the table nor the event ring, while frames of
 * known sources go on.
 */
import { count } from './account';
import { take } from './bucket';
import { loadMac } from './bytes';
import { etherType, l3, l4, protocol } from './classify';
import { CONFIG_LEARN_PPS, config } from './config';
import { COUNTER_IPS_LEARNED, COUNTER_MACS_LEARNED, COUNTER_MACS_MOVED } from './counters';
import { ETHERNET_SIZE, ETHERNET_SOURCE, TYPE_ARP, TYPE_IPV6 } from './ethernet';
import { EVENT_IP_LEARNED, EVENT_MAC_LEARNED, emit } from './event';
import { ARP_SENDER_IP, isArpForIpv4 } from './arp';
import { IPV6_SOURCE, NEXT_ICMPV6 } from './ipv6';
import {
  isAdvertisement,
  isSolicitation,
  isUnspecified,
  linkLayerOption,
  ndpTarget,
  optionMatches,
} from './ndp';
import {
  FDB_LEARNED,
  FDB_LOCAL,
  FDB_STATIC,
  entryDestination,
  entryHas,
  entryTouch,
  fdbFind,
  fdbInsert,
  fdbKey,
  fdbMove,
} from './fdb';
import {
  MAPPED_HIGH,
  NEIGHBOUR_LOCAL,
  mappedLow,
  neighbourFind,
  neighbourInsert,
  neighbourIsLocal,
  neighbourMac,
  neighbourPort,
  neighbourSet,
} from './neighbour';
import { PORT_IPS, PORT_LEARN_BUCKET, PORT_MACS, PORT_QUOTA, portAt } from './port';
import {
  REASON_FDB_FULL,
  REASON_LEARN_RATE,
  REASON_MAC_QUOTA,
  REASON_NONE,
  REASON_SOURCE_PINNED,
} from './reason';

/** IPs that a port may have for each MAC of its quota: link-local, global and temporary addresses, and some aliases. */
const IPS_PER_MAC: u32 = 4;

/** Learns the source MAC of a port's frame. REASON_NONE, or why the frame must not go on. */
export function learnMac(network: u32, port: u32, frame: usize): u32 {
  const mac = loadMac(frame + ETHERNET_SOURCE);
  const key = fdbKey(network, mac);
  const entry = fdbFind(key);
  if (entry) {
    const isHere = entryHas(entry, FDB_LOCAL) && entryDestination(entry) == port;
    if (isHere) {
      entryTouch(entry);
      return REASON_NONE;
    }
    if (entryHas(entry, FDB_STATIC)) return REASON_SOURCE_PINNED;
  }
  const at = portAt(port);
  if (load<u32>(at, PORT_MACS) >= load<u32>(at, PORT_QUOTA)) return REASON_MAC_QUOTA;
  if (!take(at + PORT_LEARN_BUCKET, config(CONFIG_LEARN_PPS))) return REASON_LEARN_RATE;
  let previousPeer: u32 = 0;
  if (entry) {
    if (!entryHas(entry, FDB_LOCAL)) previousPeer = entryDestination(entry) + 1;
    fdbMove(entry, port, FDB_LOCAL | FDB_LEARNED);
    count(COUNTER_MACS_MOVED, 1);
  } else {
    if (!fdbInsert(key, port, FDB_LOCAL | FDB_LEARNED)) return REASON_FDB_FULL;
    count(COUNTER_MACS_LEARNED, 1);
  }
  emit(EVENT_MAC_LEARNED, network, port, previousPeer, 0, mac, 0);
  return REASON_NONE;
}

/** Learns the IP that an untagged ARP or neighbour discovery frame states for its own source MAC. */
export function learnIp(network: u32, port: u32, frame: usize, length: u32): void {
  if (l3 != ETHERNET_SIZE) return;
  if (etherType == TYPE_ARP) {
    const arp = frame + l3;
    if (isArpForIpv4(arp) && load<u32>(arp + ARP_SENDER_IP) != 0) {
      learnAddress(network, port, MAPPED_HIGH, mappedLow(arp + ARP_SENDER_IP), frame);
    }
    return;
  }
  if (etherType != TYPE_IPV6 || protocol != NEXT_ICMPV6 || l4 == 0) return;
  const ip = frame + l3;
  const icmp = frame + l4;
  const left = length - l4;
  let address: usize = 0;
  if (isSolicitation(ip, icmp, left)) address = ip + IPV6_SOURCE;
  else if (isAdvertisement(ip, icmp, left)) address = ndpTarget(icmp);
  if (!address || isUnspecified(address) || isGroup6(address)) return;
  if (!optionMatches(linkLayerOption(icmp, left), frame)) return;
  learnAddress(network, port, load<u64>(address), load<u64>(address, 8), frame);
}

function isGroup6(address: usize): bool {
  return load<u8>(address) == 0xff;
}

function learnAddress(network: u32, port: u32, high: u64, low: u64, frame: usize): void {
  const mac = loadMac(frame + ETHERNET_SOURCE);
  const entry = neighbourFind(network, high, low);
  // A commanded row is another host's claim; whether ours is better is for control to say.
  if (entry && !neighbourIsLocal(entry)) return;
  if (entry && neighbourMac(entry) == mac) {
    if (neighbourPort(entry) != port) neighbourSet(entry, mac, NEIGHBOUR_LOCAL, port);
    return;
  }
  const at = portAt(port);
  if (!entry && load<u32>(at, PORT_IPS) >= load<u32>(at, PORT_QUOTA) * IPS_PER_MAC) return;
  if (!take(at + PORT_LEARN_BUCKET, config(CONFIG_LEARN_PPS))) return;
  if (entry) neighbourSet(entry, mac, NEIGHBOUR_LOCAL, port);
  else if (!neighbourInsert(network, high, low, mac, NEIGHBOUR_LOCAL, port)) return;
  count(COUNTER_IPS_LEARNED, 1);
  const learnt = neighbourFind(network, high, low);
  emit(EVENT_IP_LEARNED, network, port, 0, 0, mac, learnt);
}
