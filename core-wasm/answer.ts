/**
 * ARP and neighbour discovery suppression: a question whose answer the tables know is answered here and flooded nowhere.
 *
 * Not answered, but forwarded as they are: probes and announcements (the true owner must see them to defend its
 * address), unicast questions (somebody checks that the owner is alive), questions about the asker itself or about an
 * owner behind the same port (who hears them anyway), tagged frames, addresses whose MAC stands in no FDB row, and
 * routers, whose advertisements carry a flag that we cannot vouch for.
 */
import { loadMac } from './bytes';
import { etherType, l3, l4, protocol } from './classify';
import { COUNTER_ANSWERED } from './counters';
import { ETHERNET_SIZE, ETHERNET_SOURCE, TYPE_ARP, TYPE_IPV6, isBroadcast } from './ethernet';
import { ARP_TARGET_IP, isArpForIpv4, isArpQuestion, writeArpReply } from './arp';
import { IPV6_DESTINATION, IPV6_SIZE, IPV6_SOURCE, NEXT_ICMPV6 } from './ipv6';
import {
  isSolicitation,
  isUnspecified,
  linkLayerOption,
  ndpTarget,
  optionMatches,
  writeAdvertisement,
} from './ndp';
import { FDB_LOCAL, entryDestination, entryHas, fdbFind, fdbKey } from './fdb';
import { MAPPED_HIGH, mappedLow, neighbourFind, neighbourIsRouter, neighbourMac } from './neighbour';
import { outHasRoom, outPut } from './out';

/** Answers the classified frame, in place, if that is right. True: an answer waits in the out table. */
export function answer(network: u32, port: u32, frame: usize, length: u32): bool {
  // The answer overwrites the question, so there is no way back after this.
  if (l3 != ETHERNET_SIZE || !outHasRoom()) return false;
  if (etherType == TYPE_ARP) return answerArp(network, port, frame);
  if (etherType == TYPE_IPV6 && protocol == NEXT_ICMPV6 && l4 == ETHERNET_SIZE + IPV6_SIZE) {
    return answerSolicitation(network, port, frame, length);
  }
  return false;
}

function answerArp(network: u32, port: u32, frame: usize): bool {
  const arp = frame + ETHERNET_SIZE;
  if (!isBroadcast(frame) || !isArpForIpv4(arp) || !isArpQuestion(arp)) return false;
  const owner = ownerOf(network, port, frame, MAPPED_HIGH, mappedLow(arp + ARP_TARGET_IP));
  return owner != 0 && reply(port, frame, writeArpReply(frame, owner));
}

function answerSolicitation(network: u32, port: u32, frame: usize, length: u32): bool {
  const ip = frame + ETHERNET_SIZE;
  const icmp = ip + IPV6_SIZE;
  const left = length - ETHERNET_SIZE - IPV6_SIZE;
  if (!isSolicitation(ip, icmp, left)) return false;
  if (load<u8>(ip, IPV6_DESTINATION) != 0xff || isUnspecified(ip + IPV6_SOURCE)) return false;
  if (!optionMatches(linkLayerOption(icmp, left), frame)) return false;
  const target = ndpTarget(icmp);
  const owner = ownerOf(network, port, frame, load<u64>(target), load<u64>(target, 8));
  return owner != 0 && reply(port, frame, writeAdvertisement(frame, owner));
}

/** MAC of the address, if we may speak for it to this asker; else 0. */
function ownerOf(network: u32, port: u32, frame: usize, high: u64, low: u64): u64 {
  const neighbour = neighbourFind(network, high, low);
  if (!neighbour || neighbourIsRouter(neighbour)) return 0;
  const mac = neighbourMac(neighbour);
  if (mac == loadMac(frame + ETHERNET_SOURCE)) return 0;
  const entry = fdbFind(fdbKey(network, mac));
  if (!entry) return 0;
  return entryHas(entry, FDB_LOCAL) && entryDestination(entry) == port ? 0 : mac;
}

function reply(port: u32, frame: usize, length: u32): bool {
  return outPut(port, frame, length, 1, 1, COUNTER_ANSWERED) != 0;
}
