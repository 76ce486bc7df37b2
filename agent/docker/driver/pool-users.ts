/**
 * Who has a pool that no Docker network of our own driver has: a Docker network of another driver (macvlan), whose containers
 * are on a network of ours by its TAP; or nobody yet, while Docker creates a network.
 */
import { parseCidr } from '../../config/address.ts';
import type { NetworkDefinition } from '../../networks/interface.ts';
import type { DockerNetwork } from '../client/schemas.ts';
import type { PoolRecord } from './book.ts';
import { isDriver } from './deps.ts';
import type { DriverDeps } from './deps.ts';
import { refused } from './refused.ts';
import { subnetOf } from './subnets.ts';

/** Docker asks for all that a network needs in one go. */
const CREATION_MS = 60_000;

/** Docker networks of other drivers whose addresses come from this pool, or from one with its subnet. */
export function foreignUsers(
  pool: PoolRecord,
  found: readonly DockerNetwork[],
  driverName: string,
): DockerNetwork[] {
  return found.filter(
    (network) => !isDriver(network.Driver, driverName) && hasSubnet(network, pool.cidr, driverName),
  );
}

/** Its addresses come from us, and this subnet is one of its own. */
export function hasSubnet({ IPAM }: DockerNetwork, cidr: string, driverName: string): boolean {
  return isDriver(IPAM.Driver, driverName) && IPAM.Config.some(({ Subnet }) => canonical(Subnet) === cidr);
}

/** Docker keeps subnets as the user wrote them: `10.50.0.1/16`, `FD50::/64`. */
export function canonical(cidr: string): string {
  return parseCidr(cidr)?.cidr.text ?? cidr;
}

/** Networks of ours that the pool may be of: the one with its name, or else all that have its subnet. */
export function candidates(
  { name, family, cidr }: PoolRecord,
  networks: Pick<DriverDeps['networks'], 'find' | 'list'>,
): NetworkDefinition[] {
  if (name === undefined) return networks.list().filter((network) => subnetOf(network, family) === cidr);
  const named = networks.find(name);
  return named === undefined ? [] : [named];
}

/** The network of ours that the pool is of. Throws OverlaydError. */
export function onlyCandidate(pool: PoolRecord, networks: DriverDeps['networks']): NetworkDefinition {
  const [first, ...others] = candidates(pool, networks);
  if (first !== undefined && others.length === 0) return first;
  const { name, cidr } = pool;
  if (first !== undefined) {
    const names = [first, ...others].map((network) => network.name);
    throw refused(
      'OVL_DOCKER_SUBNET',
      `${names.slice(0, -1).join(', ')} and ${names.at(-1)} have the subnet ${cidr}`,
      'Create the Docker network with --ipam-opt name=NAME.',
    );
  }
  const create = `"overlayd networks create ${name ?? 'NAME'} --subnet ${cidr}"`;
  throw refused(
    'OVL_DOCKER_SUBNET',
    name === undefined ? `no network of overlayd has the subnet ${cidr}` : `there is no network "${name}"`,
    `Create one first: ${create}.`,
  );
}

export class PoolUsers {
  readonly #deps: Pick<DriverDeps, 'book' | 'docker' | 'driverName' | 'now'>;
  /** Pools of networks that are there, by ID. */
  readonly #settled = new Set<string>();

  constructor(deps: Pick<DriverDeps, 'book' | 'docker' | 'driverName' | 'now'>) {
    this.#deps = deps;
  }

  /** Its network is there. */
  settle(pool: string): void {
    this.#settled.add(pool);
  }

  forget(pool: string): void {
    this.#settled.delete(pool);
  }

  /** Of a pool without a network of our driver: whether Docker is about to create its network. */
  async isInCreation(pool: PoolRecord): Promise<boolean> {
    const { book, docker, driverName, now } = this.#deps;
    const ageMs = now() - pool.sinceMs;
    const isYoung = ageMs >= 0 && ageMs < CREATION_MS;
    if (!isYoung || this.#settled.has(pool.id)) return false;
    if (book.addresses(pool.id).some(({ use }) => use === 'endpoint')) return false;
    const found = (await docker?.networks().catch(() => undefined)) ?? [];
    // Those that have the same subnet had theirs before.
    const before = [...book.pools.values()].filter(
      ({ network, cidr, sinceMs, id }) =>
        network === undefined && cidr === pool.cidr && id !== pool.id && sinceMs <= pool.sinceMs,
    );
    if (foreignUsers(pool, found, driverName).length <= before.length) return true;
    this.settle(pool.id);
    return false;
  }
}
