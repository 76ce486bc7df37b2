/**
 * Which pools there are: one for each subnet of each network that is known, each fed with what the cluster's records say
 * of it. A network that goes, or gets another subnet, takes its pool along.
 */
import { toHex } from '../../proto/state/bytes.ts';
import type { StateChange } from '../../proto/state/interface.ts';
import { TABLE } from '../../proto/state/interface.ts';
import type { Family } from '../../proto/ipam/block.ts';
import { parseBlock } from '../../proto/ipam/block.ts';
import { poolOfKey } from '../../proto/ipam/records.ts';
import { OverlaydError } from '../errors.ts';
import type { NetworkDefinition } from '../networks/interface.ts';
import { networkNotFound } from '../networks/not-found.ts';
import type { PoolDeps, PoolNetwork } from './network-pool.ts';
import { NetworkPool } from './network-pool.ts';

export interface PoolSetOptions extends PoolDeps {
  readonly networks: {
    list(): readonly NetworkDefinition[];
    find(nameOrId: string): NetworkDefinition | undefined;
    /** Removed for good. */
    isGone(id: string): boolean;
    onChange(listener: () => void): void;
  };
  /** Whether this host has the network in its configuration. */
  readonly isConfigured: (network: NetworkDefinition) => boolean;
  /** Names of live hosts, this one included. */
  readonly alive: () => Iterable<string>;
  readonly isSettled: () => boolean;
}

type PoolTable = typeof TABLE.range | typeof TABLE.rangeWard;
/** Keys of records, with their table, by key of the pool; the keys of the two tables differ in length. */
type Said = ReadonlyMap<string, ReadonlyMap<string, PoolTable>>;

/** Hex digits of a pool's key at the beginning of a record's key. */
const POOL_KEY_CHARS = 34;

export class PoolSet {
  readonly #options: PoolSetOptions;
  readonly #pools = new Map<string, NetworkPool>();
  readonly #byPool = new Map<string, NetworkPool>();
  /** Whose file cannot be read, and why. */
  readonly #broken = new Map<string, { readonly network: PoolNetwork; readonly error: unknown }>();
  /** Who has said something under a key, so that it is noticed when it is taken back. */
  readonly #sayers = new Map<string, Set<string>>();

  constructor(options: PoolSetOptions) {
    this.#options = options;
  }

  [Symbol.iterator](): Iterator<NetworkPool> {
    return this.#pools.values();
  }

  // What comes in

  handleChanges(changes: readonly StateChange[]): void {
    for (const { scope, table, keyHex } of changes) {
      if (scope === 0 && (table === TABLE.range || table === TABLE.rangeWard)) this.#learn(table, keyHex);
    }
  }

  #learn(table: PoolTable, keyHex: string): void {
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

