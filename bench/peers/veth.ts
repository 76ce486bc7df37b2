/** The bare wire: what the machine does with no overlay at all. An upper bound, not a competitor. */

import { release } from 'node:os';
import type { Peer } from './peer.ts';

export const vethPeer: Peer = {
  id: 'veth',
  title: 'bare veth',
  up: (bed) =>
    Promise.resolve({
      devices: [bed.underlayDevice, bed.underlayDevice],
      isLayer2: true,
      daemonPids: [],
      version: `Linux ${release()}`,
    }),
};
