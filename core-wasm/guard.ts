/** What no honest endpoint sends: checks of a TAP frame's own addresses, before anything is learnt from it. */
import { etherType, l3 } from './classify';
import { equal, isGroup } from './bytes';
import { ETHERNET_SOURCE, TYPE_ARP, isLinkLocal, isZeroMac } from './ethernet';
import { ARP_SENDER_MAC, ARP_SIZE, isArpForIpv4 } from './arp';
import {
  REASON_ARP_MISMATCH,
  REASON_BAD_SOURCE,
  REASON_LINK_LOCAL,
  REASON_NONE,
  REASON_TRUNCATED,
} from './reason';

/** REASON_NONE, or why the classified frame goes no further. */
export function guard(frame: usize, length: u32): u32 {
  const source = frame + ETHERNET_SOURCE;
  if (isGroup(source) || isZeroMac(source)) return REASON_BAD_SOURCE;
  if (isLinkLocal(frame)) return REASON_LINK_LOCAL;
  if (etherType != TYPE_ARP) return REASON_NONE;
  if (l3 + ARP_SIZE > length) return REASON_TRUNCATED;
  const arp = frame + l3;
  if (isArpForIpv4(arp) && !equal(arp + ARP_SENDER_MAC, source, 6)) return REASON_ARP_MISMATCH;
  return REASON_NONE;
}
