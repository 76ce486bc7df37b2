/**
 * `Addresses` on the ranges of this host: a pool for each subnet of each network that is known, fed from the cluster's
 * records and messages, with one timer for all.
 */
import { WireError, toHex } from '../../proto/state/bytes.ts';
import type { StateChange, StateNode } from '../../proto/state/interface.ts';
import { TABLE } from '../../proto/state/interface.ts';
import { decodeRangeMessage, encodeRefuse } from '../../proto/ipam/ask.ts';
import type { Family } from '../../proto/ipam/block.ts';
import { parseAddress, parseBlock, total, widthOf } from '../../proto/ipam/block.ts';
import { poolOfKey } from '../../proto/ipam/records.ts';
import { without } from '../../proto/ipam/space.ts';
import { monotonicMs, wallMs } from '../clock.ts';
import { OverlaydError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { NetworkDefinition } from '../networks/interface.ts';
import type { EndpointSeen } from './collisions.ts';
import { findCollisions, seenAddresses } from './collisions.ts';
import type { AddressCollision, AddressRequest, Addresses, HostRange, Reclaimed } from './interface.ts';
import { rangesOf } from './host-ranges.ts';
import { NetworkPool } from './network-pool.ts';
import { reclaimRefusal, refusalOf } from './refusals.ts';

export interface AddressPoolsOptions {
  readonly self: string;
  readonly session: number;
  readonly leaseMs: number;
  readonly stateDir: string;
  readonly state: StateNode;
  readonly networks: {
    list(): readonly NetworkDefinition[];
    find(nameOrId: string): NetworkDefinition | undefined;
    onChange(listener: () => void): void;
  };
  /** Whether this host has the network in its configuration. */
  readonly isConfigured: (network: NetworkDefinition) => boolean;
  /** Names of live hosts, this one included. */
  readonly alive: () => Iterable<string>;
  readonly isSettled: () => boolean;
  readonly endpoints: (vni: number) => Iterable<EndpointSeen>;
  readonly send: (to: string, bytes: Uint8Array) => void;
  readonly wrote: () => void;
  readonly log: Log;
}

const REQUEST_MS = 10_000;
const RECLAIM_MS = 15_000;
const LOOK_MS = 1_000;
const SOON_MS = 20;
/** Wall clock ahead of the monotonic one by more than that: the machine slept. */
const SLEPT_MS = 5_000;
/** Addresses of a block for Docker, as a power of two. */
const DOCKER_BITS = 8;
const DOCKER_MIN_BITS = 3;
const TOLD_MAX = 256;
/** Hex digits of a pool's key at the beginning of a record's key. */
const POOL_KEY_CHARS = 34;

export class AddressPools implements Addresses {
  readonly #options: AddressPoolsOptions;
  readonly #pools = new Map<string, NetworkPool>();
  readonly #byPool = new Map<string, NetworkPool>();
  /** Who has said something under a key, so that it is noticed when it is taken back. */
  readonly #sayers = new Map<string, Set<string>>();
  readonly #told = new Set<string>();
  readonly #look: NodeJS.Timeout;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  /** Who waits is woken by it, and must not begin it again. */
  #isPumping = false;
  #aheadMs = wallMs() - monotonicMs();
  #alive = '';

  constructor(options: AddressPoolsOptions) {
    this.#options = options;
    options.networks.onChange(() => this.#sync());
    this.#sync();
    this.#look = setInterval(() => this.#tick(), LOOK_MS);
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#look);
    clearTimeout(this.#timer);
  }

  // What comes in

  handleChanges(changes: readonly StateChange[]): void {
    for (const { scope, table, keyHex } of changes) {
      if (scope === 0 && (table === TABLE.range || table === TABLE.rangeWard)) this.#learn(table, keyHex);
    }
    this.#soon();
  }

  #learn(table: typeof TABLE.range | typeof TABLE.rangeWard, keyHex: string): void {
    const pool = this.#byPool.get(keyHex.slice(0, POOL_KEY_CHARS));
    if (pool === undefined) return;
    const id = `${table} ${keyHex}`;
    const before = this.#sayers.get(id) ?? new Set();
    const now = new Set<string>();
    for (const { owner, value } of this.#options.state.claims(0, table, keyHex)) {
      now.add(owner);
      pool.learn(table, owner, keyHex, value);
    }
    for (const owner of before) if (!now.has(owner)) pool.learn(table, owner, keyHex, undefined);
    if (now.size === 0) this.#sayers.delete(id);
    else this.#sayers.set(id, now);
  }

  handleMessage(from: string, bytes: Uint8Array): void {
    try {
      const message = decodeRangeMessage(bytes);
      const pool = this.#byPool.get(toHex(message.pool));
      if (pool !== undefined) pool.handleMessage(this.#now(), from, message);
      else if (message.kind === 'ask') {
        const { session } = message;
        this.#options.send(
          from,
          encodeRefuse({ kind: 'refuse', pool: message.pool, session, reason: 'unknown-pool' }),
        );
      }
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
    }
    this.#soon();
  }

  /** Pools of the networks that there are, each subnet one. */
  #sync(): void {
    const { networks, isConfigured, self, log } = this.#options;
    const wanted = new Set<string>();
    for (const network of networks.list()) {
      const isInFile = isConfigured(network);
      const isSoleFounder = network.createdBy === self && !isInFile;
      const mayFound = isSoleFounder || isInFile;
      for (const [subnet, gateway] of [
        [network.subnet, network.gateway],
        [network.subnet6, network.gateway6],
      ]) {
        const family = subnet === undefined ? undefined : parseBlock(subnet)?.family;
        if (subnet === undefined || family === undefined) continue;
        const key = NetworkPool.keyOf(network.id, family);
        wanted.add(key);
        const known = this.#pools.get(key);
        const { id, name, vni } = network;
        const next = { id, name, vni, subnet, gateway, mayFound, isSoleFounder };
        if (known !== undefined && JSON.stringify(known.network) === JSON.stringify(next)) continue;
        if (known !== undefined) this.#drop(key, known);
        try {
          this.#open(key, new NetworkPool(this.#now(), next, { ...this.#options }));
        } catch (err) {
          log.error(
            { err, network: name },
            'the addresses of this network cannot be kept: none is handed out',
          );
        }
      }
    }
    for (const [key, pool] of this.#pools) if (!wanted.has(key)) this.#drop(key, pool);
    this.#soon();
  }

  #open(key: string, pool: NetworkPool): void {
    this.#pools.set(key, pool);
    const poolHex = toHex(pool.pool.options.pool);
    this.#byPool.set(poolHex, pool);
    const { state } = this.#options;
    for (const table of [TABLE.range, TABLE.rangeWard] as const) {
      const keys = new Set<string>();
      for (const record of state.records(0, table)) {
        const of = poolOfKey(record.key);
        if (of !== undefined && toHex(of) === poolHex) keys.add(toHex(record.key));
      }
      for (const keyHex of keys) this.#learn(table, keyHex);
    }
    pool.pool.setAlive(new Set(this.#options.alive()));
    pool.pool.setSettled(this.#now(), this.#options.isSettled());
  }

  /** Its file stays when there is something in it: the network may be back, as after a conflict. */
  #drop(key: string, pool: NetworkPool): void {
    this.#pools.delete(key);
    this.#byPool.delete(toHex(pool.pool.options.pool));
    pool.remove(this.#now());
  }

  // Time

  #now(): number {
    const now = monotonicMs();
    const aheadMs = wallMs() - now;
    if (aheadMs > this.#aheadMs + SLEPT_MS) for (const { pool } of this.#pools.values()) pool.doubt(now);
    this.#aheadMs = aheadMs;
    return now;
  }

  #tick(): void {
    const now = this.#now();
    const alive = [...this.#options.alive()].sort();
    const isSettled = this.#options.isSettled();
    const isNews = alive.join('\n') !== this.#alive;
    this.#alive = alive.join('\n');
    for (const pool of this.#pools.values()) {
      if (isNews) pool.pool.setAlive(new Set(alive));
      pool.pool.setSettled(now, isSettled);
      const endpoints = [...this.#options.endpoints(pool.network.vni)];
      pool.pool.space.setSeen(seenAddresses(pool, endpoints));
      this.#tellCollisions(pool, findCollisions(pool, endpoints, this.#options.self));
    }
    this.#pump();
  }

  #tellCollisions(pool: NetworkPool, collisions: readonly AddressCollision[]): void {
    for (const { address, hosts, owner, kind } of collisions) {
      if (kind === 'reclaimed') continue;
      const key = `${pool.network.id} ${address} ${kind} ${hosts.join()}`;
      if (this.#told.has(key)) continue;
      if (this.#told.size >= TOLD_MAX) this.#told.delete(this.#told.values().next().value!);
      this.#told.add(key);
      const facts = { network: pool.network.name, ip: address, peers: hosts, owner };
      const { log } = this.#options;
      if (kind === 'foreign')
        log.info(
          facts,
          `${address} is in use outside of its host's range; the owner of the range keeps off it`,
        );
      else if (kind === 'docker-range')
        log.warn(
          facts,
          `${address} lies in what Docker of another host hands out: it may come twice; give it another`,
        );
      else log.warn(facts, `duplicate address ${address}: give one of the two another`);
    }
  }

  #soon(): void {
    if (this.#isClosed || this.#isPumping) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#pump(), SOON_MS);
  }

  #pump(): void {
    if (this.#isClosed || this.#isPumping) return;
    clearTimeout(this.#timer);
    this.#isPumping = true;
    const now = this.#now();
    let next = now + 60_000;
    for (const pool of this.#pools.values()) {
      if (pool.pool.nextDeadline() <= now) pool.pool.handleDeadline(now);
      this.#flush(now, pool);
      next = Math.min(next, pool.pool.nextDeadline());
    }
    this.#isPumping = false;
    this.#timer = setTimeout(() => this.#pump(), Math.max(SOON_MS, next - now));
  }

  /** Nothing is said that is not on disk; what cannot be kept is tried again. */
  #flush(now: number, pool: NetworkPool): void {
    try {
      pool.pump(now);
    } catch (err) {
      if (!(err instanceof OverlaydError)) throw err;
      this.#options.log.error({ err, network: pool.network.name }, 'address ranges could not be kept');
    }
  }

  // Addresses

  /**
   * What the one who asks for addresses holds, after a restart: the rest was handed out to nobody (a crash between us), and is
   * free again.
   */
  restore(held: Iterable<{ readonly network: string; readonly ip: string }>): void {
    const kept = new Map<NetworkPool, Set<bigint>>();
    for (const { network, ip } of held) {
      const family = ip.includes(':') ? 6 : 4;
      const pool = this.#pools.get(NetworkPool.keyOf(this.#idOf(network), family));
      const address = parseAddress(ip, family);
      if (pool === undefined || address === undefined || pool.reclaimed.has(address)) continue;
      kept.set(pool, (kept.get(pool) ?? new Set()).add(address));
    }
    for (const pool of this.#pools.values()) {
      const { space } = pool.pool;
      const keep = kept.get(pool) ?? new Set();
      for (const address of space.used) if (!keep.has(address)) pool.pool.release(address);
      for (const address of keep) space.use(address);
    }
    this.#soon();
  }

  async request(networkId: string, options: AddressRequest): Promise<string> {
    const pool = this.#pool(networkId, options.family);
    const { block } = parseBlock(pool.network.subnet)!;
    const suffix = `/${widthOf(pool.family) - block.bits}`;
    if (options.purpose === 'gateway') return `${this.#gateway(pool, options.address)}${suffix}`;
    const address = options.address === undefined ? undefined : this.#read(pool, options.address);
    const found = await pool.until(() => this.#take(pool, address), REQUEST_MS);
    if (found !== undefined) return `${pool.text(found)}${suffix}`;
    // Made on several hosts at once, it turned out to be another host's network: that one has a pool of its own.
    if (pool.isRemoved) return this.request(networkId, options);
    pool.pool.stopAsking();
    throw pool.nothing(this.#now(), address === undefined ? 'address' : `address ${pool.text(address)}`);
  }

  /** undefined: others are being asked. */
  #take(pool: NetworkPool, address: bigint | undefined): bigint | undefined {
    const now = this.#now();
    const taking = pool.pool.take(now, address);
    if ('reason' in taking) {
      if (taking.reason !== 'wait') throw refusalOf(pool, address!, taking.reason);
      if (address !== undefined) this.#checkElsewhere(pool, address);
      this.#soon();
      return undefined;
    }
    // On the disk before anybody has it; a failure takes it back.
    try {
      pool.reclaimed.delete(taking.address);
      pool.save(now);
    } catch (error) {
      pool.pool.release(taking.address);
      throw error;
    }
    this.#soon();
    return taking.address;
  }

  /** Who has it says so, or its endpoint is seen there. */
  #checkElsewhere(pool: NetworkPool, address: bigint): void {
    const text = pool.text(address);
    const { self, endpoints } = this.#options;
    const refused = [...pool.pool.refusals].find(([, reason]) => reason === 'address-taken')?.[0];
    const seen = [...endpoints(pool.network.vni)].find(
      ({ owner, ips }) => owner !== self && ips.includes(text),
    );
    const host = seen?.owner ?? refused;
    if (host === undefined) return;
    pool.pool.stopAsking();
    throw new OverlaydError(
      'OVL_ADDRESS_TAKEN',
      `${text} of "${pool.network.name}" is taken: it is in use on ${host}`,
      { hint: 'Choose another address, or none: then a free one is taken.' },
    );
  }

  #gateway(pool: NetworkPool, text: string | undefined): string {
    const standing = pool.text(pool.gateway);
    if (text === undefined || this.#read(pool, text) === pool.gateway) return standing;
    throw new OverlaydError(
      'OVL_GATEWAY_DIFFERS',
      `the gateway of network "${pool.network.name}" is ${standing}, not ${text}`,
      { hint: `Use ${standing}, which is the same on every host, or leave the gateway away.` },
    );
  }

  #read(pool: NetworkPool, text: string): bigint {
    const address = parseAddress(text.split('/')[0]!, pool.family);
    if (address !== undefined) return address;
    throw new OverlaydError(
      'OVL_ADDRESS_INVALID',
      `${JSON.stringify(text)} is no IPv${pool.family} address`,
      {
        exitCode: 2,
      },
    );
  }

  release(networkId: string, text: string): Promise<void> {
    const family = text.includes(':') ? 6 : 4;
    const pool = this.#pools.get(NetworkPool.keyOf(this.#idOf(networkId), family));
    const address = pool && parseAddress(text.split('/')[0]!, family);
    if (pool !== undefined && address !== undefined) {
      const wasReclaimed = pool.reclaimed.delete(address);
      if (pool.pool.release(address) || wasReclaimed) pool.save(this.#now());
      this.#soon();
    }
    return Promise.resolve();
  }

  async dockerRange(
    networkId: string,
    options: { readonly size?: number | undefined } = {},
  ): Promise<string> {
    const network = this.#network(networkId);
    const pool = this.#pool(networkId, network.subnet === undefined ? 6 : 4);
    const most = pool.subnet.bits - 2;
    const wanted = options.size === undefined ? DOCKER_BITS : Math.ceil(Math.log2(options.size));
    const bits = Math.max(0, Math.min(wanted, most));
    const least = options.size === undefined ? Math.min(DOCKER_MIN_BITS, bits) : bits;
    const found =
      (await pool.until(() => this.#docker(pool, bits, bits), REQUEST_MS / 2)) ??
      (await pool.until(() => this.#docker(pool, bits, least), REQUEST_MS / 2));
    if (found !== undefined) return found;
    throw pool.nothing(this.#now(), 'block of addresses');
  }

  #docker(pool: NetworkPool, bits: number, least: number): string | undefined {
    const now = this.#now();
    const block = pool.pool.dockerBlock(now, bits, least);
    this.#soon();
    if (block === undefined) return undefined;
    pool.save(now);
    return pool.blockText(block);
  }

  ranges(networkId: string): HostRange[] {
    const id = this.#network(networkId).id;
    const rows: HostRange[] = [];
    for (const pool of this.#pools.values())
      if (pool.network.id === id) rows.push(...rangesOf(pool, this.#options.self, this.#now()));
    return rows.sort((a, b) => (a.host === b.host ? a.family - b.family : a.host < b.host ? -1 : 1));
  }

  collisions(networkId: string): AddressCollision[] {
    const network = this.#network(networkId);
    const found: AddressCollision[] = [];
    for (const pool of this.#pools.values()) {
      if (pool.network.id !== network.id) continue;
      found.push(...findCollisions(pool, [...this.#options.endpoints(network.vni)], this.#options.self));
    }
    return found.sort((a, b) => (a.address < b.address ? -1 : 1));
  }

  /** For metrics: by network name, both families together. */
  totals(): { readonly name: string; readonly owned: number; readonly free: number }[] {
    const totals = new Map<string, { owned: number; free: number }>();
    for (const pool of this.#pools.values()) {
      const sum = totals.get(pool.network.name) ?? { owned: 0, free: 0 };
      const { holding } = pool.pool;
      sum.owned += Number(total(without(holding.estate.own, holding.estate.docker)));
      sum.free += Number(pool.pool.free(this.#now()));
      totals.set(pool.network.name, sum);
    }
    return [...totals].map(([name, sum]) => ({ name, ...sum }));
  }

  async reclaim(host: string): Promise<readonly Reclaimed[]> {
    const done: Reclaimed[] = [];
    const refused: OverlaydError[] = [];
    for (const pool of this.#pools.values()) {
      const had = pool.pool.holding.peers.get(host)?.estate;
      const ward = pool.pool.holding.wards.get(host);
      if (ward === undefined && (had === undefined || had.life === 0)) continue;
      if (ward === undefined && pool.pool.holding.closers.has(had!.life)) continue;
      const cidrs = (ward?.estate ?? had!.estate).own.map((block) => pool.blockText(block));
      try {
        await this.#reclaimFrom(pool, host);
        done.push({ network: pool.network.name, cidrs });
      } catch (error) {
        if (!(error instanceof OverlaydError)) throw error;
        refused.push(error);
      }
    }
    const [first] = refused;
    if (first !== undefined) throw first;
    if (done.length > 0) return done;
    throw new OverlaydError('OVL_RECLAIM_NOTHING', `host ${JSON.stringify(host)} has no addresses`, {
      hint: '"overlayd networks ranges" shows who has what.',
      exitCode: 5,
    });
  }

  async #reclaimFrom(pool: NetworkPool, host: string): Promise<void> {
    const answer = await pool.until(() => {
      const now = this.#now();
      const given = pool.pool.reclaim(now, host);
      pool.save(now);
      this.#soon();
      return given.done || (given.reason !== 'waiting' && given.reason !== 'not-ready') ? given : undefined;
    }, RECLAIM_MS);
    if (answer?.done === true) return;
    pool.pool.unwant(host);
    this.#soon();
    throw reclaimRefusal(pool, host, answer);
  }

  // Look-up

  #network(nameOrId: string): NetworkDefinition {
    const network = this.#options.networks.find(nameOrId);
    if (network !== undefined) return network;
    throw new OverlaydError('OVL_NETWORK_NOT_FOUND', `there is no network "${nameOrId}"`, {
      hint: '"overlayd networks" lists what there is.',
      exitCode: 5,
    });
  }

  #idOf(nameOrId: string): string {
    return this.#options.networks.find(nameOrId)?.id ?? nameOrId;
  }

  #pool(nameOrId: string, family: Family): NetworkPool {
    const network = this.#network(nameOrId);
    const pool = this.#pools.get(NetworkPool.keyOf(network.id, family));
    if (pool !== undefined) return pool;
    throw new OverlaydError(
      'OVL_NETWORK_WITHOUT_SUBNET',
      `network "${network.name}" has no IPv${family} subnet`,
      { hint: 'Give it one with subnet=CIDR, or at "overlayd networks create --subnet".' },
    );
  }
}
