/**
 * TCP (RFC 9293 §3.1).
 *
 *   ports u16 u16 @0 · sequence u32 @4 · acknowledgement u32 @8 · data offset @12 · flags @13 · window u16 @14
 *   sum u16 @16 · urgent u16 @18 · options
 */
export const PROTOCOL_TCP: u32 = 6;
export const TCP_SIZE: u32 = 20;
export const TCP_SEQUENCE: usize = 4;
export const TCP_ACKNOWLEDGEMENT: usize = 8;
export const TCP_OFFSET: usize = 12;
export const TCP_FLAGS: usize = 13;
export const TCP_WINDOW: usize = 14;
export const TCP_SUM: u32 = 16;
export const TCP_URGENT: usize = 18;

export const TCP_FIN: u32 = 1;
export const TCP_SYN: u32 = 2;
export const TCP_RST: u32 = 4;
export const TCP_PSH: u32 = 8;
export const TCP_ACK: u32 = 16;
export const TCP_URG: u32 = 32;
export const TCP_CWR: u32 = 128;

export function tcpHeaderLength(tcp: usize): u32 {
  return ((load<u8>(tcp, TCP_OFFSET) as u32) >> 4) << 2;
}

export function tcpFlags(tcp: usize): u32 {
  return load<u8>(tcp, TCP_FLAGS);
}
