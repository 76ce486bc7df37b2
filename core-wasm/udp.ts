/**
 * UDP (RFC 768).
 *
 *   ports u16 u16 @0 · length u16 @4 · sum u16 @6, where 0 says that there is none and 0xffff is sent for a true 0
 */
export const PROTOCOL_UDP: u32 = 17;
export const UDP_SIZE: u32 = 8;
export const UDP_LENGTH: usize = 4;
export const UDP_SUM: u32 = 6;

/** What to store for a computed sum. */
export function udpSum(computed: u32): u32 {
  return computed ? computed : 0xffff;
}
