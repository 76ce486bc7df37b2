/** Networks of the configuration before and after a reload: what came, what went, and what may not change while they run. */
import { OverlaydError } from '../errors.ts';
import type { NetworkConfig } from './run-config.ts';

export interface NetworkChanges {
  readonly added: readonly NetworkConfig[];
  readonly removed: readonly NetworkConfig[];
  /** In gateway or ip-range. */
  readonly changed: readonly NetworkConfig[];
}

/** Keys that stay while the network runs, and why. */
const FIXED = {
  vni: 'hosts know it by that',
  tap: 'containers hang on that interface',
  encrypted: 'hosts would refuse what the others send',
  subnet: 'its containers have addresses of that',
  mtu: 'its containers have taken that over',
} as const satisfies Partial<Record<keyof NetworkConfig, string>>;

/** Throws OverlaydError: a restart is needed, or two steps. */
export function networkChanges(
  running: readonly NetworkConfig[],
  wanted: readonly NetworkConfig[],
): NetworkChanges {
  const before = new Map(running.map((network) => [network.name, network]));
  const names = new Set(wanted.map(({ name }) => name));
  const added = wanted.filter(({ name }) => !before.has(name));
  const removed = running.filter(({ name }) => !names.has(name));
  const changed: NetworkConfig[] = [];
  const fixed: string[] = [];
  for (const network of wanted) {
    const was = before.get(network.name);
    if (was === undefined) continue;
    fixed.push(...fixedKeys(was, network));
    if (was.gateway !== network.gateway || was.ipRange !== network.ipRange) changed.push(network);
  }
  if (fixed.length > 0) {
    throw new OverlaydError('OVL_RELOAD_NEEDS_RESTART', `reload refused: ${fixed.join('; ')}`, {
      hint: 'Nothing was taken over. Undo that, or restart overlayd and make the containers on it anew. A TAP without a name in the file goes by its place: name it with tap=.',
      details: { needRestart: ['networks'] },
    });
  }
  for (const network of added) refuseHeir(network, removed);
  return { added, removed, changed };
}

function fixedKeys(was: NetworkConfig, network: NetworkConfig): string[] {
  return (Object.keys(FIXED) as (keyof typeof FIXED)[])
    .filter((key) => was[key] !== network[key])
    .map((key) => {
      const values = `${String(was[key] ?? 'none')} to ${String(network[key] ?? 'none')}`;
      return `network "${network.name}" has its ${key} changed from ${values}, and ${FIXED[key]}`;
    });
}

/** The old one could not be put back, if the new one failed. */
function refuseHeir({ name, vni, tap }: NetworkConfig, removed: readonly NetworkConfig[]): void {
  const heir = removed.find((other) => other.vni === vni || other.tap === tap);
  if (heir === undefined) return;
  const what = heir.vni === vni ? `VNI ${vni}` : `TAP ${tap}`;
  throw new OverlaydError(
    'OVL_RELOAD_NEEDS_RESTART',
    `reload refused: network "${name}" has ${what} of "${heir.name}", which goes`,
    {
      hint: `Nothing was taken over. Take "${heir.name}" away and reload, then add "${name}" and reload again; or give it another one.`,
      details: { needRestart: ['networks'] },
    },
  );
}
