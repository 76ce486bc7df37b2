/** The kernel's vxlan device, point to point: the reference every ratio is taken to. Same VNI and port as overlayd. */

import { release } from 'node:os';
import { SIDES } from '../harness/testbed.ts';
import type { Peer } from './peer.ts';

const DEVICE = 'vxlan0';
const VNI = 4096;

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
      await bed.ip(side, ['link', 'set', DEVICE, 'up']);
    }
    return { devices: [DEVICE, DEVICE], isLayer2: true, daemonPids: [], version: `Linux ${release()}` };
  },
};
