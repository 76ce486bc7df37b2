/**
 * From all definitions that are known to one for each name, the same on every host.
 *
 * Definitions are of two kinds: made at run time (the registry), and in the configuration of hosts that live. The earliest
 * stands, by HLC, then owner: a network in use is not taken over by a later mistake. A later one of the same name is
 * the same network when the one that stands gives it all it asked for; its id is then another name of it. Else it stays
 * apart, found by its id alone, and is a conflict, as are two networks on one VNI and a chosen subnet that overlaps. Pure;
 * networks are few, so all is recomputed.
 */
import { ByteWriter, encodeText, toHex } from '../state/bytes.ts';
import { Hash64 } from '../state/hash.ts';
import type { InterestValue } from '../state/values/interest.ts';
import { isMade } from '../state/values/network.ts';
import type { MadeNetwork, NetworkValue } from '../state/values/network.ts';
import { SubnetTree } from './subnet-tree.ts';

/** A network in the configuration of a host. */
export interface ConfiguredNetwork {
  readonly owner: string;
  readonly hlc: bigint;
  readonly value: NetworkValue;
}

/** What a host says of its part in a network. */
export interface HostUse extends InterestValue {
  readonly owner: string;
  readonly vni: number;
}

export interface ResolvedNetwork {
  readonly id: string;
  /** Ids that mean this network too. */
  readonly aliases: readonly string[];
  readonly value: NetworkValue;
  /** Of the earliest that was made at run time; undefined: it is in configurations only. */
  readonly made: MadeNetwork | undefined;
  /** Hosts that have it in their configuration, sorted. */
  readonly definers: readonly string[];
}

export type ConflictReason = 'same-name' | 'same-vni' | 'same-subnet';

export interface NetworkConflict {
  readonly reason: ConflictReason;
  /** Who defined what is not as it was meant. */
  readonly owner: string;
  readonly rejected: NetworkValue;
  readonly rejectedId: string;
  readonly standing: ResolvedNetwork;
}

/** A network that may choose again, for nobody uses it. */
export interface Renumbering {
  readonly network: MadeNetwork;
  readonly vni: boolean;
  readonly subnet: boolean;
}

export interface NetworkResolution {
  /** One for each name, sorted. */
  readonly networks: readonly ResolvedNetwork[];
  /** Made ones whose name means another network; by id. */
  readonly apart: readonly ResolvedNetwork[];
  readonly conflicts: readonly NetworkConflict[];
  readonly renumberings: readonly Renumbering[];
}

export interface ResolveInput {
  readonly made: Iterable<MadeNetwork>;
  readonly configured: Iterable<ConfiguredNetwork>;
  readonly uses: readonly HostUse[];
}

interface Candidate {
  readonly owner: string;
  readonly hlc: bigint;
  readonly id: string;
  readonly value: NetworkValue;
}

/** A ResolvedNetwork in the making. */
interface Group {
  id: string;
  readonly aliases: string[];
  readonly value: NetworkValue;
  made: MadeNetwork | undefined;
  readonly definers: string[];
}

export function resolveNetworks(input: ResolveInput): NetworkResolution {
  const resolver = new Resolver(input.uses);
  for (const candidate of candidatesOf(input)) resolver.add(candidate);
  return resolver.finish();
}

/** The id of a network that hosts have in their configuration. */
export function configuredId({ name, vni }: Pick<NetworkValue, 'name' | 'vni'>): string {
  const half = (salt: number): bigint => new Hash64().word(salt).number(vni).bytes(encodeText(name)).finish();
  return toHex(new ByteWriter(16).u64(half(1)).u64(half(2)).finish());
}

function candidatesOf({ made, configured }: ResolveInput): Candidate[] {
  const candidates: Candidate[] = [];
  for (const value of made) {
    const { id, creator: owner, hlc } = value.made;
    candidates.push({ owner, hlc, id, value });
  }
  for (const { owner, hlc, value } of configured) {
    candidates.push({ owner, hlc, id: configuredId(value), value });
  }
  return candidates.sort(earlierFirst);
}

function earlierFirst(a: Candidate, b: Candidate): number {
  if (a.hlc !== b.hlc) return a.hlc < b.hlc ? -1 : 1;
  if (a.owner !== b.owner) return a.owner < b.owner ? -1 : 1;
  return a.id < b.id ? -1 : 1;
}

class Resolver {
  readonly #usedIds = new Set<string>();
  readonly #byName = new Map<string, Group>();
  readonly #byVni = new Map<number, Group>();
  readonly #apart: Group[] = [];
  readonly #subnets = new SubnetTree<Group>();
  readonly #conflicts: NetworkConflict[] = [];
  readonly #renumberings: Renumbering[] = [];

