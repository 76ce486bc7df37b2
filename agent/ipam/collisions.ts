/** Addresses in use where they should not be: what hosts say of their endpoints against who owns which range. */
import { anyHolds, parseAddress } from '../../proto/ipam/block.ts';
import type { AddressCollision } from './interface.ts';
import type { NetworkPool } from './network-pool.ts';

/** An endpoint as some host announces it. */
export interface EndpointSeen {
  readonly mac: number;
  readonly owner: string;
  readonly ips: readonly string[];
  /** Its host died: what it said stands for a while. */
  readonly held?: boolean;
}

const SHOWN_MAX = 1_000;

/** All that anybody says to have, but what this host has handed out itself. */
export function seenAddresses(pool: NetworkPool, endpoints: readonly EndpointSeen[]): Set<bigint> {
  const seen = new Set<bigint>();
  for (const { ips } of endpoints) {
    for (const ip of ips) {
      const address = parseAddress(ip, pool.family);
      if (address !== undefined && anyHolds([pool.subnet], address) && !pool.pool.space.isUsed(address))
        seen.add(address);
    }
  }
  return seen;
}

export function findCollisions(
  pool: NetworkPool,
  endpoints: readonly EndpointSeen[],
  self: string,
): AddressCollision[] {
  const claims = new Map<bigint, Map<number, string>>();
  for (const { mac, owner, ips } of endpoints) {
    for (const ip of ips) {
      const address = parseAddress(ip, pool.family);
      if (address === undefined || !anyHolds([pool.subnet], address) || address === pool.gateway) continue;
      const of = claims.get(address) ?? new Map<number, string>();
      claims.set(address, of.set(mac, owner));
    }
  }
  const collisions: AddressCollision[] = [];
  const owners = ownersOf(pool, self);
  for (const [address, macs] of claims) {
    if (collisions.length >= SHOWN_MAX) break;
    const hosts = [...new Set(macs.values())].sort();
    const owner = owners.find(({ own }) => anyHolds(own, address));
    const place = { address: pool.text(address), hosts, owner: owner?.host };
    if (macs.size > 1) collisions.push({ ...place, kind: 'duplicate' });
    else if (owner !== undefined && !hosts.includes(owner.host))
      collisions.push({ ...place, kind: anyHolds(owner.docker, address) ? 'docker-range' : 'foreign' });
  }
  for (const address of pool.reclaimed) {
    if (collisions.length >= SHOWN_MAX) break;
    const owner = owners.find(({ own }) => anyHolds(own, address))?.host;
    collisions.push({ address: pool.text(address), hosts: [self], owner, kind: 'reclaimed' });
  }
  return collisions;
}

interface Owner {
  readonly host: string;
  readonly own: readonly { base: bigint; bits: number }[];
  readonly docker: readonly { base: bigint; bits: number }[];
}

function ownersOf(pool: NetworkPool, self: string): Owner[] {
  const { holding } = pool.pool;
  const owners: Owner[] = [{ host: self, own: holding.estate.own, docker: holding.estate.docker }];
  for (const [host, { estate: record }] of holding.peers) {
    if (record === undefined || record.life === 0 || holding.closers.has(record.life)) continue;
    if (!holding.estate.closed.includes(record.life))
      owners.push({ host, own: record.estate.own, docker: record.estate.docker });
  }
  return owners;
}
