/**
 * Brings what we have for Docker and what Docker has together: after a start, after Docker was away, and now and then.
 *
 * A daemon that was killed has missed calls: Docker tries each for a while, then goes on without us. So an endpoint that
 * no container has, an address that no endpoint has, and a network or pool that Docker has not are taken away; and TAPs
 * whose containers lived on are opened again where they are. Docker shows a thing only after the call about it was
 * answered, hence the grace: nothing young is judged.
 */
import { existsSync } from 'node:fs';
import { ipFamily } from '../../config/address.ts';
import type { DockerNetwork } from '../client/schemas.ts';
import type { EndpointRecord, NetworkRecord, PoolRecord } from './book.ts';
import { isDriver } from './deps.ts';
import type { DriverDeps } from './deps.ts';
import type { IpamDriver } from './ipam-driver.ts';
import type { DockerEndpoints } from './docker-endpoints.ts';
import type { DockerNetworks } from './docker-networks.ts';
import { candidates, foreignUsers } from './pool-users.ts';
import type { Resolver } from './resolver.ts';
import { addressOf } from './subnets.ts';

/** Longer than Docker repeats a call. */
const GRACE_MS = 60_000;

export interface Reconciled {
  readonly endpoints: number;
  readonly addresses: number;
  readonly networks: number;
  readonly pools: number;
}

interface Parts {
  readonly networks: DockerNetworks;
  readonly endpoints: DockerEndpoints;
  readonly ipam: IpamDriver;
  readonly resolver: Resolver;
}

export class DockerReconciler {
  readonly #deps: DriverDeps;
  readonly #parts: Parts;
  readonly #graceMs: number;
  /** Endpoints whose TAP could not be opened again; said once. */
  readonly #lost = new Set<string>();

  constructor(deps: DriverDeps, parts: Parts, graceMs = GRACE_MS) {
    this.#deps = deps;
    this.#parts = parts;
    this.#graceMs = graceMs;
  }

  /** At the start, Docker or not: TAPs of endpoints are opened again, in the container or on the host. */
  async restore(): Promise<void> {
    for (const endpoint of this.#deps.book.endpoints.values()) {
      // After a reboot it is gone with its container, and Docker will say so.
      if (endpoint.sandbox !== undefined && !isJoined(endpoint)) continue;
      // Docker is about to move it back: with a new TAP of its name here it could not, and it would stay in the container.
      if (endpoint.isLeft === true) continue;
      await this.#reopen(endpoint);
    }
  }

