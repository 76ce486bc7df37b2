/**
 * What Docker on this host has from us: pools, addresses, networks, endpoints; on disk before Docker hears of it.
 *
 * Docker tells a driver each thing once and never again, not even after its own restart, so all of it is kept. Records
 * are values: a change replaces the whole record.
 */
import { z } from 'zod';
import type { Log } from '../../log.ts';
import { Journal } from './journal.ts';

const poolSchema = z.object({
  id: z.string(),
  cidr: z.string(),
  family: z.union([z.literal(4), z.literal(6)]),
  /** Global: swarm's manager hands out the addresses, whichever host runs the container. */
  space: z.enum(['local', 'global']),
  /** The user named it; else it is what we proposed. */
  isGiven: z.boolean(),
  /** The overlayd network that it is a pool of, by `--ipam-opt name=`. */
  name: z.string().optional(),
  /** Docker's network, from CreateNetwork on; without it, another driver's network. */
  network: z.string().optional(),
  sinceMs: z.number(),
});
export type PoolRecord = z.infer<typeof poolSchema>;

const addressSchema = z.object({
  pool: z.string(),
  ip: z.string(),
  use: z.enum(['gateway', 'reserved', 'endpoint']),
  /** Asked for by the user; else chosen by us. */
  isGiven: z.boolean(),
  /** Id of the overlayd network in which it was claimed; absent where nothing was. */
  claimedIn: z.string().optional(),
  sinceMs: z.number(),
});
export type AddressRecord = z.infer<typeof addressSchema>;

const planSchema = z.object({
  cidr: z.string(),
  gateway: z.string().optional(),
  /** By the user; else proposed by us. */
  isGiven: z.boolean(),
  isGatewayGiven: z.boolean(),
  /** Addresses come from our own IPAM driver. */
  isOurs: z.boolean(),
});
export type AddressPlan = z.infer<typeof planSchema>;

const networkSchema = z.object({
  id: z.string(),
  /** Docker's name, once known. */
  name: z.string().optional(),
  options: z.object({
    name: z.string().optional(),
    vni: z.number().optional(),
    mtu: z.number().optional(),
    encrypted: z.boolean().optional(),
  }),
  internal: z.boolean(),
  plan4: planSchema.optional(),
  plan6: planSchema.optional(),
  /** The network of ours that it is, as it was when last seen: enough to make it again. */
  overlay: z
    .object({
      id: z.string(),
      name: z.string(),
      vni: z.number(),
      subnet: z.string().optional(),
      subnet6: z.string().optional(),
      gateway: z.string().optional(),
      gateway6: z.string().optional(),
      mtu: z.number(),
      encrypted: z.boolean(),
      internal: z.boolean(),
      /** Which of its gateways nobody asked for (idle-gateway.ts). */
      idleGateway: z.string().optional(),
    })
    .optional(),
  sinceMs: z.number(),
});
export type NetworkRecord = z.infer<typeof networkSchema>;

const endpointSchema = z.object({
  id: z.string(),
  /** Docker's network. */
  network: z.string(),
  /** Id of the overlayd network. */
  overlay: z.string(),
  ifName: z.string(),
  mac: z.string(),
  ips: z.array(z.string()),
  /** Addresses that another IPAM driver chose and we claimed. */
  claimed: z.array(z.string()),
  /** Network namespace of the container, while it is joined. */
  sandbox: z.string().optional(),
  /** The container has left it: Docker moves its interface back to the host, and then deletes it. */
  isLeft: z.boolean().optional(),
  sinceMs: z.number(),
});
export type EndpointRecord = z.infer<typeof endpointSchema>;

const addressKey = (pool: string, ip: string): string => `${pool} ${ip}`;

export class Book {
  readonly pools = new Map<string, PoolRecord>();
  readonly networks = new Map<string, NetworkRecord>();
  readonly endpoints = new Map<string, EndpointRecord>();
  /** By pool, then by address. */
  readonly #addresses = new Map<string, Map<string, AddressRecord>>();
  /** Endpoints and pools (by ID) and addresses (by key) of an earlier run. */
  readonly #inherited = new Set<string>();
  readonly #journal: Journal;

