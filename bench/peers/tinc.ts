/**
 * tinc 1.0, the mesh in switch mode: it carries Ethernet and learns MACs as a bridge does. Sealed with AES-256-CBC and
 * HMAC-SHA-256, its own default but for the code's length: 16 bytes where the default cuts it to 4.
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, which } from '../harness/command.ts';
import type { Service } from '../harness/command.ts';
import { PeerUnavailable } from '../harness/errors.ts';
import { SIDES } from '../harness/testbed.ts';
import type { Side, Testbed } from '../harness/testbed.ts';
import type { Peer } from './peer.ts';

const DEVICE = 'tinc0';
/**
 * 1500 less IPv4, UDP and the code leaves 1456 = 91 blocks of AES. In them: at least one byte of padding, the sequence
 * number (4) and the Ethernet header (14).
 */
const MTU = '1437';
const KEY_BITS = 2048;
const NAMES = ['first', 'second'] as const;

export const tincPeer: Peer = {
  id: 'tinc',
  title: 'tinc 1.0, AES-256-CBC',
  async up(bed) {
    const program = which('tincd');
    if (!program) throw new PeerUnavailable('tincd is not installed (package tinc)');
    const folder = bed.scratch('keys of tinc');
    const hosts: string[] = [];
    for (const side of SIDES) hosts.push(await makeHost(bed, program, join(folder, NAMES[side]), side));
    for (const side of SIDES) {
      for (const of of SIDES) writeFileSync(join(folder, NAMES[side], 'hosts', NAMES[of]), hosts[of]!);
    }
    const services: Service[] = [];
    for (const side of SIDES) services.push(await startDaemon(bed, program, folder, side));
    return {
      devices: [DEVICE, DEVICE],
      isLayer2: true,
      daemonPids: services.map((service) => service.pid),
      version: /\d+\.[\w.]+/.exec(await run([program, '--version']))?.[0] ?? 'unknown',
    };
  },
};

/** Settings and key of a host; resolves with what the other has to know about it. */
async function makeHost(bed: Testbed, program: string, folder: string, side: Side): Promise<string> {
  mkdirSync(join(folder, 'hosts'), { recursive: true });
  const settings = [`Name = ${NAMES[side]}`, 'Mode = switch', `Interface = ${DEVICE}`];
  if (side === 1) settings.push(`ConnectTo = ${NAMES[0]}`);
  writeFileSync(join(folder, 'tinc.conf'), `${settings.join('\n')}\n`);
  const own = join(folder, 'hosts', NAMES[side]);
  const lines = [
    `Address = ${bed.underlay[side]}`,
    'Cipher = aes-256-cbc',
    'Digest = sha256',
    'MACLength = 16',
    'Compression = 0',
    // Else what is longer than it has tried yet goes over its TCP connection; the interface's MTU is right already.
    'PMTUDiscovery = no',
  ];
  writeFileSync(own, `${lines.join('\n')}\n`);
  await run([program, '-c', folder, `-K${KEY_BITS}`]);
  return readFileSync(own, 'utf8');
}

async function startDaemon(bed: Testbed, program: string, folder: string, side: Side): Promise<Service> {
  const pidFile = join(folder, `${NAMES[side]}.pid`);
  const where = ['-c', join(folder, NAMES[side]), `--pidfile=${pidFile}`];
  const service = bed.start(side, [program, '-D', ...where]);
  await bed.waitDevice(side, DEVICE, service);
  await bed.ip(side, ['link', 'set', DEVICE, 'mtu', MTU, 'up']);
  return service;
}
