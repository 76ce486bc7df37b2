/** A host whose VXLAN endpoint is the kernel's own device: it knows nothing of gossip. */
import type { Host } from '../../agent/demo/hosts.ts';
import { ipBatch } from '../../agent/demo/process.ts';

export const KERNEL_PEER_PROGRAMS = ['ping', 'ethtool', 'bridge'] as const;

/** Makes a kernel vxlan device, named as a TAP would be, that floods to `others`. */
export async function addKernelVxlan(host: Host, vni: number, others: readonly Host[]): Promise<void> {
  ipBatch(
    [
      [
        'link',
        'add',
        'tap0',
        'type',
        'vxlan',
        'id',
        `${vni}`,
        'local',
        host.ipv4,
        'dev',
        'eth0',
        'dstport',
        '4789',
      ],
      ['link', 'set', 'tap0', 'up'],
    ],
    host.namespace,
  );
  for (const other of others) {
    await mustRun(host, ['bridge', 'fdb', 'append', '00:00:00:00:00:00', 'dev', 'tap0', 'dst', other.ipv4]);
  }
}

/** Switches features of a host's underlay interface, as `ethtool -K` names them. */
export async function setOffloads(
  host: Host,
  state: 'on' | 'off',
  features: readonly string[],
): Promise<void> {
  await mustRun(host, ['ethtool', '-K', 'eth0', ...features.flatMap((feature) => [feature, state])]);
}

async function mustRun(host: Host, argv: readonly string[]): Promise<void> {
  const done = await host.exec(argv);
  if (done.status !== 0) throw new Error(`${host.name}: ${argv.join(' ')}: ${done.stderr}`);
}
