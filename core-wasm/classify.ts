/**
 * One pass over a frame: where its layers begin, and a hash of its flow.
 *
 * The results are globals of the instance, valid until the next `classify`: scratch, not state. A layer-3 header that
 * does not parse makes the frame one of an unknown protocol; a bridge carries it all the same.
 */
import { hash, hashMore, load16 } from './bytes';
import { ETHERNET_SIZE, ETHERNET_TYPE, MAX_TAGS, TAG_SIZE, TYPE_IPV4, TYPE_IPV6, isTag } from './ethernet';
import { IPV4_PROTOCOL, IPV4_SIZE, IPV4_SOURCE, ipv4HeaderLength, ipv4IsFragment } from './ipv4';
import { IPV6_NEXT, IPV6_SIZE, IPV6_SOURCE, extensionLength, isExtension } from './ipv6';
import { PROTOCOL_TCP } from './tcp';
import { PROTOCOL_UDP } from './udp';

/** EtherType behind any tags; 0 when the frame ends within them or its IP header does not parse. */
export let etherType: u32 = 0;
/** Offset of the layer-3 header. */
export let l3: u32 = 0;
/** Offset of the layer-4 header; 0 when there is none to see (not IP, a later fragment, cut short). */
export let l4: u32 = 0;
/** IP protocol at `l4`. */
export let protocol: u32 = 0;

/** Extension headers that are looked through before giving up. */
const MAX_EXTENSIONS: u32 = 4;

/** Parses a frame of at least 14 bytes. */
export function classify(frame: usize, length: u32): void {
  l3 = ETHERNET_SIZE;
  l4 = 0;
  protocol = 0;
  etherType = load16(frame + ETHERNET_TYPE);
  for (let tags: u32 = 0; tags < MAX_TAGS && isTag(etherType) && l3 + TAG_SIZE <= length; tags++) {
    etherType = load16(frame + l3 + 2);
    l3 += TAG_SIZE;
  }
  if (etherType == TYPE_IPV4) parseIpv4(frame, length);
  else if (etherType == TYPE_IPV6) parseIpv6(frame, length);
}

function parseIpv4(frame: usize, length: u32): void {
  const ip = frame + l3;
  const headers = l3 + IPV4_SIZE <= length ? ipv4HeaderLength(ip) : 0;
  if (headers < IPV4_SIZE || l3 + headers > length || (load<u8>(ip) as u32) >> 4 != 4) {
    etherType = 0;
    return;
  }
  if (ipv4IsFragment(ip)) return;
  protocol = load<u8>(ip, IPV4_PROTOCOL);
  l4 = l3 + headers;
}

function parseIpv6(frame: usize, length: u32): void {
  const ip = frame + l3;
  if (l3 + IPV6_SIZE > length || (load<u8>(ip) as u32) >> 4 != 6) {
    etherType = 0;
    return;
  }
  let next: u32 = load<u8>(ip, IPV6_NEXT);
  let at = l3 + IPV6_SIZE;
  for (let i: u32 = 0; i < MAX_EXTENSIONS && isExtension(next); i++) {
    if (at + 8 > length) return;
    next = load<u8>(frame + at);
    at += extensionLength(frame + at);
  }
  if (at > length) return;
  protocol = next;
  l4 = at;
}

/** Hash of the classified frame's flow: addresses, and ports where every packet of the flow shows them. */
export function flowHash(frame: usize, length: u32): u64 {
  const hasPorts = l4 != 0 && l4 + 4 <= length && (protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP);
  const ports: u64 = hasPorts ? ((protocol as u64) << 32) | (load<u32>(frame + l4) as u64) : 0;
  if (etherType == TYPE_IPV4) return hashMore(hash(load<u64>(frame + l3 + IPV4_SOURCE)), ports);
  if (etherType == TYPE_IPV6) {
    const at = frame + l3 + IPV6_SOURCE;
    const sources = hashMore(hash(load<u64>(at)), load<u64>(at, 8));
    return hashMore(hashMore(hashMore(sources, load<u64>(at, 16)), load<u64>(at, 24)), ports);
  }
  // Destination and source MAC.
  return hashMore(hash(load<u64>(frame)), load<u32>(frame, 8));
}
