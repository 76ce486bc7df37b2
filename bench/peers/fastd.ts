/** fastd, the tunnel of community networks, in its TAP mode: sealed with AES-128 in counter mode and UMAC. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, which } from '../harness/command.ts';
import type { Service } from '../harness/command.ts';
import { PeerUnavailable } from '../harness/errors.ts';
import { SIDES, UNDERLAY_MTU } from '../harness/testbed.ts';
import type { Side, Testbed } from '../harness/testbed.ts';
import type { Peer } from './peer.ts';

const DEVICE = 'fastd0';
const PORT = 10_000;
/** The faster of its methods with AES; salsa2012+umac does no better. */
const METHOD = 'aes128-ctr+umac';
/** Outer IPv4 and UDP, fastd's header with its tag, inner Ethernet. */
const OVERHEAD_BYTES = 66;

export const fastdPeer: Peer = {
  id: 'fastd',
  title: `fastd, ${METHOD}`,
  async up(bed) {
    const program = which('fastd');
    if (!program) throw new PeerUnavailable('fastd is not installed (package fastd)');
    const folder = bed.scratch('keys of fastd');
    const files = SIDES.map((side) => join(folder, `${side}.conf`));
    const keys: string[] = [];
    for (const side of SIDES) {
      const secret = (await run([program, '--machine-readable', '--generate-key'])).trim();
      writeFileSync(files[side]!, `secret "${secret}";\n`, { mode: 0o600 });
      keys.push((await run([program, '--machine-readable', '--show-key', '-c', files[side]!])).trim());
    }
    const services: Service[] = [];
    for (const side of SIDES) {
      const settings = settingsOf(bed, side, keys[side === 0 ? 1 : 0]!);
      writeFileSync(files[side]!, settings, { flag: 'a' });
      const service = bed.start(side, [program, '-c', files[side]!]);
      await bed.waitDevice(side, DEVICE, service);
      services.push(service);
    }
    return {
      devices: [DEVICE, DEVICE],
      isLayer2: true,
      daemonPids: services.map((service) => service.pid),
      version: /v\d[\w.]*/.exec(await run([program, '--version']))?.[0] ?? 'unknown',
    };
  },
};

function settingsOf(bed: Testbed, side: Side, otherKey: string): string {
  const other: Side = side === 0 ? 1 : 0;
  return `mode tap;
interface "${DEVICE}";
mtu ${UNDERLAY_MTU - OVERHEAD_BYTES};
method "${METHOD}";
bind ${bed.underlay[side]}:${PORT};
peer "other" { key "${otherKey}"; remote ${bed.underlay[other]} port ${PORT}; }
`;
}
