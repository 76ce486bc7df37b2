/** Our networks as the Docker checks want them, and what systemd and the kernel say of the TAPs under them. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Machine } from '../config/underlay.ts';
import type { Finding } from './finding.ts';

const COMMAND_TIMEOUT_MS = 3_000;
const SYSTEMD = '/run/systemd/system';

/** Who may hand out which addresses of a subnet, as far as that is known here. */
export interface OwnRange {
  readonly host: string;
  readonly isOurs: boolean;
  readonly cidrs: readonly string[];
  /** Of these, what Docker on that host hands out from. */
  readonly docker: readonly string[];
}

export interface OwnSubnet {
  readonly subnet: string;
  readonly gateway: string | undefined;
  /** What Docker on this host is to hand out from, as docker-command prints it. */
  readonly ipRange: string | undefined;
  /** The operator said so; else it is marked for Docker in this host's range. */
  readonly isGiven: boolean;
  readonly ranges: readonly OwnRange[];
}

/** A network of ours, as far as it matters to Docker's. */
export interface OwnNetwork {
  readonly name: string;
  readonly tap: string;
  /** One of each family at most. */
  readonly subnets: readonly OwnSubnet[];
  /** Now; undefined when the TAP is not there. */
  readonly mtu: number | undefined;
  /** Kept by the kernel when overlayd ends; undefined where that cannot be told. */
  readonly persistent: boolean | undefined;
  /** Other hosts that take part. */
  readonly peers: number;
}

type Described = Omit<OwnNetwork, 'mtu' | 'persistent'>;

interface Addressing {
  readonly subnet?: string | undefined;
  readonly subnet6?: string | undefined;
  readonly gateway?: string | undefined;
  readonly gateway6?: string | undefined;
  readonly ipRange?: string | undefined;
}

/** A gateway and a range belong to the subnet of their family. */
export function ownSubnets(
  { subnet, subnet6, gateway, gateway6, ipRange }: Addressing,
  ranges: readonly OwnRange[],
): OwnSubnet[] {
  return [subnet, subnet6].flatMap((cidr): OwnSubnet[] => {
    if (cidr === undefined) return [];
    const isOfIt = (text: string | undefined): boolean => text?.includes(':') === cidr.includes(':');
    const within = ranges.map((range) => ({
      ...range,
      cidrs: range.cidrs.filter(isOfIt),
      docker: range.docker.filter(isOfIt),
    }));
    const given = isOfIt(ipRange) ? ipRange : undefined;
    const marked = within.find(({ isOurs }) => isOurs)?.docker[0];
    return [
      {
        subnet: cidr,
        gateway: [gateway, gateway6].find(isOfIt),
        ipRange: given ?? marked,
        isGiven: given !== undefined,
        ranges: within,
      },
    ];
  });
}

export async function ownNetwork(described: Described, machine: Machine): Promise<OwnNetwork> {
  const mtu = await machine.mtu(described.tap);
  return { ...described, mtu, persistent: mtu === undefined ? undefined : await isPersistent(described.tap) };
}

async function isPersistent(tap: string): Promise<boolean | undefined> {
  const text = await output('ip', ['-j', '-d', 'link', 'show', 'dev', tap]);
  try {
    const [link] = JSON.parse(text) as { linkinfo?: { info_data?: { persist?: boolean } } }[];
    return link?.linkinfo?.info_data?.persist;
  } catch {
    return undefined; // no such command, or another answer than expected
  }
}

/** TAPs must be there before dockerd starts: it gives up networks whose parent is missing (checklist T5). */
export async function checkOrdering(): Promise<Finding[]> {
  if (!existsSync(SYSTEMD)) return [];
  const shown = await output('systemctl', ['show', 'docker.service', '--property=LoadState,After']);
  if (!shown.includes('LoadState=loaded') || shown.includes('overlayd.service')) return [];
  return [
    {
      check: 'docker-t5',
      severity: 'warn',
      what: 'docker.service does not wait for overlayd: at boot dockerd gives up networks whose TAP is not there yet',
      cure: 'Install packaging/overlayd.service (Before=docker.service), then: systemctl daemon-reload; systemctl enable overlayd.',
    },
  ];
}

/** Empty when the command is missing, fails or is too slow. */
function output(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    execFile(command, [...args], { timeout: COMMAND_TIMEOUT_MS }, (error, stdout) =>
      resolve(error === null ? stdout : ''),
    );
  });
}
