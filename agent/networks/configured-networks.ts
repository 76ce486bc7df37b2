/**
 * Networks that come into the configuration, leave it or change in it while the daemon runs (SIGHUP).
 *
 * Everything is checked before anything changes. What came is joined and gets its TAP at once, and is undone when something
 * fails; what then is left to do cannot fail. All of it happens in one turn, so that nothing comes between check and deed.
 */
import { existsSync } from 'node:fs';
import { macText } from '../../proto/state/values/mac.ts';
import { monotonicMs } from '../clock.ts';
import type { NetworkChanges } from '../config/network-changes.ts';
import { networkChanges } from '../config/network-changes.ts';
import type { NetworkConfig } from '../config/run-config.ts';
import { announceConfigured } from '../control/announce.ts';
import type { Reconciler } from '../control/reconciler.ts';
import type { Dataplane, OpenedTap } from '../dataplane/dataplane.ts';
import { OverlaydError } from '../errors.ts';
import { interfaceIndex, interfaceMac } from '../io/ifreq.ts';
import { childMacs } from '../io/tap-macs.ts';
import type { Log } from '../log.ts';
import type { StateNode } from '../../proto/state/interface.ts';
import type { HostPort, HostPorts } from './host-ports.ts';
import type { JoinedNetwork, JoinedNetworks } from './joined.ts';
import type { LocalNetworks } from './local-networks.ts';

export interface ConfiguredOptions {
  readonly networks: readonly NetworkConfig[];
  readonly joined: JoinedNetworks;
  readonly local: Pick<LocalNetworks, 'usesTap' | 'endpointOn'>;
  readonly ports: HostPorts;
  readonly dataplane: Pick<Dataplane, 'taps'>;
  readonly reconciler: Pick<Reconciler, 'locals'>;
  readonly state: Pick<StateNode, 'put'>;
  /** Definitions were written. */
  readonly wrote: () => void;
  readonly macQuota: number;
  readonly log: Log;
}

interface Opened {
  readonly network: NetworkConfig;
  readonly joined: JoinedNetwork;
  readonly port: HostPort;
}

export class ConfiguredNetworks {
  readonly #options: ConfiguredOptions;
  #networks: readonly NetworkConfig[];

  constructor(options: ConfiguredOptions) {
    this.#options = options;
    this.#networks = options.networks;
  }

  has(name: string): boolean {
    return this.#networks.some((network) => network.name === name);
  }

