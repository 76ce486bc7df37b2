/**
 * Addresses and blocks handed out on this host, and taken back. Nobody has one that is not on the disk; where ours are used
 * up, the one who asks waits while other hosts are asked.
 */
import type { Block } from '../../proto/ipam/block.ts';
import { anyHolds, parseAddress, parseBlock, widthOf } from '../../proto/ipam/block.ts';
import { OverlaydError } from '../errors.ts';
import type { EndpointSeen } from './collisions.ts';
import type { AddressRequest } from './interface.ts';
import type { NetworkPool } from './network-pool.ts';
import type { PoolSet } from './pool-set.ts';
import { keptForDocker, refusalOf, takenOn } from './refusals.ts';

/** What drives the pools. */
export interface PoolClock {
  now(): number;
  /** Something is to be said, asked or kept: not now, where several things may come together. */
  soon(): void;
}

export interface HandOutOptions {
  readonly self: string;
  readonly pools: PoolSet;
  readonly clock: PoolClock;
  readonly endpoints: (vni: number) => Iterable<EndpointSeen>;
}

const REQUEST_MS = 10_000;
/** Addresses of a block for Docker, as a power of two. */
const DOCKER_BITS = 8;
const DOCKER_MIN_BITS = 3;

export class HandOut {
  readonly #options: HandOutOptions;

  constructor(options: HandOutOptions) {
    this.#options = options;
  }

  // Addresses

  async request(networkId: string, options: AddressRequest): Promise<string> {
    const { pools, clock } = this.#options;
    const pool = pools.get(networkId, options.family);
    const { block } = parseBlock(pool.network.subnet)!;
    const suffix = `/${widthOf(pool.family) - block.bits}`;
    if (options.purpose === 'gateway') return `${gatewayOf(pool, options.address)}${suffix}`;
    const address = options.address === undefined ? undefined : readAddress(pool, options.address);
    const isNew = (options.purpose ?? 'endpoint') === 'endpoint';
    const found = await pool.until(() => this.#take(pool, address, isNew), REQUEST_MS);
    if (found !== undefined) return `${pool.text(found)}${suffix}`;
    // Made on several hosts at once, it turned out to be another host's network: that one has a pool of its own.
    if (pool.isRemoved) return this.request(networkId, options);
    pool.pool.stopAsking();
    throw pool.nothing(clock.now(), 'address', address);
  }

  /** undefined: others are being asked. `isNew`: nothing can have that address yet. */
  #take(pool: NetworkPool, address: bigint | undefined, isNew: boolean): bigint | undefined {
    const { clock } = this.#options;
    const now = clock.now();
    const taking = pool.pool.take(now, address);
    if ('reason' in taking) {
      if (taking.reason !== 'wait') throw refusalOf(pool, address!, taking.reason);
      if (address !== undefined) this.#checkElsewhere(pool, address);
      clock.soon();
      return undefined;
    }
    // On the disk before anybody has it; a failure takes it back.
    try {
      if (address !== undefined && isNew) this.#refuseSeen(pool, address);
      pool.reclaimed.delete(taking.address);
      pool.save(now);
    } catch (error) {
      pool.pool.release(taking.address);
      throw error;
    }
    clock.soon();
    return taking.address;
  }

