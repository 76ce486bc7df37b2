/**
 * ARP for IPv4 over Ethernet (RFC 826).
 *
 *   hardware u16 @0 · protocol u16 @2 · lengths u8 u8 @4 · operation u16 @6 · sender MAC @8 · sender IP @14
 *   target MAC @18 · target IP @24
 */
import { load16, load32, store16, storeMac } from './bytes';
import { ETHERNET_SIZE, ETHERNET_SOURCE } from './ethernet';

export const ARP_SIZE: u32 = 28;
export const ARP_SENDER_MAC: usize = 8;
export const ARP_SENDER_IP: usize = 14;
export const ARP_TARGET_IP: usize = 24;
const ARP_OPERATION: usize = 6;
const ARP_TARGET_MAC: usize = 18;
const REQUEST: u32 = 1;
const REPLY: u32 = 2;

/** Ethernet, IPv4, 6, 4. */
export function isArpForIpv4(arp: usize): bool {
  return load32(arp) == 0x00010800 && load16(arp + 4) == 0x0604;
}

/** A question about somebody else: not a probe (no sender address, RFC 5227) and not an announcement of its own. */
export function isArpQuestion(arp: usize): bool {
  const sender = load<u32>(arp + ARP_SENDER_IP);
  return load16(arp + ARP_OPERATION) == REQUEST && sender != 0 && sender != load<u32>(arp + ARP_TARGET_IP);
}

/** "Does anybody have this address? I would take it" (RFC 5227). */
export function isArpProbe(arp: usize): bool {
  return load16(arp + ARP_OPERATION) == REQUEST && load<u32>(arp + ARP_SENDER_IP) == 0;
}

/** Turns the request in an untagged frame into its reply, in place. Returns the frame's length. */
export function writeArpReply(frame: usize, owner: u64): u32 {
  const arp = frame + ETHERNET_SIZE;
  const targetIp = load<u32>(arp + ARP_TARGET_IP);
  memory.copy(frame, frame + ETHERNET_SOURCE, 6);
  storeMac(frame + ETHERNET_SOURCE, owner);
  store16(arp + ARP_OPERATION, REPLY);
  // Sender MAC and IP become the target's.
  store<u64>(arp + ARP_TARGET_MAC, load<u64>(arp + ARP_SENDER_MAC));
  store<u16>(arp + ARP_TARGET_MAC + 8, load<u16>(arp + ARP_SENDER_MAC + 8));
  storeMac(arp + ARP_SENDER_MAC, owner);
  store<u32>(arp + ARP_SENDER_IP, targetIp);
  return ETHERNET_SIZE + ARP_SIZE;
}
