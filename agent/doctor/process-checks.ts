/** What the process itself may and can: rights, the TUN device, limits. Of whoever asks: the daemon, or the doctor without one. */
import { accessSync, constants, readFileSync } from 'node:fs';
import { holdsCapability } from '../io/system-error.ts';
import type { Capability } from '../io/system-error.ts';
import type { Finding } from './finding.ts';

const TUN_DEVICE = '/dev/net/tun';
const PRIVILEGED_PORTS = 1024;
/** Two sockets for each of a thousand hosts while gossip syncs, a TAP for each of two thousand endpoints. */
const DESCRIPTORS_MIN = 4_096;

export function checkRights(
  ports: readonly number[],
  holds: (capability: Capability) => boolean = holdsCapability,
): Finding[] {
  const findings: Finding[] = [];
  const lacks = (capability: Capability, forWhat: string): void => {
    if (holds(capability)) return;
    findings.push({
      check: 'rights',
      severity: 'error',
      what: `this process lacks ${capability}, which ${forWhat}`,
      cure: `Run as root, or grant it: systemd AmbientCapabilities=${capability}, docker run --cap-add ${capability.slice(4)}.`,
    });
  };
  lacks('CAP_NET_ADMIN', 'TAPs are made with');
  const low = ports.filter((port) => port < PRIVILEGED_PORTS);
  if (low.length > 0) lacks('CAP_NET_BIND_SERVICE', `port ${low.join(' and ')} needs`);
  return findings;
}

export function checkTun(path: string = TUN_DEVICE): Finding[] {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return [];
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const cure = missing
      ? 'Load the driver with "modprobe tun"; in a container add "--device /dev/net/tun".'
      : 'Run as root; in a container add "--device /dev/net/tun".';
    const what = missing ? `${path} is missing: there can be no TAP` : `${path} may not be opened`;
    return [{ check: 'tun', severity: 'error', what, cure }];
  }
}

/** `limits` as /proc/self/limits has it. */
export function checkLimits(limits: string = textOf('/proc/self/limits')): Finding[] {
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
  if (soft === undefined || Number(soft) >= DESCRIPTORS_MIN) return [];
  return [
    {
      check: 'limits',
      severity: 'warn',
      what: `${soft} files may be open at once; each TAP and each connection is one`,
      cure: `Raise it: systemd LimitNOFILE=65536, or "ulimit -n 65536" before the start (at least ${DESCRIPTORS_MIN}).`,
    },
  ];
}

/** `io` in the words of the start-up report: "batch (FFI, TSO, USO, GRO)". */
export function checkOffloads(io: string, release: string): Finding[] {
  if (io.startsWith('dgram')) {
    return [
      {
        check: 'kernel',
        severity: 'warn',
        what: 'the slow I/O path is in use: one packet a call, no offloads',
        cure: 'Start without "--io dgram".',
      },
    ];
  }
  if (io.includes('no UDP_SEGMENT')) {
    return [
      {
        check: 'kernel',
        severity: 'warn',
        what: `kernel ${release} cuts no runs of datagrams on the way to a peer: they go one by one, slower`,
        cure: 'With IPsec on the underlay that is so; otherwise "ethtool -K DEVICE tx on", or Linux 6.10 or newer.',
      },
    ];
  }
  const wanted = { TSO: '3.0', USO: '6.2', GRO: '5.0' };
  const missing = Object.entries(wanted).filter(([name]) => !io.includes(name));
  if (missing.length === 0) return [];
  return [
    {
      check: 'kernel',
      severity: 'info',
      what: `kernel ${release} lacks ${missing.map(([name]) => name).join(' and ')}: slower, otherwise the same`,
      cure: `Linux ${missing.map(([, version]) => version).sort()[missing.length - 1]} or newer has it.`,
    },
  ];
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
