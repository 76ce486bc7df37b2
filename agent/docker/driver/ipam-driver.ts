/**
 * Docker's IPAM driver: pools are subnets of our networks, addresses come from what this host owns of them.
 *
 * Docker creates a network in this order: RequestPool, RequestAddress for the gateway and each --aux-address, then
 * CreateNetwork, which says by subnet and gateway which pool it has. Until then a pool belongs to nobody ("unbound");
 * it stays so when the network is another driver's (macvlan), and then it is the pool of the network of ours that has
 * its subnet. Which of both it is decides what an address is that Docker names (pool-users.ts).
 *
 * Docker repeats a call whose answer it did not get, so an address may be given out that nobody uses: whoever asks for it by
 * name gets it, and the reconciler takes it back.
 */
import { canonicalIp, cidrContains, ipFamily, parseCidr } from '../../config/address.ts';
import { OverlaydError } from '../../errors.ts';
import type { NetworkDefinition } from '../../networks/interface.ts';
import type { AddressRecord, PoolRecord } from './book.ts';
import { isDriver } from './deps.ts';
import type { DriverDeps } from './deps.ts';
import type { DockerEndpoints } from './docker-endpoints.ts';
import { didYouMean } from '../../config/nearest.ts';
import { readName } from './options.ts';
import { PoolUsers, candidates, hasSubnet, onlyCandidate } from './pool-users.ts';
import { propose } from './proposals.ts';
import { refused } from './refused.ts';
import { Reservations } from './reservations.ts';
import type { Resolver } from './resolver.ts';
import { addressOf, firstAddress, gatewayOf, lengthOf, subnetOf } from './subnets.ts';

export const ADDRESS_SPACES = {
  LocalDefaultAddressSpace: 'overlayd-local',
  GlobalDefaultAddressSpace: 'overlayd-global',
} as const;
const GATEWAY = 'com.docker.network.gateway';
const ADDRESS_TYPE = 'RequestAddressType';

export class IpamDriver {
  readonly #deps: DriverDeps;
  readonly #resolver: Resolver;
  readonly #endpoints: DockerEndpoints;
  readonly #users: PoolUsers;
  readonly reservations: Reservations;

  constructor(deps: DriverDeps, resolver: Resolver, endpoints: DockerEndpoints) {
    this.#deps = deps;
    this.#resolver = resolver;
    this.#endpoints = endpoints;
    this.#users = new PoolUsers(deps);
    this.reservations = new Reservations(deps);
  }

