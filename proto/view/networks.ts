/**
 * The cluster's network definitions, resolved from what every host has written (table 3).
 *
 * Hosts that define the same network alike are its definers. Where they do not agree (one name with two definitions,
 * one VNI with two names) the definition with the earliest HLC stands, then the lower owner name: a network in use is
 * not taken over by a later mistake. Each loser is reported as a conflict. Pure; networks are few, so all is recomputed.
 */
import type { StateNode } from '../state/interface.ts';
import { TABLE } from '../state/interface.ts';
import type { NetworkValue } from '../state/values/network.ts';
import { decodeNetwork } from '../state/values/network.ts';

export interface ResolvedNetwork extends NetworkValue {
  /** Owners that define it exactly so, sorted. */
  readonly definers: readonly string[];
}

export interface NetworkConflict {
  readonly owner: string;
  /** What that owner defines, and does not get. */
  readonly rejected: NetworkValue;
  /** What stands instead, with its first definer. */
  readonly standing: ResolvedNetwork;
  readonly reason: 'same-name' | 'same-vni';
}

export interface NetworkResolution {
  /** Sorted by name. */
  readonly networks: readonly ResolvedNetwork[];
  readonly conflicts: readonly NetworkConflict[];
  /** Records that do not decode. */
  readonly bad: number;
}

interface Definition {
  readonly owner: string;
  readonly hlc: bigint;
  readonly value: NetworkValue;
}

export function resolveNetworks(source: Pick<StateNode, 'records'>): NetworkResolution {
  const { definitions, bad } = readDefinitions(source);
  const byName = new Map<string, ResolvedNetwork & { definers: string[] }>();
  const byVni = new Map<number, ResolvedNetwork>();
  const conflicts: NetworkConflict[] = [];
  for (const { owner, value } of definitions) {
    const sameName = byName.get(value.name);
    const standing = sameName ?? byVni.get(value.vni);
    if (standing === undefined) {
      const network = { ...value, definers: [owner] };
      byName.set(value.name, network);
      byVni.set(value.vni, network);
    } else if (sameName !== undefined && isSame(sameName, value)) {
      sameName.definers.push(owner);
    } else {
      const reason = sameName === undefined ? 'same-vni' : 'same-name';
      conflicts.push({ owner, rejected: value, standing, reason });
    }
  }
  const networks = [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const network of networks) network.definers.sort();
  return { networks, conflicts, bad };
}

function readDefinitions(source: Pick<StateNode, 'records'>): { definitions: Definition[]; bad: number } {
  const definitions: Definition[] = [];
  let bad = 0;
  for (const { owner, hlc, value } of source.records(0, TABLE.network)) {
    try {
      definitions.push({ owner, hlc, value: decodeNetwork(value) });
    } catch {
      bad++;
    }
  }
  definitions.sort(earlierFirst);
  return { definitions, bad };
}

function earlierFirst(a: Definition, b: Definition): number {
  if (a.hlc !== b.hlc) return a.hlc < b.hlc ? -1 : 1;
  if (a.owner !== b.owner) return a.owner < b.owner ? -1 : 1;
  return a.value.name < b.value.name ? -1 : 1;
}

function isSame(a: NetworkValue, b: NetworkValue): boolean {
  return (
    a.name === b.name &&
    a.vni === b.vni &&
    a.subnet === b.subnet &&
    a.gateway === b.gateway &&
    a.mtu === b.mtu &&
    a.encrypted === b.encrypted
  );
}
