/**
 * Floods that concern few: who asks for one address, by ARP or neighbour solicitation, is heard by its owner alone, what
 * is said to routers by none of the bound ports, which are no routers (guard-bound.ts), and a frame for a MAC that no
 * table has by the port that is bound to it, if any.
 *
 * Of a bound port we know every address, so leaving it out loses nothing; a port that is not bound gets everything.
 * Without this 2,000 containers that come up on one host would cost some 10^8 writes. Announcements (gratuitous ARP,
 * unsolicited advertisements) are for all: they mend caches.
 */
import { etherType, l3, l4, protocol } from './classify';
import { ARP_SIZE, ARP_TARGET_IP, isArpForIpv4, isArpQuestion, isArpProbe } from './arp';
import { bindingHas, bindingMac, bindingOf } from './binding';
import { isGroup, loadMac } from './bytes';
import { TYPE_ARP, TYPE_IPV4, TYPE_IPV6 } from './ethernet';
import { PROTOCOL_IGMP } from './ipv4';
import { NEXT_ICMPV6 } from './ipv6';
import { TYPE_ROUTER_SOLICITATION, isSolicitation, ndpTarget } from './ndp';
import { MAPPED_HIGH, mappedLow } from './neighbour';

const FOR_ALL: u32 = 0;
const FOR_OWNER: u32 = 1;
const FOR_ROUTERS: u32 = 2;
const FOR_MAC: u32 = 3;

const IGMP_QUERY: u32 = 0x11;
const MLD_REPORT: u32 = 131;
const MLD_DONE: u32 = 132;
const MLD_REPORT_2: u32 = 143;

/** Of the frame that was looked at last. Scratch, as in classify.ts. */
let concerns: u32 = FOR_ALL;
let high: u64 = 0;
let low: u64 = 0;
let mac: u64 = 0;

/** Looks at a classified frame that is about to be flooded. */
export function filterFlood(frame: usize, length: u32): void {
  concerns = FOR_ALL;
  if (!isGroup(frame)) {
    concerns = FOR_MAC;
    mac = loadMac(frame);
  } else if (etherType == TYPE_ARP) filterArp(frame, length);
  else if (etherType == TYPE_IPV6 && protocol == NEXT_ICMPV6 && l4 != 0 && l4 < length)
    filterIcmpv6(frame, length);
  else if (etherType == TYPE_IPV4 && protocol == PROTOCOL_IGMP && l4 != 0 && l4 < length) {
    if (load<u8>(frame + l4) != IGMP_QUERY) concerns = FOR_ROUTERS;
  }
}

/** The frame concerns whoever is behind the port. */
export function isConcerned(port: u32): bool {
  if (concerns == FOR_ALL) return true;
  const binding = bindingOf(port);
  if (!binding) return true;
  if (concerns == FOR_MAC) return bindingMac(binding) == mac;
  return concerns == FOR_OWNER && bindingHas(binding, high, low);
}

function filterArp(frame: usize, length: u32): void {
  const arp = frame + l3;
  if (l3 + ARP_SIZE > length || !isArpForIpv4(arp)) return;
  if (!isArpQuestion(arp) && !isArpProbe(arp)) return;
  concerns = FOR_OWNER;
  high = MAPPED_HIGH;
  low = mappedLow(arp + ARP_TARGET_IP);
}

function filterIcmpv6(frame: usize, length: u32): void {
  const icmp = frame + l4;
  const type: u32 = load<u8>(icmp);
  if (isSolicitation(frame + l3, icmp, length - l4)) {
    concerns = FOR_OWNER;
    high = load<u64>(ndpTarget(icmp));
    low = load<u64>(ndpTarget(icmp), 8);
  } else if (
    type == TYPE_ROUTER_SOLICITATION ||
    type == MLD_REPORT ||
    type == MLD_DONE ||
    type == MLD_REPORT_2
  ) {
    concerns = FOR_ROUTERS;
  }
}
