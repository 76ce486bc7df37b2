/**
 * Hosts that share one pool of addresses, in virtual time, with as little around them as there can be: records spread as
 * the state layer spreads them (the newer version of a key replaces the older one, whoever passes it on), messages as
 * datagrams. Everything may be late, lost, doubled, out of order; a host that starts may first hear what others said long ago,
 * from a third one that was cut off since; hosts crash, also between disk and network, with and without their disk; clocks
 * run at different rates. After every step it is checked that no address has two owners.
 */
import { decodeRangeMessage } from '../../proto/ipam/ask.ts';
import type { Block, Family } from '../../proto/ipam/block.ts';
import { anyHolds, intersect } from '../../proto/ipam/block.ts';
import { isSameLineage } from '../../proto/ipam/estate.ts';
import type { SavedHolding } from '../../proto/ipam/holding.ts';
import { RangePool } from '../../proto/ipam/range-pool.ts';
import { SeededRng, below } from '../../proto/rng.ts';
import { toHex } from '../../proto/state/bytes.ts';
import { TimerHeap } from '../../proto/swim/timer-heap.ts';

interface Held {
  readonly owner: string;
  readonly table: 'estate' | 'ward';
  readonly id: string;
  readonly epoch: number;
  readonly seq: number;
  readonly value: Uint8Array | undefined;
}

interface Delivery {
  readonly from: string;
  readonly to: string;
  readonly items: readonly Held[];
  readonly message: Uint8Array | undefined;
}

interface Disk {
  readonly saved: SavedHolding;
  readonly used: readonly bigint[];
}

export interface RangeClusterOptions {
  readonly subnet: Block;
  readonly leaseMs: number;
  /** 4 when it is not said. */
  readonly family?: Family;
  /** Less than is allowed, so that records get full. */
  readonly recordMaxBytes?: number;
  readonly mayFound?: boolean;
  /** The one host that may found the pool. */
  readonly soleFounder?: string;
}

/** With more hosts than that the invariant is checked now and then: it compares all pairs. */
const CHECKED_HOSTS = 8;

/** Old records of each host that somebody may still have. */
const OLD_MAX = 16;

export const POOL = new Uint8Array(17).fill(4);

export class RangeHost {
  readonly name: string;
  readonly rate: number;
  pool: RangePool | undefined;
  disk: Disk | undefined;
  epoch = 0;
  seq = 0;
  store = new Map<string, Held>();
  /** What its containers have, whatever the daemon knows. */
  inUse = new Set<bigint>();
  hadDiskLoss = false;
  /** What it said once, of moments at which something of it was under way before others. */
  readonly old: Held[] = [];

  constructor(name: string, rate: number) {
    this.name = name;
    this.rate = rate;
  }
}

export class RangeCluster {
  readonly hosts: RangeHost[];
  readonly rng: SeededRng;
  readonly options: RangeClusterOptions;
  readonly events = new Map<string, number>();
  now = 0;
  /** Set: what happens is written down. */
  log: string[] | undefined;
  loss = 0;
  delayMs = 50;
  /** A host is cut down between its disk and the network, one time in so many; 0: never. */
  crashIn = 0;
  /** Hosts that start hear old records first, one time in two. */
  isStale = false;
  #side = new Map<string, number>();
  readonly #last = new Map<string, string>();
  readonly #timers = new TimerHeap();

  constructor(seed: number, hosts: number, options: RangeClusterOptions) {
    this.rng = new SeededRng(seed);
    this.options = options;
    const rates = this.rng.fork('clocks');
    this.hosts = Array.from(
      { length: hosts },
      (_, i) => new RangeHost(`h${i + 1}`, 1 + (rates.float() - 0.5) / 100),
    );
  }

  host(name: string): RangeHost {
    return this.hosts.find((each) => each.name === name)!;
  }

  clock(host: RangeHost): number {
    return this.now * host.rate;
  }

  dice(bound: number): number {
    return below(this.rng, bound);
  }

  note(line: string): void {
    if (this.log !== undefined) this.log.push(`${this.now.toFixed(1)} ${line}`);
  }

  // What happens to hosts

  start(host: RangeHost): void {
    if (host.pool !== undefined) return;
    this.note(`start ${host.name} disk=${host.disk !== undefined}`);
    host.epoch = Math.floor(this.now) + 1_000_000;
    host.seq = 0;
    host.store = new Map();
    const { subnet, leaseMs, family = 4, recordMaxBytes, mayFound = false, soleFounder } = this.options;
    const isSoleFounder = soleFounder === host.name;
    host.pool = new RangePool(
      this.clock(host),
      {
        self: host.name,
        pool: POOL,
        family,
        subnet,
        reserved: [],
        session: host.epoch,
        rng: this.rng.fork(`${host.name} ${host.epoch}`),
        leaseMs,
        ...(recordMaxBytes !== undefined && { recordMaxBytes }),
        mayFound: mayFound || isSoleFounder,
        isSoleFounder,
        foundAfterMs: 1_000,
        wall: () => this.now,
      },
      host.disk?.saved,
    );
    // What its containers have it sees, with or without its disk.
    for (const address of [...(host.disk?.used ?? []), ...host.inUse]) host.pool.space.use(address);
    host.pool.setSettled(this.clock(host), true);
    if (this.isStale && this.dice(2) === 0) this.#hearOld(host);
    this.tellAlive(host);
    this.pump(host);
  }

