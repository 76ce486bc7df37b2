import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { NetworkConfig } from '../config/run-config.ts';
import type { Log } from '../log.ts';
import { readState, replaceFile } from './state-file.ts';

/**
 * The MTU of each network's TAPs, which is the MTU of the containers on it (T6): as configured or defined, or less, when no
 * path to any host of the network has taken that for a while. It is lowered then and said so; and raised again, never above
 * what was configured, when a path takes more for long. What was found out is kept in the state folder, so that a TAP is
 * right from the moment it is made: before the first container, long before the first probe.
 *
 * Lowering a macvlan parent lowers its children at once; raising it does not reach them. That is why it takes time both ways,
 * and why it is not what keeps packets from being lost: the packet core does that at once (core-wasm/clamp.ts and others).
 */
const LOWER_AFTER_MS = 20_000;
const RAISE_AFTER_MS = 300_000;
/** Below this the kernel takes IPv6, with all its addresses, away from an interface (RFC 8200 §5). */
const LEAST_MTU = 1_280;
/** Made networks that are not joined now, and that had less when they were. */
const REMEMBERED_MAX = 256;
/** Configured networks are kept by the name of their TAP, made ones by their id, which no interface name is as long as. */
const ID = /^[0-9a-f]{32}$/;

const fileSchema = z.object({
  version: z.literal(1),
  taps: z
    .record(z.string(), z.int().min(68).max(65_535))
    .refine((taps) => Object.keys(taps).length <= 65_536),
});

export interface TapMtusOptions {
  /** Of the configuration: their indexes are their places. */
  readonly networks: readonly Pick<NetworkConfig, 'name' | 'tap' | 'mtu' | 'encrypted'>[];
  /** Bytes that a packet of such a network has around it on the underlay. */
  readonly overhead: (encrypted: boolean) => number;
  readonly stateDir: string;
  readonly log: Log;
}

/** A made network, as it is joined. */
export interface JoinedFacts {
  readonly id: string;
  readonly name: string;
  readonly mtu: number;
  readonly encrypted: boolean;
}

/** The TAPs of one network. */
interface Taps {
  /** In the file. */
  key: string;
  network: string;
  readonly configured: number;
  readonly encrypted: boolean;
  current: number;
  /** What it ought to be instead, and since when. */
  wanted: number;
  sinceMs: number;
}

export class TapMtus {
  readonly #options: TapMtusOptions;
  readonly #path: string;
  /** By the data path's index of the network. */
  readonly #taps = new Map<number, Taps>();
  /** By id: what made networks that are not joined now had when they were. */
  readonly #remembered: Map<string, number>;
  #set: ((network: number, mtu: number) => void) | undefined;

  constructor(options: TapMtusOptions) {
    this.#options = options;
    mkdirSync(options.stateDir, { recursive: true, mode: 0o700 });
    this.#path = join(options.stateDir, 'tap-mtus.json');
    const known = this.#read();
    for (const [index, { tap, ...facts }] of options.networks.entries())
      this.#put(index, tap, facts, known[tap]);
    this.#remembered = new Map(Object.entries(known).filter(([key]) => ID.test(key)));
  }

