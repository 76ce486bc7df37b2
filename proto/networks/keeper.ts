/**
 * The networks of the cluster as one host keeps them, over its replicated state: hears what others say, says its own part,
 * decides what may choose a new number.
 *
 * Sans I/O. After records or members changed, call `step`; then sleep until `nextDeadline`. What is to be on disk before
 * anybody hears of it goes through `keep`, which may throw: nothing has been said then.
 */
import { WireError, fromHex, toHex } from '../state/bytes.ts';
import { TABLE } from '../state/interface.ts';
import type { StateNode } from '../state/interface.ts';
import { decodeInterest, vniOfKeyHex } from '../state/values/interest.ts';
import { decodeNetwork, encodeNetwork, isMade, networkIdKey } from '../state/values/network.ts';
import type { MadeNetwork } from '../state/values/network.ts';
import { decodeGone, encodeGone } from '../state/values/network-gone.ts';
import { Announcing } from './announcing.ts';
import { chooseSubnet, chooseVni } from './choose.ts';
import { NetworkRegistry } from './registry.ts';
import type { SavedNetworks } from './registry.ts';
import { resolveNetworks, subnetsOf } from './resolve.ts';
import type {
  ConfiguredNetwork,
  HostUse,
  NetworkResolution,
  Renumbering,
  ResolvedNetwork,
} from './resolve.ts';

export interface KeeperOptions {
  readonly self: string;
  readonly state: Pick<StateNode, 'records' | 'put' | 'delete' | 'interested'>;
  /** ms since 1970. */
  readonly wall: () => number;
  readonly saved?: SavedNetworks | undefined;
  /** Subnets that this host has routes for: none of them is chosen. */
  readonly routes: () => Iterable<string>;
  readonly keep: (networks: SavedNetworks) => void;
}

/** Who uses a network may not have been heard yet. */
const RENUMBER_AFTER_MS = 3_000;
/** A clock that is further ahead than that is wrong, and ours does not follow it. */
const AHEAD_MAX_MS = 5_000;
const HLC_COUNTER_BITS = 16n;

export class NetworkKeeper {
  readonly #options: KeeperOptions;
  readonly #registry: NetworkRegistry;
  readonly #announcing: Announcing;
  readonly #renumberSinceMs = new Map<string, number>();
  #uses: readonly HostUse[] = [];
  #resolution: NetworkResolution = { networks: [], apart: [], conflicts: [], renumberings: [] };
  #keptVersion: number;
  #nextMs = 0;

  constructor(now: number, options: KeeperOptions) {
    this.#options = options;
    this.#registry = new NetworkRegistry(options.saved);
    this.#announcing = new Announcing(now);
    this.#keptVersion = this.#registry.version;
  }

  /** As of the last step. */
  get resolution(): NetworkResolution {
    return this.#resolution;
  }

  /** What living hosts say of their part in networks, us included; as of the last step. */
  get uses(): readonly HostUse[] {
    return this.#uses;
  }

  get registry(): Pick<NetworkRegistry, 'made' | 'gone' | 'counters'> {
    return this.#registry;
  }

  nextDeadline(): number {
    return this.#nextMs;
  }

  step(now: number): void {
    const { state } = this.#options;
    const saying = this.#hear();
    this.#registry.forgetOld(this.#options.wall());
    this.#resolve();
    const renumberMs = this.#renumber(now);
    this.#keep();
    const live = state.interested(0);
    const plan = this.#announcing.plan(now, this.#items(), { self: this.#options.self, live, saying });
    for (const key of plan.say) this.#say(now, key);
    for (const key of plan.stop) this.#stop(now, key);
    this.#sayAnew(now, saying, plan.stop);
    this.#nextMs = Math.min(plan.nextMs, renumberMs);
  }

