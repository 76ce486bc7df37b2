import { lookup } from 'node:dns/promises';
import ipaddr from 'ipaddr.js';
import type { Address } from '../../proto/env.ts';
import type { Seed } from '../config/run-config.ts';

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
      errors.push({ addr: seedText(seed), error: (result.reason as Error).message });
      return;
    }
    for (const address of result.value) addresses.set(`${address.ip} ${address.port}`, address);
  });
  return { addresses: [...addresses.values()], errors };
}

/** `HOST:PORT` as users write it. */
export function seedText(seed: { readonly host: string; readonly port: number }): string {
  return seed.host.includes(':') ? `[${seed.host}]:${seed.port}` : `${seed.host}:${seed.port}`;
}

async function addressesOf(seed: Seed, family: 4 | 6): Promise<Address[]> {
  if (ipaddr.isValid(seed.host)) return [{ ip: ipaddr.process(seed.host).toString(), port: seed.port }];
  const found = await lookup(seed.host, { all: true, family });
  return found.map((entry) => ({ ip: ipaddr.process(entry.address).toString(), port: seed.port }));
}
