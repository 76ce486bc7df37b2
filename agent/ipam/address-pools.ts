/**
 * `Addresses` on the ranges of this host: the pools (pool-set.ts) with one timer for all, which says, asks and keeps what is
 * due in them, and looks each second at who is alive and which addresses are seen.
 */
import { WireError } from '../../proto/state/bytes.ts';
import type { StateChange } from '../../proto/state/interface.ts';
import { decodeRangeMessage, encodeRefuse } from '../../proto/ipam/ask.ts';
import { total } from '../../proto/ipam/block.ts';
import { without } from '../../proto/ipam/space.ts';
import { monotonicMs, wallMs } from '../clock.ts';
import { OverlaydError } from '../errors.ts';
import { CollisionLog } from './collision-log.ts';
import type { EndpointSeen } from './collisions.ts';
import { findCollisions, seenAddresses } from './collisions.ts';
import { HandOut } from './hand-out.ts';
import type {
  AddressCollision,
  AddressRequest,
  Addresses,
  DockerRangeOptions,
  HostRange,
  Reclaimed,
} from './interface.ts';
import { rangesOf } from './host-ranges.ts';
import type { NetworkPool } from './network-pool.ts';
import type { PoolSetOptions } from './pool-set.ts';
import { PoolSet } from './pool-set.ts';
import { reclaim } from './reclaiming.ts';

export interface AddressPoolsOptions extends PoolSetOptions {
  readonly endpoints: (vni: number) => Iterable<EndpointSeen>;
}

const LOOK_MS = 1_000;
const SOON_MS = 20;
const PUMP_MAX_MS = 60_000;
/** Wall clock ahead of the monotonic one by more than that: the machine slept. */
const SLEPT_MS = 5_000;

export class AddressPools implements Addresses {
  readonly #options: AddressPoolsOptions;
  readonly #pools: PoolSet;
  readonly #handOut: HandOut;
  readonly #collisionLog: CollisionLog;
  readonly #clock = { now: (): number => this.#now(), soon: (): void => this.#soon() };
  readonly #look: NodeJS.Timeout;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  /** Who waits is woken by it, and must not begin it again. */
  #isPumping = false;
  #isSoon = false;
  #aheadMs = wallMs() - monotonicMs();
  #alive = '';

  constructor(options: AddressPoolsOptions) {
    this.#options = options;
    const { self, endpoints, networks, log } = options;
    this.#pools = new PoolSet(options);
    this.#handOut = new HandOut({ self, endpoints, pools: this.#pools, clock: this.#clock });
    this.#collisionLog = new CollisionLog(log);
    networks.onChange(() => this.#sync());
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
    this.#pools.handleChanges(changes);
    this.#soon();
  }

  handleMessage(from: string, bytes: Uint8Array): void {
    try {
      const message = decodeRangeMessage(bytes);
      const pool = this.#pools.byKey(message.pool);
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

  #sync(): void {
    this.#pools.sync(this.#now());
    this.#soon();
  }

  // Time

  #now(): number {
    const now = monotonicMs();
    const aheadMs = wallMs() - now;
    if (aheadMs > this.#aheadMs + SLEPT_MS) for (const { pool } of this.#pools) pool.doubt(now);
    this.#aheadMs = aheadMs;
    return now;
  }

  #tick(): void {
    const now = this.#now();
    const alive = [...this.#options.alive()].sort();
    const isSettled = this.#options.isSettled();
    const isNews = alive.join('\n') !== this.#alive;
    this.#alive = alive.join('\n');
    this.#pools.retry(now);
    for (const pool of this.#pools) {
      if (isNews) pool.pool.setAlive(new Set(alive));
      pool.pool.setSettled(now, isSettled);
      const endpoints = [...this.#options.endpoints(pool.network.vni)];
      pool.pool.space.setSeen(seenAddresses(pool, endpoints));
      this.#collisionLog.tell(pool.network, findCollisions(pool, endpoints, this.#options.self));
    }
    this.#pump();
  }

  #soon(): void {
    // A timer that is armed anew with every change would never be over in a crowd of them.
    if (this.#isClosed || this.#isPumping || this.#isSoon) return;
    clearTimeout(this.#timer);
    this.#isSoon = true;
    this.#timer = setTimeout(() => this.#pump(), SOON_MS);
  }

  #pump(): void {
    if (this.#isClosed || this.#isPumping) return;
    clearTimeout(this.#timer);
    this.#isSoon = false;
    this.#isPumping = true;
    const now = this.#now();
    let next = now + PUMP_MAX_MS;
    for (const pool of this.#pools) {
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

  restore(held: Iterable<{ readonly network: string; readonly ip: string }>): void {
    this.#handOut.restore(held);
  }

  async request(networkId: string, options: AddressRequest): Promise<string> {
    return this.#handOut.request(networkId, options);
  }

  release(networkId: string, address: string): Promise<void> {
    this.#handOut.release(networkId, address);
    return Promise.resolve();
  }

  async dockerRange(networkId: string, { size, family }: DockerRangeOptions = {}): Promise<string> {
    return this.#handOut.dockerRange(networkId, size, family);
  }

  async reclaim(host: string): Promise<readonly Reclaimed[]> {
    return reclaim(this.#pools, host, this.#clock);
  }

  // What is seen

  ranges(networkId: string): HostRange[] {
    const rows = this.#pools
      .of(networkId)
      .flatMap((pool) => [...rangesOf(pool, this.#options.self, this.#now())]);
    return rows.sort((a, b) => (a.host === b.host ? a.family - b.family : a.host < b.host ? -1 : 1));
  }

  collisions(networkId: string): AddressCollision[] {
    const { endpoints, self } = this.#options;
    const found = this.#pools
      .of(networkId)
      .flatMap((pool) => findCollisions(pool, [...endpoints(pool.network.vni)], self));
    return found.sort((a, b) => (a.address < b.address ? -1 : 1));
  }

  /** For metrics: by network name, both families together. */
  totals(): { readonly name: string; readonly owned: number; readonly free: number }[] {
    const totals = new Map<string, { owned: number; free: number }>();
    for (const pool of this.#pools) {
      const sum = totals.get(pool.network.name) ?? { owned: 0, free: 0 };
      const { holding } = pool.pool;
      sum.owned += Number(total(without(holding.estate.own, holding.estate.docker)));
      sum.free += Number(pool.pool.free(this.#now()));
      totals.set(pool.network.name, sum);
    }
    return [...totals].map(([name, sum]) => ({ name, ...sum }));
  }
}
