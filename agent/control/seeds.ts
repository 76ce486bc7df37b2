import { lookup } from 'node:dns/promises';
import ipaddr from 'ipaddr.js';
import type { Address } from '../../proto/env.ts';
import { formatHostPort } from '../config/address.ts';
import type { Seed } from '../config/run-config.ts';
import type { Log } from '../log.ts';

/**
 * Addresses behind the names that a user gives with --join. One name may stand for several hosts (a DNS record with
 * all of them), so each of its addresses counts. Names are looked up anew at each try: they may move.
 */
export interface ResolvedSeeds {
  readonly addresses: readonly Address[];
  /** Names that could not be resolved, with the reason. */
  readonly errors: readonly { readonly addr: string; readonly error: string }[];
}

export async function resolveSeeds(seeds: readonly Seed[], family: 4 | 6): Promise<ResolvedSeeds> {
  const addresses = new Map<string, Address>();
  const errors: { addr: string; error: string }[] = [];
  const found = await Promise.allSettled(seeds.map((seed) => addressesOf(seed, family)));
  found.forEach((result, index) => {
    const seed = seeds[index] as Seed;
    if (result.status === 'rejected') {
      errors.push({ addr: formatHostPort(seed.host, seed.port), error: (result.reason as Error).message });
      return;
    }
    for (const address of result.value) addresses.set(`${address.ip} ${address.port}`, address);
  });
  return { addresses: [...addresses.values()], errors };
}

async function addressesOf(seed: Seed, family: 4 | 6): Promise<Address[]> {
  if (ipaddr.isValid(seed.host)) return [{ ip: ipaddr.process(seed.host).toString(), port: seed.port }];
  const found = await lookup(seed.host, { all: true, family });
  return found.map((entry) => ({ ip: ipaddr.process(entry.address).toString(), port: seed.port }));
}

export interface SeedKeeperOptions {
  readonly seeds: readonly Seed[];
  /** Family of the advertise address: seeds of the other one cannot be reached from it. */
  readonly family: 4 | 6;
  /** Takes the addresses as they are now; joining them, again and again if need be, is the membership protocol's work. */
  readonly setSeeds: (addresses: readonly Address[]) => void;
  readonly log: Log;
}

/** Names are looked up again this often, sooner (doubling from the first) while one of them is unknown. */
const LOOKUP_INTERVAL_MS = 60_000;
const FIRST_RETRY_MS = 1_000;

/** Keeps the membership protocol's seeds equal to what the users' names stand for. */
export class SeedKeeper {
  readonly #options: SeedKeeperOptions;
  #seeds: readonly Seed[];
  #retryMs = FIRST_RETRY_MS;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  /** Of the look-up under way; an earlier one has nothing to say any more. */
  #turn = 0;

  constructor(options: SeedKeeperOptions) {
    this.#options = options;
    this.#seeds = options.seeds;
    this.open();
  }

  get seeds(): readonly Seed[] {
    return this.#seeds;
  }

  setSeeds(seeds: readonly Seed[]): void {
    this.#seeds = seeds;
    this.open();
  }

  /** Looks the names up, now and again and again; also after `close`, as for a host that comes back. */
  open(): void {
    this.#closed = false;
    this.#retryMs = FIRST_RETRY_MS;
    void this.#resolve();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #resolve(): Promise<void> {
    clearTimeout(this.#timer);
    const turn = ++this.#turn;
    const seeds = this.#seeds;
    const { addresses, errors } = await resolveSeeds(seeds, this.#options.family);
    if (this.#closed || turn !== this.#turn) return;
    this.#options.setSeeds(addresses);
    for (const { addr, error } of errors) {
      this.#options.log.warn(
        { addr, error, retryMs: this.#retryMs },
        'a seed has no address yet; trying again',
      );
    }
    const allNumeric = seeds.every((seed) => ipaddr.isValid(seed.host));
    if (allNumeric) return;
    this.#timer = setTimeout(
      () => void this.#resolve(),
      errors.length > 0 ? this.#retryMs : LOOKUP_INTERVAL_MS,
    );
    this.#retryMs = Math.min(this.#retryMs * 2, LOOKUP_INTERVAL_MS);
  }
}
