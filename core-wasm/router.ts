/**
 * Who is an IPv6 router: the source of a router advertisement, seen in passing from either side (RFC 4861 §4.2).
 *
 * Only addresses already in the neighbour table are marked; nothing is learnt here.
 */
import { etherType, l3, l4, protocol } from './classify';
import { ETHERNET_SIZE, TYPE_IPV6 } from './ethernet';
import { IPV6_SOURCE, NEXT_ICMPV6 } from './ipv6';
import { isRouterAdvertisement } from './ndp';
import { neighbourFind, neighbourSetRouter } from './neighbour';

/** Looks at a classified frame. */
export function noteRouter(network: u32, frame: usize, length: u32): void {
  if (etherType != TYPE_IPV6 || protocol != NEXT_ICMPV6 || l4 == 0 || l3 != ETHERNET_SIZE) return;
  const ip = frame + l3;
  if (!isRouterAdvertisement(ip, frame + l4, length - l4)) return;
  const entry = neighbourFind(network, load<u64>(ip, IPV6_SOURCE), load<u64>(ip, IPV6_SOURCE + 8));
  if (entry) neighbourSetRouter(entry);
}
