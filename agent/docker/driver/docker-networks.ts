/**
 * Docker's network driver, the half about networks. A Docker network has a record here from its creation on; which network of
 * ours it is, the resolver finds out when its name is known.
 *
 * In swarm mode the manager allocates a network once (AllocateNetwork, with the pool that addresses of all its containers
 * come from), and each node creates it under the same ID when its first container comes, and deletes it after the last.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { OverlaydError } from '../../errors.ts';
import type { AddressPlan, NetworkRecord, PoolRecord } from './book.ts';
import type { DriverDeps } from './deps.ts';
import type { DockerEndpoints } from './docker-endpoints.ts';
import { ADDRESS_SPACES, spaceOf } from './ipam-driver.ts';
import type { IpamDriver } from './ipam-driver.ts';
import type { PoolData } from './messages.ts';
import { readOptions } from './options.ts';
import { DOCKER_LABEL, refuseDifferences } from './resolver.ts';
import type { Resolver } from './resolver.ts';
import { addressOf } from './subnets.ts';

const GENERIC = 'com.docker.network.generic';
const INTERNAL = 'com.docker.network.internal';
/** Containers of other nodes end within seconds of their service. */
const REMOVALS_MAX = 20;
const REMOVAL_RETRY_MS = 1_000;

interface Creation {
  readonly NetworkID: string;
  readonly Options: Readonly<Record<string, unknown>>;
  readonly IPv4Data: readonly PoolData[];
  readonly IPv6Data: readonly PoolData[];
}

export class DockerNetworks {
  readonly #deps: DriverDeps;
  readonly #resolver: Resolver;
  readonly #endpoints: DockerEndpoints;
  readonly #ipam: IpamDriver;
  readonly #abort = new AbortController();

  constructor(deps: DriverDeps, resolver: Resolver, endpoints: DockerEndpoints, ipam: IpamDriver) {
    this.#deps = deps;
    this.#resolver = resolver;
    this.#endpoints = endpoints;
    this.#ipam = ipam;
  }

  close(): void {
    this.#abort.abort();
  }

  async create(request: Creation): Promise<object> {
    const generic = request.Options[GENERIC];
    const options = typeof generic === 'object' && generic !== null ? { ...generic } : {};
    const record = this.#record(request, options, request.Options[INTERNAL] === true);
    if (record.options.name === undefined) {
      void this.#resolver.resolveSoon(record.id).then(() => this.#claimReserved(record.id));
      return {};
    }
    try {
      await this.#resolver.resolve(record.id);
    } catch (error) {
      this.#deps.book.deleteNetwork(record.id);
      throw error;
    }
    await this.#claimReserved(record.id);
    return {};
  }

  /** What swarm's manager gets back here, every node is given as options of CreateNetwork. */
  allocate(request: Creation): object {
    // Swarm leaves the address space empty here.
    const global = (each: PoolData): PoolData => ({
      ...each,
      AddressSpace: each.AddressSpace || ADDRESS_SPACES.GlobalDefaultAddressSpace,
    });
    const { IPv4Data, IPv6Data } = request;
    const data = { IPv4Data: IPv4Data.map(global), IPv6Data: IPv6Data.map(global) };
    const record = this.#record({ ...request, ...data }, request.Options, false);
    void this.#resolver.resolveSoon(record.id).then(() => this.#claimReserved(record.id));
    return { Options: request.Options };
  }

  async free({ NetworkID: id }: { readonly NetworkID: string }): Promise<object> {
    const overlay = this.#deps.book.networks.get(id)?.overlay;
    this.#deps.book.deleteNetwork(id);
    if (overlay !== undefined) void this.#removeSoon(overlay.id);
    return Promise.resolve({});
  }

  async delete({ NetworkID: id }: { readonly NetworkID: string }): Promise<object> {
    const { book, scope } = this.#deps;
    const overlay = book.networks.get(id)?.overlay;
    for (const endpoint of book.endpoints.values()) {
      if (endpoint.network === id) await this.#endpoints.discard(endpoint);
    }
    // Docker has given its pools back, or that was lost.
    for (const pool of book.poolsOf(id)) {
      if (pool.space === 'local') await this.#ipam.releasePool(pool.id);
    }
    // Of a swarm it is the manager who says that the network is no more, here perhaps: this is about a node's last container.
    if (book.poolsOf(id).length > 0) return {};
    book.deleteNetwork(id);
    if (overlay !== undefined && scope === 'local') await this.#remove(overlay.id);
    return {};
  }

