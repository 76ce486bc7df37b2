/**
 * TCP MSS clamping: both ends of a connection are told, in its first segments, what fits the path (RFC 9293 §3.7.1, and
 * RFC 4459 §3.2 for the practice). So no segment is ever too large, and nobody depends on ICMP.
 *
 * The option is only ever lowered, and the checksum adjusted by the difference (RFC 1624), so that a wrong one stays wrong.
 */
import { fold, without, word } from './checksum';
import { load16, store16 } from './bytes';
import { etherType, l3, l4 } from './classify';
import { TYPE_IPV4 } from './ethernet';
import { IPV4_SIZE } from './ipv4';
import { IPV6_SIZE } from './ipv6';
import { optionSize } from './options';
import { TCP_SIZE, TCP_SUM, TCP_SYN, tcpFlags, tcpHeaderLength } from './tcp';

const OPTION_MSS: u32 = 2;
const OPTION_MSS_SIZE: u32 = 4;
/** Linux takes no smaller one; nothing smaller is worth sending. */
const LEAST_MSS: u32 = 88;

/**
 * Lowers the MSS of the classified TCP frame to what fits frames of `room` bytes, if it opens a connection and says more.
 * `isPartial`: its checksum is not finished yet, and will cover the option.
 */
export function clampMss(frame: usize, length: u32, room: u32, isPartial: bool): void {
  const tcp = frame + l4;
  if (l4 + TCP_SIZE > length || (tcpFlags(tcp) & TCP_SYN) == 0) return;
  const header = tcpHeaderLength(tcp);
  if (header < TCP_SIZE || l4 + header > length) return;
  const option = mssOption(tcp, header);
  if (option == 0) return;
  const most = largestMss(room);
  const said = load16(tcp + option);
  if (said <= most) return;
  store16(tcp + option, most);
  if (!isPartial) adjustSum(tcp, said, most, (option & 1) != 0);
}

/** What an IP packet in a frame of `room` bytes can carry behind plain IP and TCP headers (RFC 6691). */
function largestMss(room: u32): u32 {
  const headers = l3 + (etherType == TYPE_IPV4 ? IPV4_SIZE : IPV6_SIZE) + TCP_SIZE;
  return room < headers + LEAST_MSS ? LEAST_MSS : room - headers;
}

/** Offset of the option's value in the TCP header, or 0. */
function mssOption(tcp: usize, header: u32): u32 {
  let at: u32 = TCP_SIZE;
  while (at < header) {
    const size = optionSize(tcp + at, tcp + header);
    if (size == 0) return 0;
    if (load<u8>(tcp + at) == OPTION_MSS) return size == OPTION_MSS_SIZE ? at + 2 : 0;
    at += size;
  }
  return 0;
}

/** At an odd offset the value's bytes lie across two words of the sum, each in the other's place. */
function adjustSum(tcp: usize, before: u32, after: u32, isOdd: bool): void {
  const taken = isOdd ? before : word(before);
  const given = isOdd ? after : word(after);
  const sum: u32 = load<u16>(tcp, TCP_SUM);
  store<u16>(tcp, ~fold(without((~sum & 0xffff) + given, taken)) as u16, TCP_SUM);
}