  constructor(uses: readonly HostUse[]) {
    for (const { id, endpoints, isAttached } of uses) {
      if (id !== undefined && (endpoints > 0 || isAttached)) this.#usedIds.add(id);
    }
  }

  add(candidate: Candidate): void {
    const { owner, id, value } = candidate;
    const named = this.#byName.get(value.name);
    if (named !== undefined && this.#isSame(named, candidate)) return join(named, candidate);
    const made = isMade(value) ? value : undefined;
    const group: Group = { id, aliases: [], value, made, definers: made === undefined ? [owner] : [] };
    if (named === undefined) this.#byName.set(value.name, group);
    else {
      this.#reject('same-name', candidate, named);
      // Two configurations of one name: traffic goes by VNI, and there is nothing to find by an id.
      if (made === undefined) return;
      this.#apart.push(group);
    }
    const sameVni = this.#byVni.get(value.vni);
    if (sameVni === undefined) this.#byVni.set(value.vni, group);
    else this.#reject('same-vni', candidate, sameVni);
    const sameSubnet =
      made?.made.chosen.subnet === true ? this.#subnets.firstOverlapping(value.subnet) : undefined;
    if (sameSubnet !== undefined) this.#reject('same-subnet', candidate, sameSubnet);
    const { ipv4, ipv6 } = subnetsOf(value);
    for (const subnet of [ipv4, ipv6]) if (subnet !== undefined) this.#subnets.add(subnet, group);
    if (made === undefined || this.#usedIds.has(id)) return;
    const again = { vni: sameVni !== undefined && made.made.chosen.vni, subnet: sameSubnet !== undefined };
    if (again.vni || again.subnet) this.#renumberings.push({ network: made, ...again });
  }

  finish(): NetworkResolution {
    const networks = [...this.#byName.values()].sort((a, b) => (a.value.name < b.value.name ? -1 : 1));
    for (const { definers } of networks) definers.sort();
    return {
      networks,
      apart: this.#apart,
      conflicts: this.#conflicts,
      renumberings: this.#renumberings,
    };
  }

  #reject(reason: ConflictReason, { owner, id, value }: Candidate, standing: Group): void {
    this.#conflicts.push({ reason, owner, rejected: value, rejectedId: id, standing });
  }

  /** Whether the one that stands is all that the later one asked for. */
  #isSame({ value: standing, made: first }: Group, { id, value: later }: Candidate): boolean {
    if (standing.encrypted !== later.encrypted) return false;
    const { made } = later;
    if (made === undefined && first === undefined) {
      return (
        standing.vni === later.vni &&
        standing.subnet === later.subnet &&
        standing.gateway === later.gateway &&
        standing.mtu === later.mtu
      );
    }
    // Who uses a subnet that was chosen stays on it.
    const mayMove = made?.chosen.subnet === true && !this.#usedIds.has(id);
    const [has, wants] = [subnetsOf(standing), subnetsOf(later)];
    return (
      (made?.chosen.vni === true || standing.vni === later.vni) &&
      (mayMove || has.ipv4 === wants.ipv4) &&
      has.ipv6 === wants.ipv6 &&
      (later.gateway === '' || standing.gateway === later.gateway) &&
      (made === undefined || made.chosen.mtu || standing.mtu === later.mtu) &&
      (made === undefined || first === undefined || hasAllOf(first, made))
    );
  }
}

function hasAllOf({ made: first }: MadeNetwork, later: MadeNetwork['made']): boolean {
  return (
    first.internal === later.internal &&
    (later.gateway6 === '' || first.gateway6 === later.gateway6) &&
    Object.entries(later.labels).every(([key, text]) => first.labels[key] === text)
  );
}

function join(group: Group, { owner, id, value }: Candidate): void {
  if (!isMade(value)) {
    group.definers.push(owner);
    if (id !== group.id && !group.aliases.includes(id)) group.aliases.push(id);
    return;
  }
  // The id of one that was made is the better: that of a configuration comes anew with each start.
  if (group.made === undefined) {
    group.aliases.push(group.id);
    group.id = id;
    group.made = value;
  } else group.aliases.push(id);
}

/** A configured network has one subnet, of either family; a made one has a field for each. */
export function subnetsOf({ subnet, made }: NetworkValue): {
  ipv4: string | undefined;
  ipv6: string | undefined;
} {
  const isIpv6 = subnet.includes(':');
  const ipv6 = isIpv6 ? subnet : (made?.subnet6 ?? '');
  return {
    ipv4: isIpv6 || subnet === '' ? undefined : subnet,
    ipv6: ipv6 === '' ? undefined : ipv6,
  };
}
