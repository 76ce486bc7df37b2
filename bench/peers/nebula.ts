/**
 * nebula, the certificate-based overlay, with AES-256-GCM: a small authority of its own, hosts that know each other's
 * addresses, a firewall that lets everything pass. It carries IP, not Ethernet.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, which } from '../harness/command.ts';
import type { Service } from '../harness/command.ts';
import { PeerUnavailable } from '../harness/errors.ts';
import { SIDES, UNDERLAY_MTU } from '../harness/testbed.ts';
import type { Side, Testbed } from '../harness/testbed.ts';
import type { Peer } from './peer.ts';

const DEVICE = 'nebula1';
const PORT = 4242;
/** Outer IPv4 and UDP, nebula's header and the tag of AES-GCM: so that nothing is fragmented. */
const OVERHEAD_BYTES = 60;

export const nebulaPeer: Peer = {
  id: 'nebula',
  title: 'nebula, AES-256-GCM',
  async up(bed) {
    const program = which('nebula');
    const signer = which('nebula-cert');
    if (!program || !signer) throw new PeerUnavailable('nebula is not installed (package nebula)');
    const folder = bed.scratch('certificates of nebula');
    const authority = ['-ca-crt', join(folder, 'ca.crt'), '-ca-key', join(folder, 'ca.key')];
    await run([signer, 'ca', '-name', 'bench', '-out-crt', authority[1]!, '-out-key', authority[3]!]);
    const services: Service[] = [];
    for (const side of SIDES) {
      const [crt, key] = [join(folder, `${side}.crt`), join(folder, `${side}.key`)];
      const whom = [
        '-name',
        `bench-${side}`,
        '-ip',
        `${bed.inner[side]}/24`,
        '-out-crt',
        crt,
        '-out-key',
        key,
      ];
      await run([signer, 'sign', ...authority, ...whom]);
      const settings = join(folder, `${side}.yml`);
      // JSON is YAML.
      writeFileSync(settings, JSON.stringify(settingsOf(bed, side, { ca: authority[1]!, cert: crt, key })));
      services.push(bed.start(side, [program, '-config', settings]));
    }
    for (const side of SIDES) await giveUpAddress(bed, services[side]!, side);
    return {
      devices: [DEVICE, DEVICE],
      isLayer2: false,
      daemonPids: services.map((service) => service.pid),
      version: /\d+\.[\w.]+/.exec(await run([program, '-version']))?.[0] ?? 'unknown',
    };
  },
};

function settingsOf(bed: Testbed, side: Side, pki: { ca: string; cert: string; key: string }): object {
  const other: Side = side === 0 ? 1 : 0;
  const all = [{ port: 'any', proto: 'any', host: 'any' }];
  return {
    pki,
    static_host_map: { [bed.inner[other]]: [`${bed.underlay[other]}:${PORT}`] },
    lighthouse: { am_lighthouse: false },
    listen: { host: bed.underlay[side], port: PORT },
    cipher: 'aes',
    tun: { dev: DEVICE, mtu: UNDERLAY_MTU - OVERHEAD_BYTES },
    firewall: { outbound: all, inbound: all },
    logging: { level: 'error' },
  };
}

/** nebula puts the address of its certificate on the device; the testbed does that for all peers alike. */
async function giveUpAddress(bed: Testbed, service: Service, side: Side): Promise<void> {
  const own = `${bed.inner[side]}/24`;
  const isUp = async (): Promise<boolean> => {
    const text = await bed.ip(side, ['addr', 'show', 'up']);
    return text.includes(`${own} scope global ${DEVICE}`);
  };
  await service.waitUntil(isUp, 5_000, bed.signal);
  await bed.ip(side, ['addr', 'del', own, 'dev', DEVICE]);
}
