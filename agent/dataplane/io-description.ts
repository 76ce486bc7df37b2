/** What the data path runs with, in a few words, for status and doctor. */
import type { UdpSockets } from '../io/udp.ts';
import type { OpenedTap } from './dataplane.ts';

/** "batch (FFI, TSO, USO, GRO)"; `isRunRefused`: to some peer the kernel cuts no runs of datagrams. */
export function describeIo(
  io: 'batch' | 'dgram',
  taps: readonly OpenedTap[],
  sockets: UdpSockets,
  isRunRefused: boolean,
): string {
  if (io === 'dgram') return 'dgram (one packet a call, no offloads)';
  const parts = ['FFI'];
  if (taps.every((tap) => tap.offload)) parts.push('TSO');
  if (taps.every((tap) => tap.udpOffload)) parts.push('USO');
  if (sockets.gro) parts.push('GRO');
  if (isRunRefused) parts.push('no UDP_SEGMENT');
  return `batch (${parts.join(', ')})`;
}
