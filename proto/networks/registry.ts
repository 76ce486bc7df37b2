/**
 * All networks that were made at run time, and those that were removed: what this host has ever heard of them.
 *
 * Merging is commutative and idempotent. A removal stands above everything: an id that is gone never comes back, for as
 * long as a host may have been away. Of two forms of one network the higher revision counts, then the lower bytes. Bounded:
 * beyond the limits new networks are refused and counted, and the oldest removals forgotten.
 */
import { ipToBytes } from '../memberlist/address.ts';
import { encodeNetwork } from '../state/values/network.ts';
import type { MadeNetwork } from '../state/values/network.ts';
import type { GoneNetwork } from '../state/values/network-gone.ts';
import { parsePrefix } from './cidr.ts';

export const NETWORKS_MAX = 4_096;
export const GONE_MAX = 4_096;
/** How long a host may be away and not bring back what was removed meanwhile. */
export const GONE_KEEP_MS = 180 * 24 * 3_600_000;
const MTU_MIN = 68;

/** What outlives a host's daemon. */
export interface SavedNetworks {
  readonly made: readonly MadeNetwork[];
  readonly gone: readonly (GoneNetwork & { readonly id: string })[];
}

export class NetworkRegistry {
  readonly #made = new Map<string, MadeNetwork>();
  readonly #gone = new Map<string, GoneNetwork>();
  readonly #counters = new Map<string, number>();
  #version = 0;

  constructor(saved?: SavedNetworks) {
    for (const { id, ...gone } of saved?.gone ?? []) this.#gone.set(id, gone);
    for (const network of saved?.made ?? []) this.merge(network);
  }

  /** Grows with every change. */
  get version(): number {
    return this.#version;
  }

  get made(): ReadonlyMap<string, MadeNetwork> {
    return this.#made;
  }

  get gone(): ReadonlyMap<string, GoneNetwork> {
    return this.#gone;
  }

  /** True when it is news. */
  merge(network: MadeNetwork): boolean {
    const { id } = network.made;
    if (this.#gone.has(id)) return false;
    if (!isSound(network)) return this.#refuse('bad-network');
    const known = this.#made.get(id);
    if (known === undefined && this.#made.size >= NETWORKS_MAX) return this.#refuse('networks-full');
    if (known !== undefined && !isNewer(network, known)) return false;
    this.#made.set(id, network);
    this.#version++;
    return true;
  }

  /** One that was never kept nor said. */
  forget(id: string): void {
    this.#made.delete(id);
    this.#version++;
  }

  /** `nowMs`: ms since 1970. True when it is news. */
  bury(id: string, gone: GoneNetwork, nowMs: number): boolean {
    if (this.#gone.has(id) || nowMs - gone.atMs > GONE_KEEP_MS) return false;
    // A clock that was ahead must not keep it for ever.
    this.#gone.set(id, { ...gone, atMs: Math.min(gone.atMs, nowMs) });
    this.#made.delete(id);
    this.forgetOld(nowMs);
    this.#version++;
    return true;
  }

  /** Takes back a removal that was never kept nor said; `network`: what there was before. */
  exhume(id: string, network: MadeNetwork | undefined): void {
    this.#gone.delete(id);
    if (network !== undefined) this.#made.set(id, network);
    this.#version++;
  }

  forgetOld(nowMs: number): void {
    for (const [id, { atMs }] of this.#gone) {
      if (nowMs - atMs <= GONE_KEEP_MS) continue;
      this.#gone.delete(id);
      this.#version++;
    }
    while (this.#gone.size > GONE_MAX) {
      const [oldest] = [...this.#gone].reduce((a, b) => (b[1].atMs < a[1].atMs ? b : a));
      this.#gone.delete(oldest);
    }
  }

  saved(): SavedNetworks {
    return {
      made: [...this.#made.values()],
      gone: Array.from(this.#gone, ([id, gone]) => ({ id, ...gone })),
    };
  }

  /** "bad-network", "networks-full". */
  counters(): ReadonlyMap<string, number> {
    return this.#counters;
  }

  #refuse(reason: string): false {
    this.#counters.set(reason, (this.#counters.get(reason) ?? 0) + 1);
    return false;
  }
}

function isNewer(a: MadeNetwork, b: MadeNetwork): boolean {
  if (a.made.revision !== b.made.revision) return a.made.revision > b.made.revision;
  const [bytesA, bytesB] = [encodeNetwork(a), encodeNetwork(b)];
  for (let i = 0; i < Math.min(bytesA.length, bytesB.length); i++) {
    if (bytesA[i] !== bytesB[i]) return bytesA[i]! < bytesB[i]!;
  }
  return bytesA.length < bytesB.length;
}

/** What another host says goes into files, command lines and tables here: only if it is what it should be. */
function isSound({ name, subnet, gateway, mtu, made }: MadeNetwork): boolean {
  return (
    /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/.test(name) &&
    mtu >= MTU_MIN &&
    isSubnet(subnet, 4) &&
    isSubnet(made.subnet6, 16) &&
    isAddress(gateway, 4) &&
    isAddress(made.gateway6, 16)
  );
}

function isSubnet(text: string, bytes: 4 | 16): boolean {
  return text === '' || parsePrefix(text)?.bytes.length === bytes;
}

function isAddress(text: string, bytes: 4 | 16): boolean {
  return text === '' || ipToBytes(text)?.length === bytes;
}
