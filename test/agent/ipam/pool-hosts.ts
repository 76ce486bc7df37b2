/**
 * Hosts with their pools, files and what they hand out, in virtual time. Records and messages are there at the next step;
 * a second `start` of a host is its next run, on the same disk.
 */
import { join } from 'node:path';
import type { EndpointSeen } from '../../../agent/ipam/collisions.ts';
import { HandOut } from '../../../agent/ipam/hand-out.ts';
import type { NetworkPool } from '../../../agent/ipam/network-pool.ts';
import { PoolSet } from '../../../agent/ipam/pool-set.ts';
import type { NetworkDefinition } from '../../../agent/networks/interface.ts';
import { decodeRangeMessage } from '../../../proto/ipam/ask.ts';
import { fromHex, toHex } from '../../../proto/state/bytes.ts';
import type { StateChange, StateNode, Table } from '../../../proto/state/interface.ts';
import { recordingLog, type Line } from '../recording-log.ts';

const STEP_MS = 100;
const LEASE_MS = 86_400_000;

export const BLUE: NetworkDefinition = {
  id: 'b'.repeat(32),
  name: 'blue',
  vni: 7,
  subnet: '10.42.0.0/24',
  mtu: 1_450,
  encrypted: false,
  internal: false,
  labels: {},
  createdBy: 'a',
};

export interface PoolHost {
  readonly name: string;
  readonly folder: string;
  readonly pools: PoolSet;
  readonly handOut: HandOut;
  readonly lines: readonly Line[];
  /** Of BLUE, IPv4. */
  readonly pool: NetworkPool;
}

export class PoolHosts {
  now = 10_000;
  endpoints: EndpointSeen[] = [];
  networks: NetworkDefinition[] = [BLUE];
  /** Ids of networks that were removed for good. */
  readonly gone = new Set<string>();
  readonly hosts = new Map<string, PoolHost>();
  readonly clock = { now: (): number => this.now, soon: (): void => undefined };
  readonly #folder: string;
  /** What is said, under table and key, by owner. */
  readonly #board = new Map<string, Map<string, Uint8Array>>();
  readonly #changes: StateChange[] = [];
  readonly #messages: { from: string; to: string; bytes: Uint8Array }[] = [];
  #runs = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  start(name: string): PoolHost {
    const { log, lines } = recordingLog();
    const folder = join(this.#folder, name);
    const endpoints = (): readonly EndpointSeen[] => this.endpoints;
    const pools = new PoolSet({
      self: name,
      session: ++this.#runs,
      leaseMs: LEASE_MS,
      stateDir: folder,
      state: this.state(name),
      networks: this.known,
      isConfigured: () => false,
      alive: () => this.hosts.keys(),
      isSettled: () => true,
      send: (to, bytes) => this.#messages.push({ from: name, to, bytes }),
      wrote: () => undefined,
      log,
    });
    const handOut = new HandOut({ self: name, pools, clock: this.clock, endpoints });
    const host = {
      name,
      folder,
      pools,
      handOut,
      lines,
      get pool(): NetworkPool {
        return pools.get(BLUE.id, 4);
      },
    };
    this.hosts.set(name, host);
    pools.sync(this.now);
    this.#tellAlive();
    return host;
  }

  /** What it said is still heard of, as the state layer keeps it. */
  stop(name: string): void {
    this.hosts.delete(name);
    this.#tellAlive();
  }

  #tellAlive(): void {
    for (const { pools } of this.hosts.values())
      for (const { pool } of pools) pool.setAlive(new Set(this.hosts.keys()));
  }

  run(ms: number): void {
    for (const endMs = this.now + ms; this.now < endMs; this.now += STEP_MS) {
      const changes = this.#changes.splice(0);
      const messages = this.#messages.splice(0);
      for (const { pools, name } of this.hosts.values()) {
        pools.handleChanges(changes);
        for (const { from, to, bytes } of messages) {
          if (to !== name) continue;
          const message = decodeRangeMessage(bytes);
          pools.byKey(message.pool)?.handleMessage(this.now, from, message);
        }
        for (const pool of pools) {
          if (pool.pool.nextDeadline() <= this.now) pool.pool.handleDeadline(this.now);
          pool.pump(this.now);
        }
      }
    }
  }

  readonly known = {
    list: (): readonly NetworkDefinition[] => this.networks,
    find: (nameOrId: string): NetworkDefinition | undefined =>
      this.networks.find(({ id, name }) => id === nameOrId || name === nameOrId),
    isGone: (id: string): boolean => this.gone.has(id),
    onChange: (): void => undefined,
  };

  /** What a host says of the pools, and what it hears of them. */
  state(self: string): StateNode {
    const change = (table: Table, keyHex: string): Map<string, Uint8Array> => {
      this.#changes.push({ scope: 0, table, keyHex });
      const id = `${table} ${keyHex}`;
      const said = this.#board.get(id) ?? new Map<string, Uint8Array>();
      this.#board.set(id, said);
      return said;
    };
    const state: Pick<StateNode, 'put' | 'delete' | 'claims' | 'records'> = {
      put: (_now, _scope, table, key, value) => void change(table, toHex(key)).set(self, value),
      delete: (_now, _scope, table, key) => void change(table, toHex(key)).delete(self),
      claims: (_scope, table, keyHex) =>
        [...(this.#board.get(`${table} ${keyHex}`) ?? [])].map(([owner, value]) => ({
          owner,
          held: false,
          value,
          hlc: 0n,
        })),
      records: (scope, table) =>
        [...this.#board].flatMap(([id, said]) => {
          const [of, keyHex = ''] = id.split(' ');
          if (Number(of) !== table) return [];
          const key = fromHex(keyHex);
          return [...said].map(([owner, value]) => ({ scope, owner, table, key, value, hlc: 0n }));
        }),
    };
    return state as StateNode;
  }

  /** `address` from the range of that host, or from outside of all. */
  endpoint(owner: string, mac: number, ...ips: string[]): void {
    this.endpoints.push({ owner, mac, ips });
  }
}

/** Host a has founded the pool, b has a part of it. */
export async function twoHosts(
  folder: string,
): Promise<{ cluster: PoolHosts; a: PoolHost; b: PoolHost; atB: string }> {
  const cluster = new PoolHosts(folder);
  const a = cluster.start('a');
  const b = cluster.start('b');
  const asked = b.handOut.request('blue', { family: 4 });
  cluster.run(10_000);
  return { cluster, a, b, atB: await asked };
}
