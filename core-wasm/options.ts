/**
 * Options behind an IPv4 or a TCP header, which look alike (RFC 791 §3.1, RFC 9293 §3.1): a kind, and but for two kinds a
 * size that counts both bytes.
 */
const OPTION_END: u32 = 0;
export const OPTION_NOP: u32 = 1;

/** Bytes of the option at `at`, before `end`; 0: the list ends here, or makes no sense from here on. */
export function optionSize(at: usize, end: usize): u32 {
  const kind: u32 = load<u8>(at);
  if (kind == OPTION_END) return 0;
  if (kind == OPTION_NOP) return 1;
  if (at + 1 >= end) return 0;
  const size: u32 = load<u8>(at, 1);
  return size < 2 || at + size > end ? 0 : size;
}