  /** True when there is nothing left to do. */
  async #remove(overlay: string): Promise<boolean> {
    const { book, networks, log } = this.#deps;
    const definition = networks.find(overlay);
    const isElsewhere = [...book.networks.values()].some((other) => other.overlay?.id === overlay);
    if (definition?.labels[DOCKER_LABEL] !== 'true' || isElsewhere) return true;
    try {
      // Refused while others have endpoints on it. Hosts whose Docker has it without any make it again when they need it.
      await networks.remove(definition.id, { force: false });
      return true;
    } catch (error) {
      log.debug({ err: error, network: definition.name }, 'the network stays for other hosts');
      return false;
    }
  }

  async #removeSoon(overlay: string): Promise<void> {
    const { signal } = this.#abort;
    for (let tries = 0; tries < REMOVALS_MAX && !signal.aborted; tries++) {
      if (await this.#remove(overlay)) return;
      await pause(REMOVAL_RETRY_MS, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** The record of a network, made if there is none; the pools that were had for it become its own. */
  #record(request: Creation, given: Readonly<Record<string, unknown>>, internal: boolean): NetworkRecord {
    const { book, now } = this.#deps;
    const options = readOptions(given);
    for (const list of [request.IPv4Data, request.IPv6Data]) {
      if (list.length > 1) throw tooManySubnets();
    }
    const data = [request.IPv4Data[0], request.IPv6Data[0]];
    const pools = data.map((each) => each && this.#unboundPool(each));
    const [plan4, plan6] = data.map((each, index) => each && this.#planOf(each, pools[index]));
    const name = options.name ?? pools.find((pool) => pool?.name !== undefined)?.name;
    const record: NetworkRecord = book.networks.get(request.NetworkID) ?? {
      id: request.NetworkID,
      options: { ...options, ...(name !== undefined && { name }) },
      internal,
      ...(plan4 && { plan4 }),
      ...(plan6 && { plan6 }),
      sinceMs: now(),
    };
    this.#preflight(record);
    if (!book.networks.has(record.id)) book.putNetwork(record);
    for (const pool of pools) if (pool !== undefined) book.putPool({ ...pool, network: record.id });
    return record;
  }

  /** What can be known to fail before the network has a name is said when it is created. */
  #preflight(record: NetworkRecord): void {
    const { networks, sealingProblem, scope } = this.#deps;
    if (record.options.encrypted === true && sealingProblem !== undefined) {
      throw new OverlaydError(
        'OVL_KEYRING_MISSING',
        `an encrypted network was asked for: ${sealingProblem}`,
        {
          hint: 'Start overlayd on all hosts with --keyring FILE.',
        },
      );
    }
    const { name, vni } = record.options;
    const there =
      name === undefined ? networks.list().find((network) => network.vni === vni) : networks.find(name);
    // By VNI alone it may be another network, whose owner has to be told apart by its name.
    if (there !== undefined) refuseDifferences(record, there, scope);
  }

  #unboundPool(data: PoolData): PoolRecord | undefined {
    const { book } = this.#deps;
    const space = spaceOf(data.AddressSpace);
    if (space === undefined) return undefined;
    const fitting = [...book.pools.values()].filter(
      (pool) =>
        pool.network === undefined &&
        pool.space === space &&
        pool.cidr === data.Pool &&
        book.address(pool.id, addressOf(data.Gateway)) !== undefined,
    );
    // Two of one kind are alike in all that matters; the latest is the likelier one.
    return fitting.sort((a, b) => b.sinceMs - a.sinceMs)[0];
  }

  #planOf(data: PoolData, pool: PoolRecord | undefined): AddressPlan {
    const gateway = addressOf(data.Gateway);
    const given = pool && this.#deps.book.address(pool.id, gateway)?.isGiven;
    return {
      cidr: data.Pool,
      // Docker's own pools say nothing of who chose them; what is in them has to hold.
      isGiven: pool?.isGiven ?? true,
      isGatewayGiven: given ?? false,
      isOurs: pool !== undefined,
      ...(gateway !== '' && { gateway }),
    };
  }

  /** Addresses that the user keeps off (`--aux-address`) are taken from everybody. */
  async #claimReserved(id: string): Promise<void> {
    const { book, networks } = this.#deps;
    const overlay = book.networks.get(id)?.overlay;
    const definition = overlay && networks.find(overlay.id);
    if (definition === undefined) return;
    for (const pool of book.poolsOf(id)) await this.#ipam.reservations.claim(pool, definition);
  }
}

function tooManySubnets(): OverlaydError {
  return new OverlaydError('OVL_DOCKER_SUBNET', 'a network of overlayd has one subnet of each family', {
    hint: 'Give --subnet once for IPv4 and once for IPv6, or make a second network.',
  });
}