  /** Who has it says so, or its endpoint is seen there. */
  #checkElsewhere(pool: NetworkPool, address: bigint): void {
    const refused = [...pool.pool.refusals].find(([, reason]) => reason === 'address-taken')?.[0];
    const host = this.#seenOn(pool, address)?.owner ?? refused;
    if (host === undefined) return;
    const docker = pool.pool.holding.peers.get(host)?.estate?.estate.docker ?? [];
    pool.pool.stopAsking();
    if (anyHolds(docker, address)) throw keptForDocker(pool, address, host);
    throw takenOn(pool, address, host);
  }

  /**
   * It is ours to give, but a living host says that an endpoint there has it, given by hand. What a dead host said of an
   * address in our range keeps nobody off it: whatever had it is started again here, as like as not.
   */
  #refuseSeen(pool: NetworkPool, address: bigint): void {
    const seen = this.#seenOn(pool, address);
    if (seen !== undefined && seen.held !== true) throw takenOn(pool, address, seen.owner);
  }

  #seenOn(pool: NetworkPool, address: bigint): EndpointSeen | undefined {
    const { self, endpoints } = this.#options;
    const text = pool.text(address);
    const seen = [...endpoints(pool.network.vni)].filter(
      ({ owner, ips }) => owner !== self && ips.includes(text),
    );
    return seen.find(({ held }) => held !== true) ?? seen[0];
  }

  release(networkId: string, text: string): void {
    const { pools, clock } = this.#options;
    const family = text.includes(':') ? 6 : 4;
    const pool = pools.find(networkId, family);
    const address = pool && parseAddress(text.split('/')[0]!, family);
    if (pool === undefined || address === undefined) return;
    if (pool.release(address)) pool.save(clock.now());
    clock.soon();
  }

  /**
   * What the one who asks for addresses holds, after a restart: the rest was handed out to nobody (a crash between us), and is
   * free again.
   */
  restore(held: Iterable<{ readonly network: string; readonly ip: string }>): void {
    const { pools, clock } = this.#options;
    const kept = new Map<NetworkPool, Set<bigint>>();
    for (const { network, ip } of held) {
      const family = ip.includes(':') ? 6 : 4;
      const pool = pools.find(network, family);
      const address = parseAddress(ip, family);
      if (pool === undefined || address === undefined || pool.reclaimed.has(address)) continue;
      kept.set(pool, (kept.get(pool) ?? new Set()).add(address));
    }
    for (const pool of pools) {
      const { space } = pool.pool;
      const keep = kept.get(pool) ?? new Set();
      for (const address of space.used) if (!keep.has(address)) pool.pool.release(address);
      for (const address of keep) space.use(address);
    }
    clock.soon();
  }

  // Blocks

  async dockerRange(networkId: string, size: number | undefined, family?: 4 | 6): Promise<string> {
    const { pools, clock } = this.#options;
    const network = pools.network(networkId);
    const pool = pools.get(networkId, family ?? (network.subnet === undefined ? 6 : 4));
    const { bits, least } = dockerSizes(pool.subnet, size);
    const found =
      (await pool.until(() => this.#docker(pool, bits, bits), REQUEST_MS / 2)) ??
      (await pool.until(() => this.#docker(pool, bits, least), REQUEST_MS / 2));
    if (found !== undefined) return found;
    if (pool.isRemoved) return this.dockerRange(networkId, size, family);
    throw pool.nothing(clock.now(), 'block of addresses');
  }

  #docker(pool: NetworkPool, bits: number, least: number): string | undefined {
    const { clock } = this.#options;
    const now = clock.now();
    const block = pool.pool.dockerBlock(now, bits, least);
    clock.soon();
    if (block === undefined) return undefined;
    pool.save(now);
    return pool.blockText(block);
  }
}

/** Wanted, and the least that is taken when nobody has so much. */
function dockerSizes(subnet: Block, size: number | undefined): { bits: number; least: number } {
  const most = subnet.bits - 2;
  const wanted = size === undefined ? DOCKER_BITS : Math.ceil(Math.log2(size));
  const bits = Math.max(0, Math.min(wanted, most));
  return { bits, least: size === undefined ? Math.min(DOCKER_MIN_BITS, bits) : bits };
}

function gatewayOf(pool: NetworkPool, text: string | undefined): string {
  const standing = pool.text(pool.gateway);
  if (text === undefined || readAddress(pool, text) === pool.gateway) return standing;
  throw new OverlaydError(
    'OVL_GATEWAY_DIFFERS',
    `the gateway of network "${pool.network.name}" is ${standing}, not ${text}`,
    { hint: `Use ${standing}, which is the same on every host, or leave the gateway away.` },
  );
}

function readAddress(pool: NetworkPool, text: string): bigint {
  const address = parseAddress(text.split('/')[0]!, pool.family);
  if (address !== undefined) return address;
  throw new OverlaydError('OVL_ADDRESS_INVALID', `${JSON.stringify(text)} is no IPv${pool.family} address`, {
    exitCode: 2,
  });
}