  /** Pools of the networks that there are, each subnet one. */
  sync(now: number): void {
    const said = this.#saidLazily();
    const wanted = new Set<string>();
    for (const network of this.#options.networks.list()) {
      for (const next of this.#poolNetworksOf(network)) {
        const key = NetworkPool.keyOf(network.id, parseBlock(next.subnet)!.family);
        wanted.add(key);
        const known = this.#pools.get(key);
        if (known !== undefined && JSON.stringify(known.network) === JSON.stringify(next)) continue;
        if (known !== undefined) this.#drop(now, key, known);
        this.#open(now, key, next, said);
      }
    }
    for (const [key, pool] of this.#pools) if (!wanted.has(key)) this.#drop(now, key, pool);
    for (const key of this.#broken.keys()) if (!wanted.has(key)) this.#broken.delete(key);
  }

  /** Those whose files could not be read, to be called now and then. */
  retry(now: number): void {
    const said = this.#saidLazily();
    for (const [key, { network }] of this.#broken) this.#open(now, key, network, said);
  }

  #poolNetworksOf(network: NetworkDefinition): PoolNetwork[] {
    const { isConfigured, self } = this.#options;
    const { id, name, vni } = network;
    const isInFile = isConfigured(network);
    const isSoleFounder = network.createdBy === self && !isInFile;
    const mayFound = isSoleFounder || isInFile;
    return [
      { subnet: network.subnet, gateway: network.gateway },
      { subnet: network.subnet6, gateway: network.gateway6 },
    ].flatMap(({ subnet, gateway }) =>
      subnet === undefined || parseBlock(subnet) === undefined
        ? []
        : [{ id, name, vni, subnet, gateway, mayFound, isSoleFounder }],
    );
  }

  #open(now: number, key: string, network: PoolNetwork, said: () => Said): void {
    try {
      const pool = new NetworkPool(now, network, this.#options);
      this.#broken.delete(key);
      this.#pools.set(key, pool);
      this.#feed(now, pool, said());
    } catch (err) {
      const isNews = !this.#broken.has(key);
      this.#broken.set(key, { network, error: err });
      if (isNews)
        this.#options.log.error(
          { err, network: network.name },
          'the addresses of this network cannot be kept: none is handed out; tried again each second',
        );
    }
  }

  /** All that is said of pools now, looked up when the first pool is opened: many may come at once. */
  #saidLazily(): () => Said {
    let said: Map<string, Map<string, PoolTable>> | undefined;
    return () => {
      if (said !== undefined) return said;
      said = new Map();
      for (const table of [TABLE.range, TABLE.rangeWard] as const) {
        for (const { key } of this.#options.state.records(0, table)) {
          const of = poolOfKey(key);
          if (of === undefined) continue;
          const poolHex = toHex(of);
          const keys = said.get(poolHex) ?? new Map<string, PoolTable>();
          said.set(poolHex, keys.set(toHex(key), table));
        }
      }
      return said;
    };
  }

  /** With all that was said before the pool was there. */
  #feed(now: number, pool: NetworkPool, said: Said): void {
    const poolHex = toHex(pool.pool.options.pool);
    this.#byPool.set(poolHex, pool);
    const { alive, isSettled } = this.#options;
    for (const [keyHex, table] of said.get(poolHex) ?? []) this.#learn(table, keyHex);
    pool.pool.setAlive(new Set(alive()));
    pool.pool.setSettled(now, isSettled());
  }

  /** Its file stays when there is something in it and the network may be back, as after a conflict. */
  #drop(now: number, key: string, pool: NetworkPool): void {
    const poolHex = toHex(pool.pool.options.pool);
    this.#pools.delete(key);
    this.#byPool.delete(poolHex);
    for (const id of this.#sayers.keys()) {
      const [, keyHex = ''] = id.split(' ');
      if (keyHex.startsWith(poolHex)) this.#sayers.delete(id);
    }
    pool.remove(now, this.#options.networks.isGone(pool.network.id));
  }

  // Look-up

  /** By the key of its records, as messages name it. */
  byKey(key: Uint8Array): NetworkPool | undefined {
    return this.#byPool.get(toHex(key));
  }

  find(nameOrId: string, family: Family): NetworkPool | undefined {
    const id = this.#options.networks.find(nameOrId)?.id ?? nameOrId;
    return this.#pools.get(NetworkPool.keyOf(id, family));
  }

  /** Throws OverlaydError. */
  get(nameOrId: string, family: Family): NetworkPool {
    const network = this.network(nameOrId);
    const key = NetworkPool.keyOf(network.id, family);
    const pool = this.#pools.get(key);
    if (pool !== undefined) return pool;
    const broken = this.#broken.get(key);
    if (broken !== undefined) throw broken.error;
    throw new OverlaydError(
      'OVL_NETWORK_WITHOUT_SUBNET',
      `network "${network.name}" has no IPv${family} subnet`,
      { hint: 'Give it one with subnet=CIDR, or at "overlayd networks create --subnet".' },
    );
  }

  /** Those of one network. Throws OverlaydError. */
  of(nameOrId: string): NetworkPool[] {
    const { id } = this.network(nameOrId);
    return [...this].filter(({ network }) => network.id === id);
  }

  /** Throws OverlaydError. */
  network(nameOrId: string): NetworkDefinition {
    const { networks } = this.#options;
    const network = networks.find(nameOrId);
    if (network !== undefined) return network;
    const names = networks.list().map(({ name }) => name);
    throw networkNotFound(nameOrId, names);
  }
}
