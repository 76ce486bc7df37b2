/**
 * OpenVPN over UDP as an Ethernet tunnel between two hosts: TLS with the fingerprints of each other's certificates, data
 * in AES-256-GCM, no compression. Its kernel module is not used.
 */

import { join } from 'node:path';
import { run, which } from '../harness/command.ts';
import type { Service } from '../harness/command.ts';
import { PeerUnavailable } from '../harness/errors.ts';
import { SIDES, UNDERLAY_MTU } from '../harness/testbed.ts';
import type { Side, Testbed } from '../harness/testbed.ts';
import type { Peer } from './peer.ts';

const DEVICE = 'ovpn0';
const PORT = '1194';
/** Outer IPv4 and UDP, OpenVPN's header, packet number and tag, inner Ethernet. */
const OVERHEAD_BYTES = 66;
const READY_WITHIN_MS = 15_000;

interface Certificate {
  readonly file: string;
  readonly keyFile: string;
  readonly fingerprint: string;
}

export const openvpnPeer: Peer = {
  id: 'openvpn',
  title: 'OpenVPN, AES-256-GCM',
  async up(bed) {
    const program = which('openvpn');
    if (!program) throw new PeerUnavailable('openvpn is not installed (package openvpn)');
    if (!which('openssl')) throw new PeerUnavailable('openssl is not installed (package openssl)');
    const folder = bed.scratch('certificates of openvpn');
    const certificates = [await certify(folder, 0), await certify(folder, 1)] as const;
    const services = SIDES.map((side) => startDaemon(bed, program, side, certificates));
    for (const side of SIDES) {
      const service = services[side]!;
      const isUp = (): boolean => service.output.includes('Initialization Sequence Completed');
      await service.waitUntil(isUp, READY_WITHIN_MS, bed.signal);
      await bed.ip(side, ['link', 'set', DEVICE, 'mtu', String(UNDERLAY_MTU - OVERHEAD_BYTES), 'up']);
    }
    return {
      devices: [DEVICE, DEVICE],
      isLayer2: true,
      daemonPids: services.map((service) => service.pid),
      version: await versionOf(program),
    };
  },
};

function startDaemon(
  bed: Testbed,
  program: string,
  side: Side,
  certificates: readonly [Certificate, Certificate],
): Service {
  const other: Side = side === 0 ? 1 : 0;
  const { file, keyFile } = certificates[side];
  const options = [
    ['dev', DEVICE],
    ['dev-type', 'tap'],
    ['proto', 'udp4'],
    ['local', bed.underlay[side]],
    ['remote', bed.underlay[other]],
    ['port', PORT],
    [side === 0 ? 'tls-server' : 'tls-client'],
    ...(side === 0 ? [['dh', 'none']] : []),
    ['cert', file],
    ['key', keyFile],
    ['peer-fingerprint', certificates[other].fingerprint],
    ['data-ciphers', 'AES-256-GCM'],
    ['allow-compression', 'no'],
    ['tun-mtu', String(UNDERLAY_MTU - OVERHEAD_BYTES)],
    ['mssfix', '0'],
  ];
  return bed.start(side, [program, ...options.flatMap(([name, ...values]) => [`--${name}`, ...values])]);
}

/** A self-signed certificate: with fingerprints there is no authority. */
async function certify(folder: string, side: Side): Promise<Certificate> {
  const file = join(folder, `${side}.crt`);
  const keyFile = join(folder, `${side}.key`);
  const what = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc', '-days', '1'];
  await run(['openssl', 'req', ...what, '-subj', `/CN=bench-${side}`, '-keyout', keyFile, '-out', file]);
  const text = await run(['openssl', 'x509', '-in', file, '-noout', '-fingerprint', '-sha256']);
  return { file, keyFile, fingerprint: text.slice(text.indexOf('=') + 1).trim() };
}

async function versionOf(program: string): Promise<string> {
  // Exits with 1 in its older versions.
  const text = await run(['sh', '-c', `'${program}' --version || true`]);
  return /OpenVPN (\S+)/.exec(text)?.[1] ?? 'unknown';
}
