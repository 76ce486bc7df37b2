/** Clusters of pools as the tests of proto/ipam play with them, where all goes well until the test says otherwise. */
import { blockText, parseBlock } from '../../../proto/ipam/block.ts';
import { RangeCluster } from '../../sim/range-cluster.ts';
import type { RangeClusterOptions, RangeHost } from '../../sim/range-cluster.ts';

export const LEASE_MS = 86_400_000;
export const DAY_MS = 86_400_000;
export const SUBNET = parseBlock('10.42.0.0/16')!.block;

export function cluster(
  hosts: number,
  options: Partial<RangeClusterOptions> & { readonly seed?: number } = {},
): RangeCluster {
  const { mayFound = false, seed = 1 } = options;
  const made = new RangeCluster(seed, hosts, { subnet: SUBNET, leaseMs: LEASE_MS, ...options });
  made.delayMs = 5;
  for (const host of made.hosts) made.start(host);
  for (const host of made.hosts) made.tellAlive(host);
  if (!mayFound) made.hosts[0]!.pool!.found(0);
  settle(made);
  return made;
}

/** Everybody hears everything. */
export function settle(made: RangeCluster, ms = 2_000): void {
  for (let i = 0; i < 4; i++) {
    for (const host of made.hosts) {
      made.tellAlive(host);
      for (const other of made.hosts) made.sync(host, other);
    }
    made.run(ms / 4);
  }
}

export function takeInTime(made: RangeCluster, host: RangeHost, ms = 5_000, address?: bigint): boolean {
  for (let waited = 0; waited <= ms; waited += 50) {
    if (made.take(host, address)) return true;
    made.run(50);
  }
  return false;
}

export const owned = (host: RangeHost): string[] =>
  host.pool!.holding.estate.own.map((block) => blockText(block, 4));

export function estateRecordOf({ name, store }: RangeHost): Uint8Array | undefined {
  return [...store.values()].find(({ owner, table }) => owner === name && table === 'estate')?.value;
}
