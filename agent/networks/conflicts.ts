/** Conflicts between definitions in words: what is the matter, and the cure. */
import type { NetworkConflict, NetworkResolution, ResolvedNetwork } from '../../proto/networks/resolve.ts';
import type { NetworkValue } from '../../proto/state/values/network.ts';
import type { Log } from '../log.ts';
import type { NetworkConflictEntry } from '../status.ts';

export function describeConflict(conflict: NetworkConflict): NetworkConflictEntry {
  const { reason, owner, rejected, rejectedId, standing } = conflict;
  const { name, vni, made } = rejected;
  const other = authorOf(standing);
  const remove = `"overlayd networks rm ${rejectedId}"`;
  const configure = `change or take away --network name=${name} on ${owner}`;
  if (isHalfSealed(conflict)) {
    const [sealed, clear] = rejected.encrypted ? [owner, other] : [other, owner];
    return {
      reason,
      message: `network "${name}" is encrypted on ${sealed} and in clear on ${clear}: no traffic passes between these`,
      hint:
        made === undefined ? `Make it the same on all: ${configure}.` : `Remove the later one: ${remove}.`,
    };
  }
  switch (reason) {
    case 'same-name': {
      const apart = made === undefined ? '' : `; that of ${owner} goes on apart, as ${rejectedId}`;
      return {
        reason,
        message: `${owner} and ${other} define network "${name}" differently (${differing(rejected, standing.value)}): that of ${other} stands${apart}`,
        hint:
          made === undefined
            ? `Make name, VNI, subnet, gateway and MTU equal on all hosts: ${configure}.`
            : `Move its containers to the one that stands and remove it: ${remove}.`,
      };
    }
    case 'same-vni':
      return {
        reason,
        message: `${owner} has VNI ${vni} for network "${name}", ${other} for "${standing.value.name}": no host can be on both`,
        hint:
          made === undefined
            ? `Give one of them another VNI: ${configure}.`
            : `Remove "${name}" and make it again, it gets another VNI: ${remove}.`,
      };
    default:
      return {
        reason,
        message: `subnet ${rejected.subnet}, chosen for network "${name}", overlaps that of "${standing.value.name}": they are isolated, but no container can be on both`,
        hint: `Leave it, or remove "${name}" and make it again, it gets another subnet: ${remove}.`,
      };
  }
}

/** The worst of differences: neither side takes what the other sends. */
export function isHalfSealed({ rejected, standing }: NetworkConflict): boolean {
  return rejected.vni === standing.value.vni && rejected.encrypted !== standing.value.encrypted;
}

function differing(rejected: NetworkValue, standing: NetworkValue): string {
  const fields = ['vni', 'subnet', 'gateway', 'mtu', 'encrypted'] as const;
  const differ = fields.filter((field) => rejected[field] !== standing[field]);
  const texts = differ.map((field) => `${field} ${rejected[field] || '-'} and ${standing[field] || '-'}`);
  return texts.join(', ') || 'labels, IPv6 or what it is for';
}

function authorOf({ made, definers }: ResolvedNetwork): string {
  return made?.made.creator ?? definers[0] ?? 'another host';
}

/** Those that concern a network, on either side. */
export function conflictsOf(
  network: ResolvedNetwork,
  { conflicts }: NetworkResolution,
): NetworkConflictEntry[] {
  const concerned = conflicts.filter(
    ({ rejectedId, standing }) => rejectedId === network.id || standing.id === network.id,
  );
  return concerned.map(describeConflict);
}

/** Tells once of each conflict. */
export class ConflictReporter {
  readonly #log: Log;
  #told = new Set<string>();

  constructor(log: Log) {
    this.#log = log;
  }

  check({ conflicts }: NetworkResolution): void {
    const seen = new Set<string>();
    for (const conflict of conflicts) {
      const { owner, rejected, rejectedId, standing, reason } = conflict;
      const key = JSON.stringify([reason, owner, rejectedId, rejected.vni, standing.id]);
      seen.add(key);
      if (this.#told.has(key)) continue;
      const { message, hint } = describeConflict(conflict);
      const { name: network, vni } = rejected;
      const fields = { peer: owner, network, vni, standing: standing.value.name, reason };
      this.#log[isHalfSealed(conflict) ? 'error' : 'warn'](fields, `${message}. ${hint}`);
    }
    this.#told = seen;
  }
}