  tapOf(name: string): OpenedTap | undefined {
    const { joined, dataplane } = this.#options;
    const port = joined.portOf(this.#joinedBy(name).index);
    return port === undefined ? undefined : dataplane.taps.get(port);
  }

  /**
   * Throws OverlaydError; nothing has changed then. What was added is there already; the rest is done by `commit`, to be
   * called in the same turn. It resolves when the TAPs that go are gone.
   */
  prepare(wanted: readonly NetworkConfig[]): { readonly commit: () => Promise<void> } {
    const changes = networkChanges(this.#networks, wanted);
    for (const network of changes.added) this.#refuseTaken(network);
    for (const network of changes.removed) this.#refuseIfUsed(network);
    const opened = this.#openAll(changes.added);
    return { commit: () => this.#commit(wanted, changes, opened) };
  }

  async #commit(
    wanted: readonly NetworkConfig[],
    { removed, changed }: NetworkChanges,
    opened: readonly Opened[],
  ): Promise<void> {
    const { joined, state, wrote, log } = this.#options;
    const leaving = removed.map((network) => this.#leave(network));
    for (const network of changed) {
      const here = this.#joinedBy(network.name);
      joined.change(here.index, network);
      announceConfigured(monotonicMs(), network, this.tapOf(network.name)?.mtu ?? network.mtu, state);
    }
    for (const { network, port } of opened) {
      const { name, vni } = network;
      announceConfigured(monotonicMs(), network, port.opened.mtu, state);
      const { name: tap, mtu } = port.opened;
      log.info({ network: name, vni, tap, mtu }, 'network of the configuration was added');
    }
    this.#networks = wanted;
    wrote();
    await Promise.all(leaving);
  }

  #openAll(added: readonly NetworkConfig[]): Opened[] {
    const opened: Opened[] = [];
    try {
      for (const network of added) opened.push(this.#open(network));
    } catch (error) {
      for (const { joined, port } of opened) {
        this.#options.joined.leaveConfigured(joined.index);
        void this.#close(port.port, port.opened.name, port.opened.existed);
      }
      this.#options.wrote();
      throw error;
    }
    return opened;
  }

  #open(network: NetworkConfig): Opened {
    const { joined, ports, macQuota } = this.#options;
    const here = joined.joinConfigured(network);
    try {
      const tap = { name: network.tap, macQuota, reflect: true, isNeeded: true };
      const port = ports.open(here, tap);
      joined.setPort(here.index, port.port);
      return { network, joined: here, port };
    } catch (error) {
      joined.leaveConfigured(here.index);
      throw error;
    }
  }

  /** The first half at once, in this turn. */
  #leave({ name, vni, tap }: NetworkConfig): Promise<void> {
    const { joined, log } = this.#options;
    const { index } = this.#joinedBy(name);
    const port = joined.portOf(index);
    // If we made it, it goes.
    const stays = this.tapOf(name)?.existed === true;
    joined.leaveConfigured(index);
    const words = stays
      ? `network was taken out of the configuration; its TAP was there before overlayd started and stays: "ip link del ${tap}" removes it`
      : 'network was taken out of the configuration, and its TAP goes';
    log.info({ network: name, vni, tap }, words);
    return port === undefined ? Promise.resolve() : this.#close(port, tap, stays);
  }

  async #close(port: number, tap: string, stays: boolean): Promise<void> {
    try {
      await this.#options.ports.close(port, stays);
    } catch (err) {
      this.#options.log.warn({ err, tap }, 'a TAP could not be closed');
    }
  }

  #refuseTaken({ name, vni, tap }: NetworkConfig): void {
    const { joined, local } = this.#options;
    if (joined.list().some((other) => other.name === name && other.vni === vni)) {
      throw new OverlaydError('OVL_NETWORK_ATTACHED', `network "${name}" is on this host already`, {
        hint: `Nothing was taken over. Stop its containers and "overlayd networks detach ${name}"; then reload again.`,
      });
    }
    if (!local.usesTap(tap)) return;
    throw new OverlaydError('OVL_TAP_BUSY', `TAP ${tap} of network "${name}" is used already by overlayd`, {
      hint: 'Nothing was taken over. Give it another one with tap=.',
    });
  }

  /** Containers would lose their interface. */
  #refuseIfUsed(network: NetworkConfig): void {
    const { name, tap } = network;
    const which = this.#options.local.endpointOn(this.#joinedBy(name).index) ?? this.#userOf(network);
    if (which === undefined) return;
    throw new OverlaydError(
      'OVL_NETWORK_IN_USE',
      `reload refused: network "${name}" is not in the configuration any more, and containers are on ${tap}, such as ${which}`,
      { hint: `Nothing was taken over. Stop them, or put "${name}" back; then reload again.` },
    );
  }

  /** A MAC that was heard may be that of a container that is gone: what is on the TAP now says the kernel, but for bridges. */
  #userOf({ vni, tap }: NetworkConfig): string | undefined {
    const index = interfaceIndex(tap);
    if (index === undefined) return undefined;
    const children = childMacs(index);
    const most = (children?.length ?? 0) + 1;
    const heard = this.#options.reconciler.locals(vni, most, interfaceMac(tap)).first;
    const isUnclear = children === undefined || existsSync(`/sys/class/net/${tap}/master`);
    const [mac] = [...(children ?? []), ...(isUnclear ? heard.map((local) => local.mac) : [])];
    if (mac === undefined) return undefined;
    const known = heard.find((local) => local.mac === mac);
    return known?.name || known?.ips[0] || macText(mac);
  }

  #joinedBy(name: string): JoinedNetwork {
    return this.#options.joined.list().find((network) => network.isConfigured && network.name === name)!;
  }
}