  /** Throws OverlaydError. */
  constructor(path: string, log: Log) {
    this.#journal = new Journal(path);
    let unread = 0;
    for (const [kind, key, value] of this.#journal.entries()) if (!this.#take(kind, key, value)) unread++;
    if (unread > 0) log.warn({ path, rows: unread }, 'records of Docker that make no sense are left out');
  }

  putPool(pool: PoolRecord): void {
    this.#journal.put('pool', pool.id, pool);
    this.#inherited.delete(pool.id);
    this.pools.set(pool.id, pool);
  }

  /** With its addresses. */
  deletePool(id: string): void {
    for (const { ip } of this.addresses(id)) this.deleteAddress(id, ip);
    this.#journal.delete('pool', id);
    this.#inherited.delete(id);
    this.pools.delete(id);
  }

  putAddress(address: AddressRecord): void {
    const key = addressKey(address.pool, address.ip);
    this.#journal.put('address', key, address);
    this.#inherited.delete(key);
    this.#setAddress(address);
  }

  deleteAddress(pool: string, ip: string): void {
    this.#journal.delete('address', addressKey(pool, ip));
    this.#inherited.delete(addressKey(pool, ip));
    const ofPool = this.#addresses.get(pool);
    ofPool?.delete(ip);
    if (ofPool?.size === 0) this.#addresses.delete(pool);
  }

  address(pool: string, ip: string): AddressRecord | undefined {
    return this.#addresses.get(pool)?.get(ip);
  }

  /** An address or a pool that an earlier run gave out, or an endpoint that it made. */
  isInherited(what: AddressRecord | EndpointRecord | PoolRecord): boolean {
    return this.#inherited.has('pool' in what ? addressKey(what.pool, what.ip) : what.id);
  }

  addresses(pool: string): AddressRecord[] {
    return [...(this.#addresses.get(pool)?.values() ?? [])];
  }

  /** Pools that are bound to that network of Docker's. */
  poolsOf(network: string): PoolRecord[] {
    return [...this.pools.values()].filter((pool) => pool.network === network);
  }

  putNetwork(network: NetworkRecord): void {
    this.#journal.put('network', network.id, network);
    this.networks.set(network.id, network);
  }

  deleteNetwork(id: string): void {
    this.#journal.delete('network', id);
    this.networks.delete(id);
  }

  putEndpoint(endpoint: EndpointRecord): void {
    this.#journal.put('endpoint', endpoint.id, endpoint);
    this.endpoints.set(endpoint.id, endpoint);
  }

  deleteEndpoint(id: string): void {
    const endpoint = this.endpoints.get(id);
    this.#journal.delete('endpoint', id);
    this.endpoints.delete(id);
    this.#inherited.delete(id);
    // Its addresses are on their way back to us, so they are nobody's to take up.
    if (endpoint === undefined) return;
    for (const pool of this.poolsOf(endpoint.network)) {
      for (const ip of endpoint.ips) this.#inherited.delete(addressKey(pool.id, ip));
    }
  }

  /** Addresses that were claimed, with the network of ours that they are of. */
  *claimed(): Generator<{ readonly network: string; readonly ip: string }> {
    for (const ofPool of this.#addresses.values()) {
      for (const { ip, claimedIn } of ofPool.values())
        if (claimedIn !== undefined) yield { network: claimedIn, ip };
    }
    for (const { overlay, claimed } of this.endpoints.values()) {
      for (const ip of claimed) yield { network: overlay, ip };
    }
  }

  close(): void {
    this.#journal.close();
  }

  #setAddress(address: AddressRecord): void {
    const ofPool = this.#addresses.get(address.pool) ?? new Map<string, AddressRecord>();
    this.#addresses.set(address.pool, ofPool.set(address.ip, address));
  }

  #take(kind: string, key: string, value: unknown): boolean {
    switch (kind) {
      case 'pool':
        return keep(poolSchema, value, (pool) => {
          this.#inherited.add(key);
          this.pools.set(key, pool);
        });
      case 'address':
        return keep(addressSchema, value, (address) => {
          this.#inherited.add(key);
          this.#setAddress(address);
        });
      case 'network':
        return keep(networkSchema, value, (network) => this.networks.set(key, network));
      case 'endpoint':
        return keep(endpointSchema, value, (endpoint) => {
          this.#inherited.add(key);
          this.endpoints.set(key, endpoint);
        });
      default:
        return false;
    }
  }
}

function keep<T>(schema: z.ZodType<T>, value: unknown, store: (value: T) => void): boolean {
  const read = schema.safeParse(value);
  if (read.success) store(read.data);
  return read.success;
}