  /** A made network was joined under this index; nothing is on it yet, so what its paths are `proven` to take counts at once. */
  add(index: number, facts: JoinedFacts, proven: readonly (number | undefined)[]): void {
    const { id } = facts;
    const taps = this.#put(index, id, facts, this.#remembered.get(id));
    const isRemembered = this.#remembered.delete(id);
    taps.current = Math.min(taps.current, this.#wanted(taps, proven));
    taps.wanted = taps.current;
    this.#sayIfLower(taps);
    if (!isRemembered && taps.current < taps.configured) this.#write();
  }

  /** The cluster knows it by these now. */
  rename(index: number, id: string, name: string): void {
    const taps = this.#taps.get(index);
    if (taps === undefined) return;
    const isMoved = taps.key !== id && taps.current < taps.configured;
    taps.key = id;
    taps.network = name;
    if (isMoved) this.#write();
  }

  /** It was left: joined again, it begins with what it has now. */
  remove(index: number): void {
    const taps = this.#taps.get(index);
    if (taps === undefined) return;
    this.#taps.delete(index);
    if (taps.current === taps.configured) return;
    this.#remembered.set(taps.key, taps.current);
    for (const key of this.#remembered.keys()) {
      if (this.#remembered.size <= REMEMBERED_MAX) break;
      this.#remembered.delete(key);
    }
  }

  /** It is a network whose TAPs are looked after here. */
  has(network: number): boolean {
    return this.#taps.has(network);
  }

  /** What the TAPs of a network are to have now. */
  mtu(network: number): number {
    return this.#taps.get(network)?.current ?? 0;
  }

  /** Once the TAPs are open: what gives all those of a network another MTU, or throws. */
  onChange(set: (network: number, mtu: number) => void): void {
    this.#set = set;
    for (const taps of this.#taps.values()) this.#sayIfLower(taps);
  }

  /** Called now and then, with what the paths to the hosts of each network are proven to take. */
  look(
    now: number,
    paths: Iterable<{ readonly network: number; readonly proven: readonly (number | undefined)[] }>,
  ): void {
    for (const { network, proven } of paths) {
      const taps = this.#taps.get(network);
      if (taps !== undefined) this.#consider(now, network, taps, this.#wanted(taps, proven));
    }
  }

  #put(
    index: number,
    key: string,
    { name: network, mtu, encrypted }: Omit<JoinedFacts, 'id'>,
    known = mtu,
  ): Taps {
    const current = Math.min(mtu, Math.max(known, Math.min(mtu, LEAST_MTU)));
    const taps = { key, network, configured: mtu, encrypted, current, wanted: current, sinceMs: 0 };
    this.#taps.set(index, taps);
    return taps;
  }

  #sayIfLower(taps: Taps): void {
    const { configured, current } = taps;
    if (current < configured)
      this.#options.log.warn({ ...namesOf(taps), mtu: current }, this.#reason(taps, configured));
  }

  /** By the widest path: narrower ones are made up for by the packet core. Not to be known: no change. */
  #wanted(taps: Taps, proven: readonly (number | undefined)[]): number {
    const known = proven.filter((bytes) => bytes !== undefined);
    if (known.length === 0 || known.length < proven.length) return taps.current;
    const fits = Math.max(...known) - this.#options.overhead(taps.encrypted);
    return Math.min(taps.configured, Math.max(fits, Math.min(LEAST_MTU, taps.configured)));
  }

  #consider(now: number, network: number, taps: Taps, wanted: number): void {
    if (wanted !== taps.wanted) {
      // A path that is being searched, or that became narrower still, begins anew; one that goes back ends it.
      taps.wanted = wanted;
      taps.sinceMs = now;
    }
    if (wanted === taps.current) return;
    if (now - taps.sinceMs < (wanted < taps.current ? LOWER_AFTER_MS : RAISE_AFTER_MS)) return;
    const before = taps.current;
    taps.sinceMs = now;
    try {
      this.#set?.(network, wanted);
    } catch (error) {
      this.#options.log.warn(
        { ...namesOf(taps), error: (error as Error).message },
        `the MTU of a TAP should be ${wanted}, and could not be set`,
      );
      return;
    }
    taps.current = wanted;
    const words =
      wanted < before
        ? this.#reason(taps, before)
        : 'the MTU of a TAP was raised: paths take more than before; containers that run on a macvlan keep theirs until they are restarted';
    this.#options.log.warn({ ...namesOf(taps), mtu: wanted, before }, words);
    this.#write();
  }

  #reason({ encrypted }: Taps, before: number): string {
    const needed = before + this.#options.overhead(encrypted);
    return `the MTU of a TAP is lower than ${before}, because no path to another host takes packets of ${needed} bytes`;
  }

  #read(): Readonly<Record<string, number>> {
    // Damaged, it is of no use: all of it is found out again.
    const file = readState(this.#path, fileSchema, ({ message }) =>
      this.#options.log.warn({ error: message }, `${this.#path} could not be read; it is made anew`),
    );
    return file?.taps ?? {};
  }

  /** Only what is lower than configured. */
  #write(): void {
    const lower = [...this.#taps.values()].filter(({ current, configured }) => current < configured);
    const taps = Object.fromEntries([
      ...this.#remembered,
      ...lower.map(({ key, current }) => [key, current] as const),
    ]);
    try {
      replaceFile(this.#path, JSON.stringify({ version: 1, taps }));
    } catch (error) {
      this.#options.log.warn({ error: (error as Error).message }, `${this.#path} could not be written`);
    }
  }
}

/** For the log: a made network has any number of TAPs. */
function namesOf({ key, network }: Taps): { readonly network: string; readonly tap?: string } {
  return ID.test(key) ? { network } : { network, tap: key };
}