  requestPool(request: {
    readonly AddressSpace: string;
    readonly Pool: string;
    readonly SubPool: string;
    readonly Options: Readonly<Record<string, string>>;
    readonly V6: boolean;
  }): { PoolID: string; Pool: string; Data: object } {
    const { book, rng, now } = this.#deps;
    const family = request.V6 ? 6 : 4;
    const name = poolName(request.Options);
    if (request.SubPool !== '') {
      throw refused(
        'OVL_DOCKER_RANGE',
        '--ip-range is not for the overlayd IPAM driver: each host gets its own part of the subnet by itself',
        'Leave --ip-range away.',
      );
    }
    const cidr = request.Pool === '' ? propose(this.#deps, family, name) : givenPool(request.Pool, family);
    const named = name === undefined ? undefined : this.#deps.networks.find(name);
    const has = named && subnetOf(named, family);
    if (has !== undefined && has !== cidr) {
      throw refused(
        'OVL_NETWORK_DIFFERS',
        `the network "${name}" has the subnet ${has}, not ${cidr}`,
        `Give --subnet ${has}, or none.`,
      );
    }
    const space = spaceOf(request.AddressSpace) ?? 'local';
    const id = `${space} ${cidr} ${rng.u32().toString(16)}`;
    const isGiven = request.Pool !== '';
    book.putPool({ id, cidr, family, space, isGiven, sinceMs: now(), ...(name !== undefined && { name }) });
    return { PoolID: id, Pool: cidr, Data: {} };
  }

  async releasePool(id: string): Promise<void> {
    for (const { ip } of this.#deps.book.addresses(id)) await this.releaseAddress(id, ip);
    this.#deps.book.deletePool(id);
    this.#users.forget(id);
  }

  async requestAddress(request: {
    readonly PoolID: string;
    readonly Address: string;
    readonly Options: Readonly<Record<string, string>>;
  }): Promise<{ Address: string; Data: object }> {
    const pool = this.#deps.book.pools.get(request.PoolID) ?? (await this.#adopt(request.PoolID));
    const asked = request.Address === '' ? undefined : canonicalIp(request.Address);
    if (request.Address !== '' && (asked === undefined || ipFamily(asked) !== pool.family)) {
      throw refused('OVL_DOCKER_ADDRESS', `"${request.Address}" is no IPv${pool.family} address`, undefined);
    }
    if (request.Options[ADDRESS_TYPE] === GATEWAY) return this.#gateway(pool, asked);
    if (pool.network === undefined && asked !== undefined && (await this.#users.isInCreation(pool))) {
      return this.#reserve(pool, asked);
    }
    const network =
      pool.network === undefined
        ? onlyCandidate(pool, this.#deps.networks)
        : await this.#resolver.resolve(pool.network);
    void this.reservations.claim(pool, network);
    return this.#endpointAddress(pool, network, asked);
  }

  async releaseAddress(poolId: string, address: string): Promise<void> {
    const { book, addresses, networks } = this.#deps;
    const ip = canonicalIp(address) ?? address;
    const record = book.address(poolId, ip);
    if (record === undefined) return;
    const pool = book.pools.get(poolId);
    // Swarm's manager takes back addresses of containers on any node.
    if (pool?.network !== undefined && pool.space === 'local') {
      if (!(await this.#endpoints.giveUp(pool.network, ip))) return;
    }
    // With a network all claims on its addresses have gone.
    const stands = record.claimedIn !== undefined && networks.find(record.claimedIn) !== undefined;
    if (record.claimedIn !== undefined && stands) await addresses.release(record.claimedIn, ip);
    book.deleteAddress(poolId, ip);
  }

  /** Docker has it and we know nothing of it: our state was lost. Its ID says what it was. */
  async #adopt(id: string): Promise<PoolRecord> {
    const { book, docker, now, log, driverName } = this.#deps;
    const [space, text = ''] = id.split(' ');
    const cidr = parseCidr(text)?.cidr;
    if ((space !== 'local' && space !== 'global') || cidr === undefined) {
      throw refused(
        'OVL_DOCKER_POOL',
        `overlayd has no address pool "${id}"`,
        'Remove the Docker network and create it again.',
      );
    }
    const networks = (await docker?.networks()) ?? [];
    const owners = networks.filter(
      (each) => isDriver(each.Driver, driverName) && hasSubnet(each, cidr.text, driverName),
    );
    const network = owners.length === 1 ? owners[0]?.Id : undefined;
    const pool: PoolRecord = {
      id,
      cidr: cidr.text,
      family: cidr.family,
      space,
      isGiven: false,
      sinceMs: now(),
      ...(network !== undefined && { network }),
    };
    book.putPool(pool);
    this.#users.settle(id);
    log.info({ other: cidr.text }, 'taken over from Docker: an address pool that was not in our records');
    return pool;
  }

  /** Nobody's address: all hosts have the same gateway, and the network's definition keeps endpoints off it. */
  #gateway(pool: PoolRecord, asked: string | undefined): { Address: string; Data: object } {
    if (asked !== undefined && !cidrContains(pool.cidr, asked)) {
      throw refused(
        'OVL_DOCKER_GATEWAY',
        `the gateway ${asked} is not in ${pool.cidr}`,
        'Give a --gateway of the subnet.',
      );
    }
    const [network, ...others] = candidates(pool, this.#deps.networks);
    const known = others.length === 0 ? network : undefined;
    const theirs = known && gatewayOf(known, pool.family);
    const ip = asked ?? theirs ?? firstAddress(pool.cidr);
    this.#keep(pool, ip, { use: 'gateway', isGiven: asked !== undefined });
    return { Address: `${ip}/${lengthOf(pool.cidr)}`, Data: {} };
  }

  /** `--aux-address`, before the network is there. */
  #reserve(pool: PoolRecord, ip: string): { Address: string; Data: object } {
    if (!cidrContains(pool.cidr, ip)) {
      throw refused('OVL_DOCKER_ADDRESS', `${ip} is not in ${pool.cidr}`, 'Give an address of the subnet.');
    }
    this.#keep(pool, ip, { use: 'reserved', isGiven: true });
    return { Address: `${ip}/${lengthOf(pool.cidr)}`, Data: {} };
  }

  async #endpointAddress(
    pool: PoolRecord,
    network: NetworkDefinition,
    asked: string | undefined,
  ): Promise<{ Address: string; Data: object }> {
    const { addresses, scope, book } = this.#deps;
    const held = asked === undefined ? undefined : book.address(pool.id, asked);
    if (held !== undefined && held.use !== 'endpoint') {
      throw refused(
        'OVL_ADDRESS_TAKEN',
        `${asked} is a ${held.use === 'gateway' ? 'gateway' : 'reserved'} address of this network`,
        'Choose another one.',
      );
    }
    const subnet = subnetOf(network, pool.family) ?? pool.cidr;
    if (scope === 'global' && pool.space === 'local' && asked !== undefined) {
      // Swarm's manager has chosen it from its own pool: it is claimed there.
      this.#keep(pool, asked, { use: 'endpoint', isGiven: true });
      return { Address: `${asked}/${lengthOf(subnet)}`, Data: {} };
    }
    if (held !== undefined && this.#isOrphan(pool, held, network)) {
      this.#keep(pool, held.ip, { use: 'endpoint', isGiven: true, claimedIn: network.id });
      return { Address: `${held.ip}/${lengthOf(subnet)}`, Data: {} };
    }
    if (pool.space === 'global' && asked !== undefined && held === undefined) {
      return this.#restored(pool, network, asked);
    }
    for (;;) {
      const given = await addresses.request(network.id, {
        family: pool.family,
        purpose: 'endpoint',
        ...(asked !== undefined && { address: asked }),
      });
      const ip = addressOf(given);
      const kept = book.address(pool.id, ip);
      if (kept === undefined || (kept.use === 'endpoint' && !this.#isOfBefore(pool, kept, network))) {
        await this.#keepClaimed(pool, ip, network, asked !== undefined);
        return { Address: given, Data: {} };
      }
      // Docker's gateway, an --aux-address, or that of a container which Docker did not end when the network was removed and
      // made again: this network knows nothing of it, so it is kept off from here.
      await this.#putClaimed(kept, network);
    }
  }

  /**
   * Swarm's manager names an address: a new leader, or one that was restarted, begins with a new pool and asks for what its
   * tasks have already. It is claimed by the pool before, here or on the host of the last leader, and stays so.
   */
  async #restored(
    pool: PoolRecord,
    network: NetworkDefinition,
    ip: string,
  ): Promise<{ Address: string; Data: object }> {
    const { book, addresses } = this.#deps;
    const answer = { Address: `${ip}/${lengthOf(subnetOf(network, pool.family) ?? pool.cidr)}`, Data: {} };
    for (const { id, network: its, space } of book.pools.values()) {
      const record = book.address(id, ip);
      if (space !== 'global' || its !== pool.network || record?.use !== 'endpoint') continue;
      const { claimedIn } = record;
      this.#keep(pool, ip, { use: 'endpoint', isGiven: true, ...(claimedIn !== undefined && { claimedIn }) });
      book.deleteAddress(id, ip);
      return answer;
    }
    const what = { use: 'endpoint', isGiven: true } as const;
    try {
      await addresses.request(network.id, { address: ip, family: pool.family, purpose: 'restored' });
      await this.#keepClaimed(pool, ip, network, true);
    } catch (error) {
      if (!(error instanceof OverlaydError && error.code === 'OVL_ADDRESS_TAKEN')) throw error;
      this.#keep(pool, ip, what);
    }
    return answer;
  }

  /** Given out by an earlier run that died before Docker heard of it, or before it heard that Docker gave it back. */
  #isOrphan(pool: PoolRecord, address: AddressRecord, { id }: NetworkDefinition): boolean {
    return address.claimedIn === id && this.#isUnused(pool, address);
  }

  /** Claimed in a network that was there before this one, and in use. */
  #isOfBefore(pool: PoolRecord, address: AddressRecord, { id }: NetworkDefinition): boolean {
    const { claimedIn } = address;
    return claimedIn !== undefined && claimedIn !== id && !this.#isUnused(pool, address);
  }

  #isUnused({ network }: PoolRecord, address: AddressRecord): boolean {
    if (network === undefined || !this.#deps.book.isInherited(address)) return false;
    return this.#endpoints.withIp(network, address.ip) === undefined;
  }

  async #keepClaimed(
    pool: PoolRecord,
    ip: string,
    network: NetworkDefinition,
    isGiven: boolean,
  ): Promise<void> {
    const { now } = this.#deps;
    await this.#putClaimed({ pool: pool.id, ip, use: 'endpoint', isGiven, sinceMs: now() }, network);
  }

