/**
 * One pool of addresses on this host: the protocol object with its file, its records and what waits for it.
 */
import { WireError, fromHex } from '../../proto/state/bytes.ts';
import type { StateNode } from '../../proto/state/interface.ts';
import { TABLE } from '../../proto/state/interface.ts';
import type { Ask, Refuse } from '../../proto/ipam/ask.ts';
import type { Block, Family } from '../../proto/ipam/block.ts';
import { addressText, anyHolds, blockText, parseAddress, parseBlock } from '../../proto/ipam/block.ts';
import type { HoldingEvent } from '../../proto/ipam/holding.ts';
import { RangePool } from '../../proto/ipam/range-pool.ts';
import { estateKey } from '../../proto/ipam/records.ts';
import { systemRng } from '../entropy.ts';
import { wallMs } from '../clock.ts';
import { OverlaydError } from '../errors.ts';
import type { Log } from '../log.ts';
import { RangeFile } from './range-file.ts';

/** What an address pool needs to know of its network. */
export interface PoolNetwork {
  readonly id: string;
  readonly name: string;
  readonly vni: number;
  readonly subnet: string;
  readonly gateway: string | undefined;
  /** This host made it, or has it in its configuration: it may begin to hand out where nobody has. */
  readonly mayFound: boolean;
  /** This host made it, and it is known by that alone. */
  readonly isSoleFounder: boolean;
}

export interface PoolDeps {
  readonly self: string;
  readonly session: number;
  readonly leaseMs: number;
  readonly stateDir: string;
  readonly state: StateNode;
  readonly send: (to: string, bytes: Uint8Array) => void;
  /** Records were written. */
  readonly wrote: () => void;
  readonly log: Log;
}

/** Long enough to have heard, after joining, what others have. */
const FOUND_AFTER_MS = 2_000;
const NAMED_MAX = 16;

export class NetworkPool {
  readonly network: PoolNetwork;
  readonly family: Family;
  readonly subnet: Block;
  readonly pool: RangePool;
  /** Handed out here, and taken over by others since. */
  readonly reclaimed: Set<bigint>;
  readonly #deps: PoolDeps;
  readonly #file: RangeFile;
  readonly #waiters = new Set<() => void>();
  #isRemoved = false;
  #badRecords = 0;

  /** Throws OverlaydError. */
  constructor(now: number, network: PoolNetwork, deps: PoolDeps) {
    const { block, family } = parseBlock(network.subnet)!;
    this.network = network;
    this.family = family;
    this.subnet = block;
    this.#deps = deps;
    this.#file = new RangeFile(deps.stateDir, { id: network.id, family, subnet: block }, deps.log);
    const saved = this.#file.read();
    this.reclaimed = new Set(saved?.reclaimed);
    this.pool = new RangePool(
      now,
      {
        self: deps.self,
        pool: estateKey(fromHex(network.id), family),
        family,
        subnet: block,
        reserved: [this.gateway],
        session: deps.session,
        rng: systemRng(),
        leaseMs: deps.leaseMs,
        mayFound: network.mayFound,
        isSoleFounder: network.isSoleFounder,
        foundAfterMs: FOUND_AFTER_MS,
        wall: wallMs,
      },
      saved?.holding,
    );
    for (const address of saved?.used ?? []) this.pool.space.use(address);
  }

  /** The network's, or the first address, which nobody else gets. */
  get gateway(): bigint {
    const given = this.network.gateway && parseAddress(this.network.gateway, this.family);
    return typeof given === 'bigint' ? given : this.subnet.base + 1n;
  }

  text(address: bigint): string {
    return addressText(address, this.family);
  }

  blockText(block: Block): string {
    return blockText(block, this.family);
  }

  learn(table: number, owner: string, keyHex: string, value: Uint8Array | undefined): void {
    try {
      if (table === TABLE.range) this.pool.learnEstate(owner, value);
      else this.pool.learnWard(owner, keyHex, value);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#badRecords++;
    }
  }

  get badRecords(): number {
    return this.#badRecords;
  }

  handleMessage(now: number, from: string, message: Ask | Refuse): void {
    this.pool.handleMessage(now, from, message);
  }

