/**
 * The networks that this host takes part in, each under its index in the data path: those of the configuration always, made
 * ones while something here is on them. Joining tells the cluster, the view and the data path; leaving takes that back.
 *
 * It opens no TAP and decides nothing: who puts something on a network joins it first, and leaves it when nothing is left.
 */
import { TABLE } from '../../proto/state/interface.ts';
import type { StateNode } from '../../proto/state/interface.ts';
import { INTEREST_NAMES_MAX, encodeInterest, interestKey } from '../../proto/state/values/interest.ts';
import { macText } from '../../proto/state/values/mac.ts';
import type { OwnNetwork } from '../../proto/view/rows.ts';
import { monotonicMs } from '../clock.ts';
import type { NetworkConfig, RunConfig } from '../config/run-config.ts';
import { withdrawConfigured } from '../control/announce.ts';
import type { Reconciler } from '../control/reconciler.ts';
import type { JoinedFacts, TapMtus } from '../control/tap-mtus.ts';
import { OverlaydError } from '../errors.ts';
import { interfaceMac } from '../io/ifreq.ts';
import { configuredId } from '../../proto/networks/resolve.ts';
import { IndexPool } from './index-pool.ts';
import type { NetworkDefinition } from './interface.ts';

export interface JoinedNetwork {
  /** The data path's index for it. */
  readonly index: number;
  /** As the cluster knows it. */
  readonly id: string;
  readonly isConfigured: boolean;
  readonly name: string;
  readonly vni: number;
  /** Of the TAP for the whole network, where there is one. */
  readonly tap: string | undefined;
  /** The TAP's own MAC: this host's stack speaks from it, and that is no endpoint. */
  readonly tapMac: number | undefined;
  /** That its TAPs have now: it follows the paths to other hosts. */
  readonly mtu: number;
  readonly subnet: string | undefined;
  readonly gateway: string | undefined;
  readonly ipRange: string | undefined;
  readonly encrypted: boolean;
}

/** What may change while it is joined. */
type Mutable = { -readonly [K in keyof Omit<JoinedNetwork, 'mtu'>]: JoinedNetwork[K] } & {
  isAttachedByHand: boolean;
  /** Of the TAP of a network of the configuration. */
  port?: number;
};

export interface JoinedOptions {
  readonly config: RunConfig;
  readonly state: Pick<StateNode, 'put' | 'delete'>;
  readonly reconciler: Pick<Reconciler, 'setNetworks' | 'locals'>;
  /** Knows the networks of the configuration already. */
  readonly tapMtus: Pick<TapMtus, 'add' | 'rename' | 'remove' | 'mtu'>;
  /** What the paths to the other hosts of a network, by index, take; undefined: not known yet. */
  readonly pathsOf: (index: number) => readonly (number | undefined)[];
  readonly largestMtu: (encrypted: boolean) => number;
  /** Makes ready for a sealed network. Throws OverlaydError where this host cannot seal. */
  readonly prepareSealing: (network: string) => void;
  readonly networksMax: number;
}

export class JoinedNetworks {
  readonly #options: JoinedOptions;
  readonly #indexes: IndexPool;
  readonly #joined = new Map<number, Mutable>();

  constructor(options: JoinedOptions) {
    this.#options = options;
    const { config } = options;
    config.networks.forEach((network, index) => {
      const rest = {
        id: configuredId(network),
        isConfigured: true,
        isAttachedByHand: false,
        tapMac: undefined,
      };
      this.#joined.set(index, { ...network, ...rest, index, port: index });
    });
    this.#indexes = new IndexPool(config.networks.length, options.networksMax);
  }

  list(): JoinedNetwork[] {
    return Array.from(this.#joined.values(), (joined) => this.#shown(joined));
  }

  /** By an id that the cluster knows it by. */
  get(id: string): JoinedNetwork | undefined {
    return this.list().find((joined) => joined.id === id);
  }

  byIndex(index: number): JoinedNetwork | undefined {
    const joined = this.#joined.get(index);
    return joined && this.#shown(joined);
  }

  /** Throws OverlaydError; nothing has changed then. */
  join(definition: NetworkDefinition): JoinedNetwork {
    const known = this.get(definition.id);
    if (known !== undefined) return known;
    const { id, name, encrypted } = definition;
    const index = this.#take(definition);
    const none = { tap: undefined, tapMac: undefined, ipRange: undefined };
    const place = { index, id, isConfigured: false, isAttachedByHand: false, ...none };
    const mtu = Math.min(definition.mtu, this.#options.largestMtu(encrypted));
    return this.#begin({ ...place, ...factsOf(definition) }, { id, name, mtu, encrypted });
  }

  /** One that came into the configuration; its TAP is told of by setPort. Throws OverlaydError; nothing has changed then. */
  joinConfigured(network: NetworkConfig): JoinedNetwork {
    const index = this.#take(network);
    const place = { index, id: configuredId(network), isConfigured: true, isAttachedByHand: false };
    return this.#begin({ ...network, ...place, tapMac: undefined }, { ...network, id: network.tap });
  }

  #begin(joined: Mutable, facts: JoinedFacts): JoinedNetwork {
    const { index } = joined;
    this.#joined.set(index, joined);
    this.#tell();
    // Now it is known who else is on it.
    this.#options.tapMtus.add(index, facts, this.#options.pathsOf(index));
    return this.#shown(joined);
  }

  setPort(index: number, port: number): void {
    const joined = this.#joined.get(index);
    if (joined !== undefined) joined.port = port;
  }

  /** The port of a network of the configuration. */
  portOf(index: number): number | undefined {
    return this.#joined.get(index)?.port;
  }

  /** What the configuration says otherwise now. */
  change(index: number, { gateway, ipRange }: Pick<NetworkConfig, 'gateway' | 'ipRange'>): void {
    const joined = this.#joined.get(index);
    if (joined !== undefined) Object.assign(joined, { gateway, ipRange });
  }

  /** Throws OverlaydError. */
  #take({ name, vni, encrypted }: Pick<NetworkDefinition, 'name' | 'vni' | 'encrypted'>): number {
    const other = this.list().find((joined) => joined.vni === vni);
    if (other !== undefined) {
      throw new OverlaydError(
        'OVL_VNI_TAKEN',
        `network "${name}" has the VNI ${vni} of "${other.name}", which is here already`,
        {
          hint: `"overlayd networks inspect ${name}" says how to part them.`,
        },
      );
    }
    if (encrypted) this.#options.prepareSealing(name);
    const index = this.#indexes.take(monotonicMs());
    if (index === undefined) {
      throw new OverlaydError(
        'OVL_NETWORKS_FULL',
        `this host takes part in ${this.#joined.size} networks, which is all it can`,
        {
          hint: 'Remove containers from networks that they do not need; or wait some seconds, if some were just removed.',
        },
      );
    }
    return index;
  }

