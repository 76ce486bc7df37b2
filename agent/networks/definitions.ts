/**
 * The networks of the cluster on this host: the keeper (proto/networks) with its timer, its file and its log lines, and the
 * operator's commands on definitions. What takes part in a network here is not its business.
 */
import { randomBytes } from 'node:crypto';
import { NetworkKeeper } from '../../proto/networks/keeper.ts';
import type { SavedNetworks } from '../../proto/networks/registry.ts';
import type { HostUse, NetworkResolution, ResolvedNetwork } from '../../proto/networks/resolve.ts';
import { subnetsOf } from '../../proto/networks/resolve.ts';
import type { StateNode } from '../../proto/state/interface.ts';
import type { MadeNetwork } from '../../proto/state/values/network.ts';
import { monotonicMs, wallMs } from '../clock.ts';
import { OverlaydError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { NetworkRemoval, NetworkUse } from '../status.ts';
import { ConflictReporter } from './conflicts.ts';
import type { NetworkDefinition, NetworkSpec, Networks } from './interface.ts';
import { localRoutes } from './local-routes.ts';
import { networkNotFound } from './not-found.ts';
import { checkSpec, differences } from './network-spec.ts';
import type { SpecLimits } from './network-spec.ts';
import { AwayHosts, describeUse } from './uses.ts';

export interface DefinitionsOptions {
  readonly self: string;
  readonly state: StateNode;
  readonly limits: SpecLimits;
  readonly file: { read(): SavedNetworks | undefined; write(networks: SavedNetworks): void };
  /** Whether a host has died and not left. */
  readonly isAway: (host: string) => boolean;
  /** Records were written. */
  readonly wrote: () => void;
  readonly log: Log;
}

/** Changes come in crowds. */
const SOON_MS = 50;
const ID_BYTES = 16;
const SHORT_ID_MIN = 8;

export class NetworkDefinitions implements Pick<Networks, 'list' | 'find' | 'isGone' | 'onChange'> {
  readonly #options: DefinitionsOptions;
  readonly #keeper: NetworkKeeper;
  readonly #reporter: ConflictReporter;
  readonly #away: AwayHosts;
  readonly #listeners: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  #isSoon = false;
  #told = '';

  constructor(options: DefinitionsOptions) {
    this.#options = options;
    const { self, state, file, log } = options;
    this.#reporter = new ConflictReporter(log);
    this.#away = new AwayHosts(options.isAway);
    this.#keeper = new NetworkKeeper(monotonicMs(), {
      self,
      state,
      wall: wallMs,
      saved: file.read(),
      routes: localRoutes,
      keep: (networks) => file.write(networks),
    });
    this.#step();
  }

  /** Records of networks, or who lives, may have changed. */
  touch(): void {
    // A timer that is armed anew with every change would never be over in a crowd of them.
    if (this.#isClosed || this.#isSoon) return;
    clearTimeout(this.#timer);
    this.#isSoon = true;
    this.#timer = setTimeout(() => this.#step(), SOON_MS);
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  get resolution(): NetworkResolution {
    return this.#keeper.resolution;
  }

  list(): NetworkDefinition[] {
    return this.resolution.networks.map(definitionOf);
  }

  find(nameOrId: string): NetworkDefinition | undefined {
    const found = this.resolve(nameOrId);
    return found && definitionOf(found);
  }

  /** Removed for good. */
  isGone(id: string): boolean {
    return this.#keeper.registry.gone.has(id);
  }

  /** By name, then by id, or as much of an id as is clear. */
  resolve(nameOrId: string): ResolvedNetwork | undefined {
    const { networks, apart } = this.resolution;
    const named = networks.find(({ value }) => value.name === nameOrId);
    if (named !== undefined || nameOrId.length < SHORT_ID_MIN) return named;
    const wanted = nameOrId.toLowerCase();
    const found = [...networks, ...apart].filter(({ id, aliases }) =>
      [id, ...aliases].some((known) => known.startsWith(wanted)),
    );
    return found.length === 1 ? found[0] : undefined;
  }

  /** Throws OverlaydError, exit code 5. */
  known(nameOrId: string): ResolvedNetwork {
    const found = this.resolve(nameOrId);
    if (found !== undefined) return found;
    const names = this.resolution.networks.map(({ value }) => value.name);
    throw networkNotFound(nameOrId, names);
  }

  create(spec: NetworkSpec): NetworkDefinition {
    checkSpec(spec, this.#options.limits);
    this.#step();
    const standing = this.find(spec.name);
    if (standing !== undefined) return sameOrThrow(spec, standing);
    try {
      this.#keeper.make(monotonicMs(), this.#newNetwork(spec));
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw new OverlaydError(
        'OVL_NETWORK_LIMIT',
        `network "${spec.name}" cannot be made: ${cause.message}`,
        {
          hint: 'Remove networks that nobody needs: "overlayd networks inspect NAME" shows who uses it.',
          cause,
        },
      );
    }
    this.#afterStep();
    return definitionOf(this.known(spec.name));
  }

  remove(nameOrId: string, force: boolean): NetworkRemoval {
    this.#step();
    const network = this.known(nameOrId);
    const { name } = network.value;
    if (network.definers.length > 0) {
      const hosts = network.definers.join(', ');
      throw new OverlaydError(
        'OVL_NETWORK_CONFIGURED',
        `network "${name}" is in the configuration of ${hosts}`,
        {
          hint: `Stop its containers there, take it out of the configuration and reload overlayd (SIGHUP).`,
        },
      );
    }
    const cut = this.usesOf(network);
    const used = cut.filter(({ endpoints = 0, attached }) => endpoints > 0 || attached);
    if (used.length > 0 && !force) throw inUse(name, used);
    this.#keeper.remove(monotonicMs(), [network.id, ...network.aliases], name);
    this.#options.log.info({ network: name, vni: network.value.vni }, 'network removed');
    this.#afterStep();
    return { name, id: network.id, cut: used };
  }

  /** Hosts that take part, sorted; those that died while they did are among them. */
  usesOf({ id, aliases, value, definers }: ResolvedNetwork): NetworkUse[] {
    const ids = new Set([id, ...aliases]);
    const isPart = (use: HostUse): boolean =>
      use.id === undefined ? use.vni === value.vni && definers.includes(use.owner) : ids.has(use.id);
    const here = this.#keeper.uses.filter(isPart).map((use) => useOf(use, false));
    const away = this.#away
      .uses()
      .filter(isPart)
      .map((use) => useOf(use, true));
    return [...here, ...away].sort((a, b) => (a.host < b.host ? -1 : 1));
  }

  /** Hosts that say they mean another network by the VNI of this one. */
  strangersTo({ id, aliases, value }: ResolvedNetwork): Set<string> {
    const ids = new Set([id, ...aliases]);
    const others = this.#keeper.uses.filter(
      (use) => use.vni === value.vni && use.id !== undefined && !ids.has(use.id),
    );
    return new Set(others.map(({ owner }) => owner));
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  #newNetwork(spec: NetworkSpec): MadeNetwork {
    const { name, vni, subnet, subnet6 } = spec;
    const taken = vni === undefined ? undefined : this.#holderOf(vni);
    if (taken !== undefined) {
      throw new OverlaydError('OVL_VNI_TAKEN', `VNI ${vni} is that of network "${taken}"`, {
        hint: 'Choose another one, or leave --vni away.',
      });
    }
    const encrypted = spec.encrypted ?? false;
    const choosesSubnet = subnet === undefined && subnet6 === undefined;
    return {
      name,
      vni: vni ?? this.#choose('VNI', this.#keeper.chooseVni(name), '--vni'),
      subnet: choosesSubnet
        ? this.#choose('subnet', this.#keeper.chooseSubnet(name), '--subnet')
        : (subnet ?? ''),
      gateway: spec.gateway ?? '',
      mtu: spec.mtu ?? this.#options.limits.largestMtu(encrypted),
      encrypted,
      made: {
        id: randomBytes(ID_BYTES).toString('hex'),
        creator: this.#options.self,
        hlc: this.#keeper.nextHlc(),
        revision: 0,
        subnet6: subnet6 ?? '',
        gateway6: spec.gateway6 ?? '',
        internal: spec.internal ?? false,
        labels: spec.labels ?? {},
        chosen: { vni: vni === undefined, subnet: choosesSubnet, mtu: spec.mtu === undefined },
      },
    };
  }

  #choose<T>(what: string, chosen: T | undefined, flag: string): T {
    if (chosen !== undefined) return chosen;
    throw new OverlaydError('OVL_NETWORK_POOL_EMPTY', `no ${what} is left to choose from`, {
      hint: `Give one with ${flag}, or remove networks that nobody needs.`,
    });
  }

  #holderOf(vni: number): string | undefined {
    const { networks, apart } = this.resolution;
    return [...networks, ...apart].find(({ value }) => value.vni === vni)?.value.name;
  }

  #step(): void {
    clearTimeout(this.#timer);
    this.#isSoon = false;
    try {
      this.#keeper.step(monotonicMs());
    } catch (err) {
      if (!(err instanceof OverlaydError)) throw err;
      this.#options.log.error({ err }, 'networks that others announced could not be kept');
    }
    this.#afterStep();
  }

  #afterStep(): void {
    this.#reporter.check(this.resolution);
    this.#away.note(this.#keeper.uses, monotonicMs());
    this.#options.wrote();
    this.#sleep();
    const now = JSON.stringify(this.list());
    if (now === this.#told) return;
    this.#told = now;
    for (const listener of this.#listeners) listener();
  }

  #sleep(): void {
    if (this.#isSoon) return;
    clearTimeout(this.#timer);
    const waitMs = this.#keeper.nextDeadline() - monotonicMs();
    if (this.#isClosed || !Number.isFinite(waitMs)) return;
    this.#timer = setTimeout(() => this.#step(), Math.max(SOON_MS, waitMs));
  }
}

export function definitionOf({ id, value, made }: ResolvedNetwork): NetworkDefinition {
  const { ipv4, ipv6 } = subnetsOf(value);
  const origin = value.made ?? made?.made;
  const [gateway, gateway6] = value.gateway.includes(':') ? ['', value.gateway] : [value.gateway, ''];
  const other6 = value.made?.gateway6 ?? '';
  return {
    id,
    name: value.name,
    vni: value.vni,
    ...(ipv4 !== undefined && { subnet: ipv4 }),
    ...(ipv6 !== undefined && { subnet6: ipv6 }),
    ...(gateway !== '' && { gateway }),
    ...(gateway6 + other6 !== '' && { gateway6: gateway6 || other6 }),
    mtu: value.mtu,
    encrypted: value.encrypted,
    internal: origin?.internal ?? false,
    labels: origin?.labels ?? {},
    createdBy: origin?.creator ?? '',
  };
}

function sameOrThrow(spec: NetworkSpec, standing: NetworkDefinition): NetworkDefinition {
  const different = differences(spec, standing);
  if (different.length === 0) return standing;
  const message = `there is a network "${spec.name}" already, and its ${different.join('; its ')}`;
  throw new OverlaydError('OVL_NETWORK_EXISTS', message, {
    hint: 'Take it as it is, remove it first, or choose another name.',
  });
}

function inUse(name: string, uses: readonly NetworkUse[]): OverlaydError {
  const lines = uses.map(describeUse);
  return new OverlaydError(
    'OVL_NETWORK_IN_USE',
    `network "${name}" is in use:\n    ${lines.join('\n    ')}`,
    {
      hint:
        'Stop these containers, and detach it where it is attached ("overlayd networks detach"); or give --force, which ' +
        'removes the network on every host and cuts all of them off it: their interfaces on it go.',
      details: { uses },
    },
  );
}

function useOf({ owner, id, endpoints, names, isAttached }: HostUse, away: boolean): NetworkUse {
  const count = id === undefined ? {} : { endpoints };
  return { host: owner, ...count, names: [...names], attached: isAttached, away };
}