  /** Keeps it, then says it. Throws what `keep` throws, and RangeError when it does not fit a record or the registry. */
  make(now: number, network: MadeNetwork): void {
    encodeNetwork(network);
    if (!this.#registry.merge(network)) throw new RangeError('no room for another network');
    try {
      this.#keep();
    } catch (error) {
      this.#registry.forget(network.made.id);
      throw error;
    }
    this.step(now);
  }

  /** Removes for good, on all hosts. Throws what `keep` throws: it stands as before then. */
  remove(now: number, ids: readonly string[], name: string): void {
    const atMs = this.#options.wall();
    const before = new Map(ids.map((id) => [id, this.#registry.made.get(id)]));
    const buried = ids.filter((id) => this.#registry.bury(id, { atMs, name, by: this.#options.self }, atMs));
    try {
      this.#keep();
    } catch (error) {
      for (const id of buried) this.#registry.exhume(id, before.get(id));
      throw error;
    }
    this.step(now);
  }

  /** A time of creation, after all that are known. */
  nextHlc(): bigint {
    const wall = BigInt(Math.floor(this.#options.wall()));
    let latest = wall << HLC_COUNTER_BITS;
    for (const { made } of this.#registry.made.values()) {
      const isWrong = made.hlc >> HLC_COUNTER_BITS > wall + BigInt(AHEAD_MAX_MS);
      if (made.hlc >= latest && !isWrong) latest = made.hlc + 1n;
    }
    return latest;
  }

  /** undefined: all are taken. */
  chooseVni(name: string): number | undefined {
    const taken = new Set(this.#all().map(({ value }) => value.vni));
    for (const { vni } of this.#uses) taken.add(vni);
    return chooseVni(name, (vni) => taken.has(vni));
  }

  chooseSubnet(name: string): string | undefined {
    const known = this.#all().flatMap(({ value }) => subnetsOf(value).ipv4 ?? []);
    return chooseSubnet(name, [...known, ...this.#options.routes()]);
  }

  #all(): ResolvedNetwork[] {
    return [...this.#resolution.networks, ...this.#resolution.apart];
  }

  /** Takes in all that is said; returns who says what, by key. */
  #hear(): Map<string, Set<string>> {
    const { state, wall } = this.#options;
    const saying = new Map<string, Set<string>>();
    const note = (key: string, owner: string): void => {
      const known = saying.get(key);
      if (known === undefined) saying.set(key, new Set([owner]));
      else known.add(owner);
    };
    for (const { owner, key, value } of state.records(0, TABLE.networkGone)) {
      const gone = readable(() => decodeGone(value));
      const id = toHex(key);
      if (gone === undefined || id.length !== 32) continue;
      this.#registry.bury(id, gone, wall());
      note(`gone ${id}`, owner);
    }
    for (const { owner, value } of state.records(0, TABLE.network)) {
      const network = readable(() => decodeNetwork(value));
      if (network === undefined || !isMade(network)) continue;
      this.#registry.merge(network);
      note(`made ${network.made.id}`, owner);
    }
    return saying;
  }

  #resolve(): void {
    const { state } = this.#options;
    const configured: ConfiguredNetwork[] = [];
    for (const { owner, hlc, value: bytes } of state.records(0, TABLE.network)) {
      const value = readable(() => decodeNetwork(bytes));
      if (value !== undefined && !isMade(value)) configured.push({ owner, hlc, value });
    }
    const uses: HostUse[] = [];
    for (const { owner, key, value } of state.records(0, TABLE.interest)) {
      const vni = vniOfKeyHex(toHex(key));
      const use = readable(() => decodeInterest(value));
      if (vni !== undefined && use !== undefined) uses.push({ owner, vni, ...use });
    }
    this.#uses = uses;
    this.#resolution = resolveNetworks({ made: this.#registry.made.values(), configured, uses });
  }

  // Numbers

  /** New ones for those that lost theirs and that nobody uses: by their author, or the first living host by name. */
  #renumber(now: number): number {
    const { state, self } = this.#options;
    const live = new Set(state.interested(0));
    const first = [...live].sort()[0];
    const before = new Map(this.#renumberSinceMs);
    this.#renumberSinceMs.clear();
    let nextMs = Infinity;
    let isChanged = false;
    for (const renumbering of this.#resolution.renumberings) {
      const { id, creator } = renumbering.network.made;
      if ((live.has(creator) ? creator : first) !== self) continue;
      const sinceMs = before.get(id) ?? now;
      if (now - sinceMs >= RENUMBER_AFTER_MS) isChanged = this.#numberAnew(renumbering) || isChanged;
      else {
        this.#renumberSinceMs.set(id, sinceMs);
        nextMs = Math.min(nextMs, sinceMs + RENUMBER_AFTER_MS);
      }
      if (isChanged) this.#resolve();
    }
    return nextMs;
  }

  #numberAnew({ network, vni: wantsVni, subnet: wantsSubnet }: Renumbering): boolean {
    const vni = wantsVni ? this.chooseVni(network.name) : network.vni;
    const subnet = wantsSubnet ? this.chooseSubnet(network.name) : network.subnet;
    if (vni === undefined || subnet === undefined) return false;
    // A gateway lies in the subnet that it was given with; where that is chosen, so is none.
    const made = { ...network.made, revision: network.made.revision + 1 };
    return this.#registry.merge({ ...network, vni, subnet, made });
  }

  // Saying

  *#items(): Generator<{ key: string; author: string }> {
    for (const [id, { made }] of this.#registry.made) yield { key: `made ${id}`, author: made.creator };
    for (const [id, { by }] of this.#registry.gone) yield { key: `gone ${id}`, author: by };
  }

  #say(now: number, item: string): void {
    const [kind, id = ''] = item.split(' ');
    const { state } = this.#options;
    if (kind === 'gone') {
      const gone = this.#registry.gone.get(id);
      if (gone !== undefined) state.put(now, 0, TABLE.networkGone, fromHex(id), encodeGone(gone));
      return;
    }
    const network = this.#registry.made.get(id);
    if (network !== undefined) state.put(now, 0, TABLE.network, networkIdKey(id), encodeNetwork(network));
  }

  #stop(now: number, item: string): void {
    const [kind, id = ''] = item.split(' ');
    const table = kind === 'gone' ? TABLE.networkGone : TABLE.network;
    this.#options.state.delete(now, 0, table, fromHex(id));
  }

  /** What we say already, as it is now; what is gone we say no more. */
  #sayAnew(now: number, saying: ReadonlyMap<string, ReadonlySet<string>>, stopped: readonly string[]): void {
    for (const [key, owners] of saying) {
      if (!owners.has(this.#options.self) || stopped.includes(key)) continue;
      const [kind, id = ''] = key.split(' ');
      const isKnown = (kind === 'gone' ? this.#registry.gone : this.#registry.made).has(id);
      if (isKnown) this.#say(now, key);
      else this.#stop(now, key);
    }
  }

  #keep(): void {
    if (this.#registry.version === this.#keptVersion) return;
    this.#options.keep(this.#registry.saved());
    this.#keptVersion = this.#registry.version;
  }
}

function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return undefined;
  }
}
