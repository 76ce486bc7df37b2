import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { NetworkConfig } from '../config/run-config.ts';
import type { Log } from '../log.ts';
import { replaceFile } from './state-file.ts';

/**
 * The MTU of each network's TAP, which is the MTU of the containers on it (T6): as configured, or less, when no path to any
 * host of the network has taken that for a while. It is lowered then and said so; and raised again, never above what was
 * configured, when a path takes more for long. What was found out is kept in the state folder, so that a TAP is right from
 * the moment it is made: before the first container, long before the first probe.
 *
 * Lowering a macvlan parent lowers its children at once; raising it does not reach them. That is why it takes time both ways,
 * and why it is not what keeps packets from being lost: the packet core does that at once (core-wasm/clamp.ts and others).
 */
const LOWER_AFTER_MS = 20_000;
const RAISE_AFTER_MS = 300_000;
/** Below this the kernel takes IPv6, with all its addresses, away from an interface (RFC 8200 §5). */
const LEAST_MTU = 1_280;

const fileSchema = z.object({
  version: z.literal(1),
  taps: z
    .record(z.string(), z.int().min(68).max(65_535))
    .refine((taps) => Object.keys(taps).length <= 65_536),
});

export interface TapMtusOptions {
  readonly networks: readonly Pick<NetworkConfig, 'name' | 'tap' | 'mtu'>[];
  /** Bytes that a packet of this network, by index, has around it on the underlay. */
  readonly overhead: (network: number) => number;
  readonly stateDir: string;
  readonly log: Log;
}

interface Tap {
  readonly name: string;
  readonly network: string;
  readonly configured: number;
  current: number;
  /** What it ought to be instead, and since when. */
  wanted: number;
  sinceMs: number;
}

export class TapMtus {
  readonly #options: TapMtusOptions;
  readonly #path: string;
  readonly #taps: Tap[];
  #set: ((network: number, mtu: number) => void) | undefined;

  constructor(options: TapMtusOptions) {
    this.#options = options;
    mkdirSync(options.stateDir, { recursive: true, mode: 0o700 });
    this.#path = join(options.stateDir, 'tap-mtus.json');
    const known = this.#read();
    this.#taps = options.networks.map(({ name, tap, mtu }) => {
      const current = Math.min(mtu, Math.max(known[tap] ?? mtu, Math.min(mtu, LEAST_MTU)));
      return { name: tap, network: name, configured: mtu, current, wanted: current, sinceMs: 0 };
    });
  }

  /** It is a configured network, whose TAP is looked after here. */
  has(network: number): boolean {
    return this.#taps[network] !== undefined;
  }

  /** What the TAP of a network is to have now. */
  mtu(network: number): number {
    return this.#taps[network]?.current ?? 0;
  }

  /** Once the TAPs are open: what gives one another MTU, or throws. */
  onChange(set: (network: number, mtu: number) => void): void {
    this.#set = set;
    for (const [index, { name, network, configured, current }] of this.#taps.entries()) {
      if (current < configured)
        this.#options.log.warn({ network, tap: name, mtu: current }, this.#reason(index, configured));
    }
  }

  /** Called now and then, with what the paths to the hosts of each network are proven to take. */
  look(
    now: number,
    paths: Iterable<{ readonly network: number; readonly proven: readonly (number | undefined)[] }>,
  ): void {
    for (const { network, proven } of paths) {
      const tap = this.#taps[network];
      if (tap !== undefined) this.#consider(now, network, tap, this.#wanted(network, tap, proven));
    }
  }

  /** By the widest path: narrower ones are made up for by the packet core. Not to be known: no change. */
  #wanted(network: number, tap: Tap, proven: readonly (number | undefined)[]): number {
    const known = proven.filter((bytes) => bytes !== undefined);
    if (known.length === 0 || known.length < proven.length) return tap.current;
    const fits = Math.max(...known) - this.#options.overhead(network);
    return Math.min(tap.configured, Math.max(fits, Math.min(LEAST_MTU, tap.configured)));
  }

  #consider(now: number, network: number, tap: Tap, wanted: number): void {
    if (wanted !== tap.wanted) {
      // A path that is being searched, or that became narrower still, begins anew; one that goes back ends it.
      tap.wanted = wanted;
      tap.sinceMs = now;
    }
    if (wanted === tap.current) return;
    if (now - tap.sinceMs < (wanted < tap.current ? LOWER_AFTER_MS : RAISE_AFTER_MS)) return;
    const before = tap.current;
    tap.sinceMs = now;
    try {
      this.#set?.(network, wanted);
    } catch (error) {
      this.#options.log.warn(
        { network: tap.network, tap: tap.name, error: (error as Error).message },
        `the MTU of the TAP should be ${wanted}, and could not be set`,
      );
      return;
    }
    tap.current = wanted;
    const words =
      wanted < before
        ? this.#reason(network, before)
        : 'the MTU of a TAP was raised: paths take more than before; containers that run keep theirs until they are restarted';
    this.#options.log.warn({ network: tap.network, tap: tap.name, mtu: wanted, before }, words);
    this.#write();
  }

  #reason(network: number, before: number): string {
    const needed = before + this.#options.overhead(network);
    return `the MTU of a TAP is lower than ${before}, because no path to another host takes packets of ${needed} bytes`;
  }

  #read(): Readonly<Record<string, number>> {
    try {
      return fileSchema.parse(JSON.parse(readFileSync(this.#path, 'utf8'))).taps;
    } catch (error) {
      // Damaged, it is of no use: all of it is found out again.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        this.#options.log.warn(
          { error: (error as Error).message },
          `${this.#path} could not be read; it is made anew`,
        );
      return {};
    }
  }

  /** Only what is lower than configured. */
  #write(): void {
    const lower = this.#taps.filter(({ current, configured }) => current < configured);
    const taps = Object.fromEntries(lower.map(({ name, current }) => [name, current]));
    try {
      replaceFile(this.#path, JSON.stringify({ version: 1, taps }));
    } catch (error) {
      this.#options.log.warn({ error: (error as Error).message }, `${this.#path} could not be written`);
    }
  }
}
