/**
 * What a peer is: a way to carry Ethernet or IP between the two hosts of a testbed.
 *
 * A new peer is one file with one exported `Peer`, listed in index.ts. Whatever `up` starts through the testbed is
 * stopped by it; anything else it must hand to `bed.defer`. There is no other `down`.
 */

import type { Testbed } from '../harness/testbed.ts';

export interface RunningPeer {
  /** The overlay's interface on each host. */
  readonly devices: readonly [string, string];
  /** It carries Ethernet, so a macvlan child of the interface can be the endpoint. */
  readonly isLayer2: boolean;
  /** User-space daemons that move its packets; none for the kernel's own. */
  readonly daemonPids: readonly number[];
  /** As the program tells it. */
  readonly version: string;
}

export interface Peer {
  readonly id: string;
  readonly title: string;
  /** Throws PeerUnavailable when the program is not here and can't be had. */
  up(bed: Testbed): Promise<RunningPeer>;
}