  /** It is in use here no more, whoever has it now; whether that is news for the disk. */
  release(address: bigint): boolean {
    const wasReclaimed = this.reclaimed.delete(address);
    if (wasReclaimed) this.pool.holding.isDirty = true;
    return this.pool.release(address) || wasReclaimed;
  }

  /** What was handed out is on the disk when this returns. Throws OverlaydError. */
  save(now: number): void {
    this.pump(now, false);
  }

  /** Disk, records, messages, log: whatever is due. Throws OverlaydError when the disk refuses. */
  pump(now: number, wakes = true): void {
    const { pool } = this;
    const { state, send, wrote } = this.#deps;
    // Before the flush, so that the file has what these change.
    const lost = pool.holding.events.some(({ type }) => type === 'lost');
    if (lost) this.#noteLoss();
    const writes = pool.flush(now, (holding) =>
      this.#file.write({ holding, used: pool.space.used, reclaimed: this.reclaimed }),
    );
    if (pool.holding.events.some(({ type }) => type === 'lost') && !lost) this.#noteLoss();
    for (const { table, key, value } of writes) {
      const number = table === 'estate' ? TABLE.range : TABLE.rangeWard;
      if (value === undefined) state.delete(now, 0, number, key);
      else this.#put(now, number, key, value);
    }
    if (writes.length > 0) wrote();
    for (let out = pool.pollMessage(); out !== undefined; out = pool.pollMessage()) send(out.to, out.bytes);
    for (let event = pool.pollEvent(); event !== undefined; event = pool.pollEvent()) this.#tell(event);
    if (wakes) for (const wake of this.#waiters) wake();
  }

  #put(
    now: number,
    table: typeof TABLE.range | typeof TABLE.rangeWard,
    key: Uint8Array,
    value: Uint8Array,
  ): void {
    try {
      this.#deps.state.put(now, 0, table, key, value);
    } catch (err) {
      // Holding.fits keeps its size; what does not fit is not said, and so does not count.
      if (!(err instanceof RangeError)) throw err;
      this.#deps.log.error({ err, network: this.network.name }, 'address ranges could not be announced');
    }
  }

