/**
 * The kernel's vxlan device, point to point: the reference every ratio is taken to. Same VNI, port and MTU as overlayd:
 * with `remote` alone the kernel would leave the MTU at 1500, and every packet would be fragmented.
 */

import { release } from 'node:os';
import { SIDES, UNDERLAY_MTU } from '../harness/testbed.ts';
import type { Peer } from './peer.ts';

const DEVICE = 'vxlan0';
const VNI = 4096;
/** Outer IPv4, UDP and VXLAN, inner Ethernet. */
const OVERHEAD_BYTES = 50;

export const kernelVxlanPeer: Peer = {
  id: 'kernel-vxlan',
  title: 'kernel VXLAN',
  async up(bed) {
    for (const side of SIDES) {
      const ends = [
        'local',
        bed.underlay[side],
        'remote',
        bed.underlay[side === 0 ? 1 : 0],
        'dstport',
        '4789',
      ];
      await bed.ip(side, ['link', 'add', DEVICE, 'type', 'vxlan', 'id', String(VNI), ...ends]);
      await bed.ip(side, ['link', 'set', DEVICE, 'mtu', String(UNDERLAY_MTU - OVERHEAD_BYTES), 'up']);
    }
    return { devices: [DEVICE, DEVICE], isLayer2: true, daemonPids: [], version: `Linux ${release()}` };
  },
};