  /** What cannot be written down is nobody's again: Docker is told of no address then. */
  async #putClaimed(address: AddressRecord, { id }: NetworkDefinition): Promise<void> {
    const { book, addresses } = this.#deps;
    try {
      book.putAddress({ ...address, claimedIn: id });
    } catch (error) {
      await addresses.release(id, address.ip);
      throw error;
    }
  }

  #keep(pool: PoolRecord, ip: string, what: Pick<AddressRecord, 'use' | 'isGiven' | 'claimedIn'>): void {
    const { book, now } = this.#deps;
    book.putAddress({ pool: pool.id, ip, sinceMs: now(), ...what });
  }
}

/** Undefined: of another driver. */
export function spaceOf(addressSpace: string): 'local' | 'global' | undefined {
  if (addressSpace === ADDRESS_SPACES.GlobalDefaultAddressSpace) return 'global';
  return addressSpace === ADDRESS_SPACES.LocalDefaultAddressSpace ? 'local' : undefined;
}

/** `--ipam-opt name=NAME`. */
function poolName(options: Readonly<Record<string, string>>): string | undefined {
  let name: string | undefined;
  for (const [key, value] of Object.entries(options)) {
    if (key === 'name') name = readName(value);
    else if (!key.startsWith('com.docker.')) {
      throw refused(
        'OVL_DOCKER_OPTION',
        `unknown --ipam-opt ${key}${didYouMean(key, ['name'])}`,
        'There is: name.',
      );
    }
  }
  return name;
}

function givenPool(text: string, family: 4 | 6): string {
  const read = parseCidr(text);
  if (read === undefined || read.cidr.family !== family) {
    throw refused('OVL_DOCKER_SUBNET', `"${text}" is no IPv${family} subnet`, undefined);
  }
  if (read.cidr.prefixLength > (family === 4 ? 30 : 126)) {
    throw refused(
      'OVL_DOCKER_SUBNET',
      `${text} has no room for a gateway and a container`,
      `Give a subnet of at least /${family === 4 ? 30 : 126}.`,
    );
  }
  return read.cidr.text;
}