  async #reopen(endpoint: EndpointRecord): Promise<void> {
    try {
      await this.#parts.endpoints.reopen(endpoint.id);
      this.#lost.delete(endpoint.id);
    } catch (error) {
      this.#sayLost(endpoint, error);
    }
  }

  #sayLost({ id, ifName: tap, ips }: EndpointRecord, err: unknown): void {
    if (this.#lost.has(id)) return;
    this.#lost.add(id);
    const cure = 'if the container runs, restart it';
    this.#deps.log.warn({ err, tap, ip: ips.join(',') }, `the interface of a container is lost; ${cure}`);
  }

  /** `found`: all networks that Docker has. */
  async reconcile(found: readonly DockerNetwork[]): Promise<Reconciled> {
    const { book } = this.#deps;
    const ids = new Set(found.map(({ Id }) => Id));
    for (const { Id, Driver } of found) {
      if (this.#isOurs(Driver) && !book.networks.has(Id)) await this.#parts.resolver.adopt(Id);
    }
    // What stands on something goes before it.
    const endpoints = await this.#endpoints();
    const addresses = await this.#addresses(found);
    const pools = await this.#pools(found, ids);
    this.#claimReserved(found);
    const done = { endpoints, addresses, pools, networks: await this.#networks(ids) };
    if (Object.values(done).some((count) => count > 0)) this.#say(done);
    return done;
  }

  async #networks(ids: ReadonlySet<string>): Promise<number> {
    let count = 0;
    for (const record of this.#deps.book.networks.values()) {
      if (ids.has(record.id) || this.#hasEndpoints(record.id)) continue;
      if (this.#isYoung(record) && !this.#isGivenUp(record)) continue;
      await this.#parts.networks.delete({ NetworkID: record.id });
      count++;
    }
    return count;
  }

  async #endpoints(): Promise<number> {
    const { book, docker, networks } = this.#deps;
    let count = 0;
    for (const id of new Set([...book.endpoints.values()].map(({ network }) => network))) {
      const network = await docker?.network(id);
      const live = new Set(Object.values(network?.Containers ?? {}).map(({ EndpointID }) => EndpointID));
      const open = new Set(networks.endpoints().map((endpoint) => endpoint.id));
      for (const endpoint of book.endpoints.values()) {
        if (endpoint.network !== id || this.#isSpared(endpoint)) continue;
        // Its container runs, and this Docker knows nothing of its network: it is another Docker.
        if (network === undefined && isJoined(endpoint)) continue;
        if (live.has(endpoint.id)) {
          // One that could not be opened may be open to us now.
          const isOpen = open.has(endpoint.id) && !this.#lost.has(endpoint.id);
          if (!isOpen && endpoint.isLeft !== true) await this.#reopen(endpoint);
          continue;
        }
        if (await this.#discard(endpoint)) count++;
      }
    }
    return count;
  }

  /** False: not now, and it stays written down. */
  async #discard(endpoint: EndpointRecord): Promise<boolean> {
    try {
      await this.#parts.endpoints.discard(endpoint);
      this.#lost.delete(endpoint.id);
      return true;
    } catch (error) {
      this.#deps.log.warn(
        { err: error, tap: endpoint.ifName },
        'an endpoint that Docker no longer has stays for now',
      );
      return false;
    }
  }

  /** Docker gives the pools back before it deletes the network, and after it failed to create it. */
  #isGivenUp({ id, plan4, plan6 }: NetworkRecord): boolean {
    if (plan4?.isOurs !== true && plan6?.isOurs !== true) return false;
    return this.#deps.book.poolsOf(id).length === 0;
  }

  #hasEndpoints(network: string): boolean {
    return [...this.#deps.book.endpoints.values()].some((endpoint) => endpoint.network === network);
  }

  #isSpared(endpoint: EndpointRecord): boolean {
    return this.#isYoung(endpoint) || this.#parts.endpoints.isBusy(endpoint.id);
  }

  async #pools(found: readonly DockerNetwork[], ids: ReadonlySet<string>): Promise<number> {
    const { book } = this.#deps;
    let count = 0;
    for (const pool of book.pools.values()) {
      if (this.#isYoung(pool)) continue;
      const isThere =
        pool.network === undefined ? this.#foreignUsers(pool, found).length > 0 : ids.has(pool.network);
      const isUsed = pool.network !== undefined && this.#hasEndpoints(pool.network);
      if ((isThere || isUsed) && !this.#isSuperseded(pool)) continue;
      await this.#parts.ipam.releasePool(pool.id);
      count++;
    }
    return count;
  }

  /** Swarm's manager began anew, with another pool for this network, and has asked there for all that is in use. */
  #isSuperseded({ network, space, family, sinceMs }: PoolRecord): boolean {
    if (space !== 'global' || network === undefined) return false;
    return this.#deps.book
      .poolsOf(network)
      .some(
        (other) =>
          other.space === 'global' &&
          other.family === family &&
          other.sinceMs > sinceMs &&
          !this.#isYoung(other),
      );
  }

  async #addresses(found: readonly DockerNetwork[]): Promise<number> {
    const { book } = this.#deps;
    const used = new Map<string, Set<string>>();
    for (const { network, ips } of book.endpoints.values()) {
      for (const ip of ips) used.set(network, (used.get(network) ?? new Set<string>()).add(ip));
    }
    let count = 0;
    for (const pool of book.pools.values()) {
      // Swarm's manager gives these to containers of any node, and takes them back itself.
      if (pool.space === 'global') continue;
      const inUse =
        pool.network === undefined
          ? await this.#foreignAddresses(pool, found)
          : (used.get(pool.network) ?? new Set());
      for (const address of book.addresses(pool.id)) {
        if (address.use !== 'endpoint' || inUse.has(address.ip) || this.#isYoung(address)) continue;
        await this.#parts.ipam.releaseAddress(pool.id, address.ip);
        count++;
      }
    }
    return count;
  }

  /** Not waited for: the hosts that are asked may be silent. */
  #claimReserved(found: readonly DockerNetwork[]): void {
    const { book, networks } = this.#deps;
    for (const pool of book.pools.values()) {
      const overlay = pool.network === undefined ? undefined : book.networks.get(pool.network)?.overlay;
      const theirs =
        pool.network === undefined && this.#foreignUsers(pool, found).length > 0
          ? candidates(pool, networks)
          : [];
      const [network, ...others] = overlay === undefined ? theirs : [networks.find(overlay.id)];
      if (network === undefined || others.length > 0) continue;
      void this.#parts.ipam.reservations.claim(pool, network, 'all');
    }
  }

  /** Of containers on networks of other drivers (macvlan) that have their addresses from us. */
  async #foreignAddresses(pool: PoolRecord, found: readonly DockerNetwork[]): Promise<Set<string>> {
    const used = new Set<string>();
    for (const { Id } of this.#foreignUsers(pool, found)) {
      const network = await this.#deps.docker?.network(Id);
      for (const { IPv4Address, IPv6Address } of Object.values(network?.Containers ?? {})) {
        for (const ip of [addressOf(IPv4Address), addressOf(IPv6Address)]) {
          if (ip !== '' && ipFamily(ip) === pool.family) used.add(ip);
        }
      }
    }
    return used;
  }

  #isYoung({ sinceMs }: { readonly sinceMs: number }): boolean {
    const age = this.#deps.now() - sinceMs;
    // A clock that was set back must not make things young for ever.
    return age >= 0 && age < this.#graceMs;
  }

  #say({ endpoints, addresses, networks, pools }: Reconciled): void {
    const counts = Object.entries({ endpoints, addresses, networks, pools }).filter(([, count]) => count > 0);
    this.#deps.log.info(
      { rows: endpoints + addresses + networks + pools },
      `Docker no longer has ${counts.map(([what, count]) => `${count} ${what}`).join(', ')}; taken away`,
    );
  }

  #isOurs(driver: string): boolean {
    return isDriver(driver, this.#deps.driverName);
  }

  #foreignUsers(pool: PoolRecord, found: readonly DockerNetwork[]): DockerNetwork[] {
    return foreignUsers(pool, found, this.#deps.driverName);
  }
}

/** The container's network namespace is still there. */
function isJoined({ sandbox }: EndpointRecord): boolean {
  return sandbox !== undefined && existsSync(sandbox);
}