  /** What runs here with addresses that are others' now stays known, until it is released or ours again. */
  #noteLoss(): void {
    const { space, holding } = this.pool;
    for (const address of space.used) this.reclaimed.add(address);
    space.releaseAll();
    holding.isDirty = true;
  }

  #tell(event: HoldingEvent): void {
    const { name } = this.network;
    const { log } = this.#deps;
    if (event.type === 'took-over') {
      const cidrs = event.blocks.map((block) => this.blockText(block)).join(', ');
      log.warn(
        { network: name, peer: event.host },
        `taking over the addresses of a host that is gone: ${cidrs}`,
      );
    } else if (event.type === 'restored') {
      log.info({ network: name, peer: event.from }, 'has its addresses from another host');
    } else this.#tellLoss(event.reason, event.by);
  }

  #tellLoss(reason: 'closed' | 'other-lineage', by: string): void {
    const { name } = this.network;
    const still = [...this.reclaimed].map((address) => this.text(address));
    const why =
      reason === 'closed'
        ? 'the addresses of this host were taken over while it was away'
        : 'this host and others began to hand out the same addresses apart; theirs stand';
    const shown = still.slice(0, NAMED_MAX).join(', ');
    const rest = still.length > NAMED_MAX ? ` and ${still.length - NAMED_MAX} more` : '';
    const names = still.length === 0 ? '' : `; in use here and another's now: ${shown}${rest}`;
    this.#deps.log.warn(
      { network: name, peer: by, ...(still.length > 0 && { ips: still.slice(0, NAMED_MAX) }) },
      `${why}${names}${still.length === 0 ? '' : '. Start these containers again to give them new ones'}`,
    );
  }

  /** Tries again after each change, until `attempt` gives something, the time is over, or this is no pool any more. */
  async until<T>(attempt: () => T | undefined, ms: number): Promise<T | undefined> {
    if (this.#isRemoved) return undefined;
    const first = attempt();
    if (first !== undefined) return first;
    return new Promise<T | undefined>((resolve, reject) => {
      const end = (value: T | undefined, error?: Error): void => {
        clearTimeout(timer);
        this.#waiters.delete(wake);
        if (error === undefined) resolve(value);
        else reject(error);
      };
      const wake = (): void => {
        try {
          if (this.#isRemoved) return end(undefined);
          const found = attempt();
          if (found !== undefined) end(found);
        } catch (error) {
          end(undefined, error as Error);
        }
      };
      const timer = setTimeout(() => end(undefined), ms);
      this.#waiters.add(wake);
    });
  }

  /** The network has another id or subnet now, or none. */
  get isRemoved(): boolean {
    return this.#isRemoved;
  }

  /** Why nobody gave anything, or that address. */
  nothing(now: number, noun: string, address?: bigint): OverlaydError {
    const what = address === undefined ? noun : `${noun} ${this.text(address)}`;
    const { name } = this.network;
    const { holding } = this.pool;
    const refusals = [...this.pool.refusals].map(([host, reason]) => `${host}: ${WORDS[reason]}`);
    if (holding.isBorn && !holding.isValid(now)) {
      const guardians = holding.estate.guardians.map((guardian) => guardian.name).join(', ');
      return new OverlaydError(
        'OVL_ADDRESSES_UNCONFIRMED',
        `no ${what} in network "${name}": this host must hear from ${guardians} first, which may have taken its range over`,
        {
          hint: `Bring ${guardians} back, or if it is gone for good, take over what it had: overlayd networks reclaim HOST.`,
        },
      );
    }
    if (
      refusals.length > 0 &&
      [...this.pool.refusals.values()].every((reason) => reason === 'nothing-free')
    ) {
      return new OverlaydError('OVL_ADDRESSES_EXHAUSTED', `no ${what} is free in network "${name}"`, {
        hint: 'Release addresses, take over those of hosts that are gone (overlayd networks reclaim HOST), or make a network with a larger subnet.',
      });
    }
    const asked = refusals.length === 0 ? 'nobody is there to ask' : refusals.join('; ');
    return new OverlaydError('OVL_ADDRESSES_NONE', `no ${what} for network "${name}": ${asked}`, {
      hint: this.#cureOf(address),
    });
  }

  #cureOf(address: bigint | undefined): string {
    const reasons = [...this.pool.refusals.values()];
    if (!reasons.includes('record-full') && !reasons.includes('asker-full'))
      return 'Look at "overlayd peers" and "overlayd networks ranges"; try again when the hosts with free ranges are back.';
    return address === undefined
      ? 'Start the container on a host that "overlayd networks ranges" shows with free addresses, or make a network with a larger subnet.'
      : 'Choose an address out of the ranges of this host ("overlayd networks ranges"), or start the container on the host whose range it is in.';
  }

  isOurs(address: bigint): boolean {
    return anyHolds(this.pool.holding.estate.own, address);
  }

  /** A short name of the pool, for maps. */
  static keyOf(id: string, family: Family): string {
    return `${id}/${family}`;
  }

  /** The network is no more, or not as it was: so is what we said. `isGone`: for good. */
  remove(now: number, isGone: boolean): void {
    const { state, wrote } = this.#deps;
    this.#isRemoved = true;
    const { options, holding } = this.pool;
    state.delete(now, 0, TABLE.range, options.pool);
    for (const name of holding.wards.keys())
      state.delete(now, 0, TABLE.rangeWard, fromHex(holding.wardKeyHex(name)));
    if (isGone || (!holding.isBorn && this.reclaimed.size === 0)) this.#file.remove();
    wrote();
    for (const wake of this.#waiters) wake();
  }
}

const WORDS = {
  'unknown-pool': 'does not know the network',
  'not-ready': 'has not heard from its own guardian yet',
  'nothing-free': 'has nothing free',
  'guardian-away': 'cannot give while its guardian is away',
  'record-full': 'has its range in too many pieces to cut another out',
  'asker-full': 'would give it, but this host has its ranges in too many pieces to take another',
  'not-mine': 'does not have it',
  'address-taken': 'has it in use',
  'other-lineage': 'began apart',
  'copy-unsure':
    'has a copy of what this host had before it lost its disk, but cannot know whether that is the last one; if no other host joined since, run "overlayd networks reclaim" with the name of this host there',
  silent: 'did not answer',
} as const;