  /** Takes back all that was said of it; one of the configuration stays. */
  leave(index: number): void {
    if (this.#joined.get(index)?.isConfigured === false) this.#leave(index);
  }

  leaveConfigured(index: number): void {
    const joined = this.#joined.get(index);
    if (joined === undefined) return;
    this.#leave(index);
    withdrawConfigured(monotonicMs(), joined, this.#options.state);
  }

  #leave(index: number): void {
    const joined = this.#joined.get(index)!;
    this.#joined.delete(index);
    this.#options.tapMtus.remove(index);
    this.#indexes.free(monotonicMs(), index);
    this.#options.reconciler.setNetworks(this.#own());
    this.#options.state.delete(monotonicMs(), 0, TABLE.interest, interestKey(joined.vni));
  }

  setTap(index: number, tap: string | undefined, byHand: boolean): void {
    const joined = this.#joined.get(index);
    if (joined === undefined) return;
    joined.tap = tap;
    joined.tapMac = tap === undefined ? undefined : interfaceMac(tap);
    joined.isAttachedByHand = tap !== undefined && byHand;
    this.announce();
  }

  /** The cluster knows it by another id, or it got other numbers. True when endpoints have to be said again. */
  follow(index: number, definition: NetworkDefinition): boolean {
    const joined = this.#joined.get(index);
    if (joined === undefined || joined.isConfigured) return false;
    const others = this.list().filter((other) => other.index !== index);
    if (!others.some(({ id }) => id === definition.id)) joined.id = definition.id;
    const { vni } = joined;
    const isMoved = definition.vni !== vni && !others.some((other) => other.vni === definition.vni);
    Object.assign(joined, factsOf(definition), isMoved ? {} : { vni });
    this.#options.tapMtus.rename(index, joined.id, joined.name);
    if (!isMoved) return false;
    this.#options.state.delete(monotonicMs(), 0, TABLE.interest, interestKey(vni));
    this.#tell();
    return true;
  }

  /** Says of each network, or of one, what is on it here; to be called when that may have changed. */
  announce(only?: number): void {
    const now = monotonicMs();
    for (const joined of this.#joined.values()) {
      const { index, id, vni, tapMac, isConfigured, isAttachedByHand: isAttached } = joined;
      // Those of the configuration are never removed, so nobody has to know who uses them.
      if (isConfigured || (only !== undefined && only !== index)) continue;
      const { count, first } = this.#options.reconciler.locals(vni, INTEREST_NAMES_MAX, tapMac);
      const names = first.map(({ mac, ips, name }) => [name || macText(mac), ips[0] ?? ''].join(' ').trim());
      const interest = encodeInterest({ id, isAttached, endpoints: count, names });
      this.#options.state.put(now, 0, TABLE.interest, interestKey(vni), interest);
    }
  }

  #shown(joined: Mutable): JoinedNetwork {
    return { ...joined, mtu: this.#options.tapMtus.mtu(joined.index) };
  }

  /** The cluster first: what is said of endpoints there needs our interest. */
  #tell(): void {
    this.announce();
    this.#options.reconciler.setNetworks(this.#own());
  }

  #own(): OwnNetwork[] {
    return this.list().map(({ index: network, vni, encrypted: sealed }) => {
      return { network, vni, sealed, suppress: true };
    });
  }
}

function factsOf(
  definition: NetworkDefinition,
): Pick<Mutable, 'name' | 'vni' | 'subnet' | 'gateway' | 'encrypted'> {
  const { name, vni, subnet, subnet6, gateway, gateway6, encrypted } = definition;
  return { name, vni, subnet: subnet ?? subnet6, gateway: gateway ?? gateway6, encrypted };
}
