/** Hosts that define a network differently, keys that not all hold, addresses and MACs that are there twice. */
import type { NetworkConflict } from '../../proto/networks/resolve.ts';
import { describeConflict, isHalfSealed } from '../networks/conflicts.ts';
import type { FdbEntry, KeyringEntry } from '../status.ts';
import type { Finding } from './finding.ts';

/** Of one kind; more would only be more of the same. */
const SHOWN_MAX = 20;

export function checkDefinitions(conflicts: readonly NetworkConflict[]): Finding[] {
  return conflicts.slice(0, SHOWN_MAX).map((conflict): Finding => {
    const { message: what, hint: cure } = describeConflict(conflict);
    return { check: 'network', severity: isHalfSealed(conflict) ? 'error' : 'warn', what, cure };
  });
}

export function checkKeys(keys: readonly KeyringEntry[]): Finding[] {
  return keys
    .filter(({ missing, state }) => missing.length > 0 && state !== 'leaving')
    .slice(0, SHOWN_MAX)
    .map(({ fingerprint, missing, state }) => ({
      check: 'keyring',
      severity: state === 'held' ? ('info' as const) : ('warn' as const),
      what: `key ${fingerprint} (${state}) is missing on ${missing.join(', ')}`,
      cure: 'It comes by gossip in seconds; if it stays away, compare the keyring files and "overlayd keyring ls" there.',
    }));
}

export function checkDuplicates(
  entries: readonly FdbEntry[],
  claims: readonly { readonly network: string; readonly mac: string; readonly owners: readonly string[] }[],
): Finding[] {
  return [...duplicateIps(entries), ...duplicateMacs(claims)];
}

/** One address behind two MACs of one network: containers answer for each other (checklist T8, 3.15). */
function duplicateIps(entries: readonly FdbEntry[]): Finding[] {
  const holders = new Map<string, FdbEntry[]>();
  for (const entry of entries) {
    for (const ip of entry.ips) {
      const key = `${entry.vni} ${ip}`;
      holders.set(key, [...(holders.get(key) ?? []), entry]);
    }
  }
  return [...holders]
    .filter(([, found]) => found.length > 1)
    .slice(0, SHOWN_MAX)
    .map(([key, found]) => ({
      check: 'duplicate-ip',
      severity: 'error' as const,
      what: `address ${key.split(' ')[1]} of network "${found[0]?.network}" is used twice: ${found
        .map(({ mac, owner }) => `${mac} on ${owner ?? 'a static peer'}`)
        .join(' and ')}`,
      cure: 'Restart one of the containers with another address, and give each host an --ip-range of its own ("overlayd docker-command NETWORK" prints it).',
    }));
}

function duplicateMacs(
  claims: readonly { readonly network: string; readonly mac: string; readonly owners: readonly string[] }[],
): Finding[] {
  return claims.slice(0, SHOWN_MAX).map(({ network, mac, owners }) => ({
    check: 'duplicate-mac',
    severity: 'error',
    what: `MAC ${mac} of network "${network}" is claimed by ${owners.join(' and ')}`,
    cure: "Docker's MACs follow from the address: give each host an --ip-range of its own, and restart one of the containers.",
  }));
}
