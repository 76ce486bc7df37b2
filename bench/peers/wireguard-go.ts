/**
 * wireguard-go, the user-space WireGuard: the fastest sealed user-space overlay among the packaged ones.
 *
 * Two of them: the installed package, and the one of Debian trixie (segmentation offload since 2023), which is fetched
 * and run without installing. It carries IP, not Ethernet.
 */

import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, which } from '../harness/command.ts';
import type { Service } from '../harness/command.ts';
import { PeerUnavailable } from '../harness/errors.ts';
import { SIDES } from '../harness/testbed.ts';
import type { Side, Testbed } from '../harness/testbed.ts';
import { fetchSuiteProgram } from './debian-suite.ts';
import type { Peer, RunningPeer } from './peer.ts';

const PORT = 51820;
/** WireGuard's own default for a 1500-byte underlay. */
const MTU = '1420';

export const wireguardGoPeer: Peer = {
  id: 'wireguard-go',
  title: 'wireguard-go (installed)',
  up(bed) {
    const program = which('wireguard-go');
    if (!program) throw new PeerUnavailable('wireguard-go is not installed (package wireguard-go)');
    return upWireguard(bed, [program]);
  },
};

export const wireguardGoTrixiePeer: Peer = {
  id: 'wireguard-go-trixie',
  title: 'wireguard-go (trixie)',
  async up(bed) {
    const program = await fetchSuiteProgram('trixie', 'wireguard-go', '/usr/bin/wireguard-go', bed.signal);
    return upWireguard(bed, program);
  },
};

async function upWireguard(bed: Testbed, program: readonly string[]): Promise<RunningPeer> {
  if (!which('wg')) throw new PeerUnavailable('wg is not installed (package wireguard-tools)');
  const scratch = bed.scratch('keys of wireguard-go');
  const keys = [await makeKey(scratch, 0), await makeKey(scratch, 1)] as const;
  const services: Service[] = [];
  for (const side of SIDES) services.push(await startDaemon(bed, program, side));
  for (const side of SIDES) await configure(bed, side, keys[side].file, keys[side === 0 ? 1 : 0].publicKey);
  return {
    devices: [deviceName(bed, 0), deviceName(bed, 1)],
    isLayer2: false,
    daemonPids: services.map((service) => service.pid),
    version: /v\d[\w.]*/.exec(await run([...program, '--version']))?.[0] ?? 'unknown',
  };
}

/** The control socket is named after the interface in one folder for all namespaces: so unique on the machine. */
function deviceName(bed: Testbed, side: Side): string {
  return `wgb${bed.name.replace(/\D/g, '')}${side === 0 ? 'a' : 'b'}`.slice(-15);
}

async function startDaemon(bed: Testbed, program: readonly string[], side: Side): Promise<Service> {
  const device = deviceName(bed, side);
  const socket = `/var/run/wireguard/${device}.sock`;
  bed.defer(socket, () => rmSync(socket, { force: true }));
  const service = bed.start(side, [...program, '-f', device], { env: { LOG_LEVEL: 'error' } });
  await service.waitUntil(() => existsSync(socket), 5_000, bed.signal);
  return service;
}

async function configure(bed: Testbed, side: Side, keyFile: string, remoteKey: string): Promise<void> {
  const other: Side = side === 0 ? 1 : 0;
  const device = deviceName(bed, side);
  const remote = [
    'peer',
    remoteKey,
    'endpoint',
    `${bed.underlay[other]}:${PORT}`,
    'allowed-ips',
    `${bed.inner[other]}/32`,
  ];
  await bed.run(side, ['wg', 'set', device, 'listen-port', String(PORT), 'private-key', keyFile, ...remote]);
  await bed.ip(side, ['link', 'set', device, 'mtu', MTU, 'up']);
}

async function makeKey(folder: string, side: Side): Promise<{ file: string; publicKey: string }> {
  const file = join(folder, `key-${side}`);
  writeFileSync(file, await run(['wg', 'genkey']), { mode: 0o600 });
  const publicKey = await run(['sh', '-c', `wg pubkey < '${file}'`]);
  return { file, publicKey: publicKey.trim() };
}
