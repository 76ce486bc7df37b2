/** Our networks as the Docker checks want them, and what systemd and the kernel say of the TAPs under them. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Machine } from '../config/underlay.ts';
import type { OwnNetwork } from './docker-checks.ts';
import type { Finding } from './finding.ts';

const COMMAND_TIMEOUT_MS = 3_000;
const SYSTEMD = '/run/systemd/system';

type Described = Omit<OwnNetwork, 'mtu' | 'persistent'>;

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
