/**
 * The subnet of a pool for which the user gave none.
 *
 * Docker asks again while what it is told overlaps with a route or a name server of the host, keeps all of it until it is
 * content, and never gives up by itself: that is ours to do. What it keeps is told by the missing gateway, which it asks for
 * next of a subnet that it takes.
 */
import type { PoolRecord } from './book.ts';
import type { DriverDeps } from './deps.ts';
import { refused } from './refused.ts';
import { freeSubnet, subnetOf } from './subnets.ts';

const KEPT_MAX = 64;
/** Docker asks for the gateway at once; what is older was left by one that died. */
const KEPT_MS = 60_000;

/**
 * Is there one network among the hosts that this Docker does not have yet, it is that one that the user means most of the
 * time; if not, the name will tell, and addresses are right all the same. Throws OverlaydError.
 */
export function propose(
  deps: Pick<DriverDeps, 'networks' | 'book' | 'rng' | 'now'>,
  family: 4 | 6,
  name: string | undefined,
): string {
  const { networks, book, rng } = deps;
  const pools = [...book.pools.values()];
  const kept = pools.filter((pool) => isKept(deps, pool));
  const named = name === undefined ? undefined : networks.find(name);
  const theirs = named && subnetOf(named, family);
  if (kept.some((pool) => pool.name === name && pool.cidr === theirs)) {
    throw refused(
      'OVL_DOCKER_POOLS',
      `the subnet of network "${name}" overlaps with a route or a name server of this host`,
      `Give --subnet ${theirs}: Docker does not compare a subnet that was given.`,
    );
  }
  if (kept.length >= KEPT_MAX) {
    throw refused(
      'OVL_DOCKER_POOLS',
      'every subnet that overlayd proposes overlaps with a route of this host',
      'Give one with --subnet.',
    );
  }
  if (theirs !== undefined) return theirs;
  const all = networks.list();
  if (name === undefined) {
    const here = new Set(pools.map(({ cidr }) => cidr));
    const attached = new Set([...book.networks.values()].flatMap(({ overlay }) => overlay?.id ?? []));
    const missing = all
      .filter((network) => network.createdBy !== '' && !attached.has(network.id))
      .flatMap((network) => subnetOf(network, family) ?? [])
      .filter((cidr) => !here.has(cidr));
    if (missing.length === 1 && missing[0] !== undefined) return missing[0];
  }
  const known = all.flatMap((network) => subnetOf(network, family) ?? []);
  const free = freeSubnet(family, [...known, ...pools.map(({ cidr }) => cidr)], rng);
  if (free !== undefined) return free;
  throw refused('OVL_DOCKER_POOLS', 'no subnet is left to propose', 'Give one with --subnet.');
}

/** Docker has asked for it in this run, and asks for another one instead of its gateway. */
function isKept({ book, now }: Pick<DriverDeps, 'book' | 'now'>, pool: PoolRecord): boolean {
  const ageMs = now() - pool.sinceMs;
  if (pool.isGiven || pool.network !== undefined || ageMs < 0 || ageMs >= KEPT_MS) return false;
  return !book.isInherited(pool) && book.addresses(pool.id).length === 0;
}