  /** Of each other one something that it said once; what is heard after that may be newer, or later. */
  #hearOld(host: RangeHost): void {
    for (const other of this.hosts) {
      const item = other.old[this.dice(OLD_MAX)];
      if (item === undefined || other === host) continue;
      this.note(`${host.name} hears ${other.name} ${item.table} ${item.epoch}.${item.seq}`);
      this.#learn(host, item);
    }
  }

  /** Containers may outlive the disk of the daemon. */
  crash(host: RangeHost, keepsDisk: boolean, keepsContainers = keepsDisk): void {
    this.note(`crash ${host.name} keepsDisk=${keepsDisk}`);
    host.pool = undefined;
    host.store = new Map();
    if (keepsDisk || isOnlyCopy(host)) return;
    host.disk = undefined;
    host.hadDiskLoss = true;
    if (!keepsContainers) host.inUse.clear();
  }

  /** It is gone for good, with all that was on it; another may get its name. */
  wipe(host: RangeHost): void {
    this.crash(host, true);
    this.note(`wipe ${host.name}`);
    host.disk = undefined;
    host.hadDiskLoss = true;
    host.inUse.clear();
  }

  partition(side: (host: RangeHost) => number): void {
    this.note('partition');
    this.#side = new Map(this.hosts.map((host) => [host.name, side(host)]));
  }

  tellAlive(host: RangeHost): void {
    const alive = this.hosts.filter((each) => each.pool !== undefined && this.#reach(each.name, host.name));
    host.pool?.setAlive(new Set(alive.map(({ name }) => name)));
    this.pump(host);
  }

  /** All that it holds, its own and what others said, goes to one other host. */
  sync(from: RangeHost, to: RangeHost): void {
    if (from.pool !== undefined && from !== to)
      this.#post(from.name, to.name, [...from.store.values()], undefined);
  }

  take(host: RangeHost, address?: bigint): boolean {
    const taking = host.pool?.take(this.clock(host), address);
    this.pump(host);
    if (taking === undefined || !('address' in taking)) return false;
    if (host.pool === undefined) return true;
    const clash = this.hosts.find(
      (other) => other !== host && other.inUse.has(taking.address) && isKin(other, host),
    );
    if (clash !== undefined)
      throw new Error(`${taking.address} is in use at ${clash.name}, not at ${host.name}`);
    host.inUse.add(taking.address);
    return true;
  }

  release(host: RangeHost): void {
    const [address] = host.inUse;
    if (address === undefined || host.pool === undefined) return;
    host.inUse.delete(address);
    host.pool.release(address);
    this.pump(host);
  }

  // Time

  /** Lets everything happen that is due within `ms`. */
  run(ms: number): void {
    const endMs = this.now + ms;
    for (;;) {
      let at = this.#timers.nextMs();
      for (const host of this.hosts)
        if (host.pool !== undefined) at = Math.min(at, host.pool.nextDeadline() / host.rate);
      if (at >= endMs) break;
      this.now = Math.max(this.now, at);
      this.#timers.runDue(this.now);
      for (const host of this.hosts) {
        if (host.pool === undefined || host.pool.nextDeadline() > this.clock(host)) continue;
        host.pool.handleDeadline(this.clock(host));
        this.pump(host);
      }
      // Rounding must not keep time from going on.
      this.now += 0.001;
    }
    this.now = endMs;
    this.check();
  }

  #deliver({ from, to, items, message }: Delivery): void {
    const host = this.host(to);
    if (host.pool === undefined || !this.#reach(from, to)) return;
    const now = this.clock(host);
    if (message !== undefined) host.pool.handleMessage(now, from, decodeRangeMessage(message));
    for (const item of items) this.#learn(host, item);
    this.pump(host);
  }

  #learn(host: RangeHost, item: Held): void {
    const known = host.store.get(item.id);
    const isNewer =
      known === undefined || item.epoch > known.epoch || (item.epoch === known.epoch && item.seq > known.seq);
    if (!isNewer || item.owner === host.name) return;
    host.store.set(item.id, item);
    if (item.table === 'estate') host.pool!.learnEstate(item.owner, item.value);
    else host.pool!.learnWard(item.owner, item.id.split(' ')[1]!, item.value);
  }

  /** As the agent does after every event: disk, then records, then messages. */
  pump(host: RangeHost): void {
    const { pool } = host;
    if (pool === undefined) return;
    this.#trace(host, pool);
    const writes = pool.flush(this.clock(host), (saved) => {
      host.disk = { saved, used: [...pool.space.used] };
    });
    // Told before a crash: what is on the disk has happened.
    for (let event = pool.pollEvent(); event !== undefined; event = pool.pollEvent()) {
      this.note(`${host.name} ${event.type}`);
      this.events.set(event.type, (this.events.get(event.type) ?? 0) + 1);
      // What still runs there are the duplicates that the operator is told of.
      if (event.type === 'took-over') this.host(event.host).inUse.clear();
      if (event.type === 'lost') host.inUse.clear();
      if (event.type === 'lost') for (const address of pool.space.used) pool.space.release(address);
    }
    if (this.crashIn > 0 && writes.length > 0 && this.dice(this.crashIn) === 0) {
      this.crash(host, this.dice(4) > 0, this.dice(2) > 0);
      return;
    }
    const items = writes.map(({ table, key, value }): Held => {
      const id = `${host.name} ${toHex(key)}`;
      const held = { owner: host.name, table, id, epoch: host.epoch, seq: ++host.seq, value };
      host.store.set(id, held);
      if (this.isStale) this.#keepOld(host, pool, held);
      return held;
    });
    if (items.length > 0)
      for (const other of this.hosts) if (other !== host) this.#post(host.name, other.name, items, undefined);
    for (let out = pool.pollMessage(); out !== undefined; out = pool.pollMessage())
      this.#post(host.name, out.to, [], out.bytes);
    if (this.hosts.length <= CHECKED_HOSTS) this.check();
  }

  #keepOld({ old }: RangeHost, { holding }: RangePool, held: Held): void {
    const isUnderWay = holding.estate.gifts.some(({ isFirst }) => !isFirst) || !holding.isEffective;
    if (!isUnderWay && this.dice(4) > 0) return;
    if (old.length < OLD_MAX) old.push(held);
    else old[this.dice(OLD_MAX)] = held;
  }

  #post(from: string, to: string, items: readonly Held[], message: Uint8Array | undefined): void {
    for (let copies = 1 + Number(this.loss > 0 && this.dice(8) === 0); copies > 0; copies--) {
      if (this.loss > 0 && this.rng.float() < this.loss) continue;
      const delivery = { from, to, items, message };
      this.#timers.at(this.now + 1 + this.dice(this.delayMs), () => this.#deliver(delivery));
    }
  }

  #reach(a: string, b: string): boolean {
    return this.#side.get(a) === this.#side.get(b);
  }

  // What must hold

  check(): void {
    const running = this.hosts.filter(({ pool }) => pool !== undefined);
    for (const [i, a] of running.entries()) {
      const mine = a.pool!.usable(this.clock(a));
      if (mine.length === 0) continue;
      for (const b of running.slice(i + 1)) {
        if (!isKin(a, b)) continue;
        const both = intersect(mine, b.pool!.usable(this.clock(b)));
        if (both.length > 0)
          throw new Error(
            `${a.name} and ${b.name} both own ${both[0]!.base} at ${this.now}\n${this.describe()}`,
          );
      }
    }
  }

  /** All that the hosts hold, for a failure. */
  describe(): string {
    return this.hosts
      .map((host) => `${host.name} ${host.pool === undefined ? 'is down' : this.#describe(host, host.pool)}`)
      .join('\n');
  }

  #trace(host: RangeHost, pool: RangePool): void {
    if (this.log === undefined) return;
    const text = this.#describe(host, pool);
    if (this.#last.get(host.name) !== text) this.note(`${host.name} ${text}`);
    this.#last.set(host.name, text);
  }

  #describe(host: RangeHost, pool: RangePool): string {
    const { estate, wards, life, noted, isSettled } = pool.holding;
    const { rev, guardians, own, gifts, taken, closed } = estate;
    const block = ({ base, bits }: Block): string => `${base & 0xffffn}/${bits}`;
    const parts = {
      rev,
      life,
      noted,
      isSettled,
      isValid: pool.holding.isValid(this.clock(host)),
      guardians: guardians.map((guardian) => `${guardian.name}/${guardian.life}`),
      own: own.map(block),
      gifts: gifts.map((gift) => `${gift.id}: ${block(gift.block)} to ${gift.to}`),
      taken: taken.map(({ id, donor }) => `${id} of ${donor}`),
      closed,
      wards: [...wards].map(([name, ward]) => {
        return `${name}/${ward.life} rev ${ward.estate.rev}${ward.isPromised ? ' promised' : ''}`;
      }),
    };
    return Object.entries(parts)
      .map(([name, part]) => `${name} ${String(part)}`)
      .join(', ');
  }

  /** Owned, or on its way; sorted blocks of all hosts. */
  ownedBy(address: bigint): string[] {
    return this.hosts
      .filter(({ pool }) => pool !== undefined && anyHolds(pool.holding.estate.own, address))
      .map(({ name }) => name);
  }
}

/** What a host gave and took alone, with no guardian yet or any more, nobody can know once its disk is lost. */
function isOnlyCopy({ disk }: RangeHost): boolean {
  if (disk === undefined || disk.saved.life === 0) return false;
  const { estate, isSettled } = disk.saved;
  return estate.guardians.length === 0 || (estate.isRoot && estate.guardians.length === 1 && !isSettled);
}

function isKin(a: RangeHost, b: RangeHost): boolean {
  const [x, y] = [a.pool?.holding.lineage, b.pool?.holding.lineage];
  return x !== undefined && y !== undefined && isSameLineage(x, y);
}
