/**
 * Endpoints of this host with a TAP of their own each: opened, announced at once, kept over a restart.
 *
 * File first, then the TAP, then the word to the cluster; and back the other way.
 */
import { parseMac } from '../../proto/state/values/mac.ts';
import { canonicalIp, canonicalMac } from '../config/address.ts';
import type { Reconciler } from '../control/reconciler.ts';
import type { OpenedTap } from '../dataplane/dataplane.ts';
import { OverlaydError } from '../errors.ts';
import { interfaceIndex, isInterfaceName } from '../io/ifreq.ts';
import type { HostPort, HostPorts } from './host-ports.ts';
import type { EndpointSpec } from './interface.ts';
import type { JoinedNetwork, JoinedNetworks } from './joined.ts';
import type { LocalFiles } from './local-files.ts';

export interface LocalEndpointOptions {
  readonly joined: JoinedNetworks;
  readonly files: Pick<LocalFiles, 'writeEndpoint' | 'removeEndpoint'>;
  readonly ports: Pick<HostPorts, 'open' | 'close' | 'sweep' | 'isHeld'>;
  readonly reconciler: Pick<Reconciler, 'say' | 'takeBack'>;
  /** What somebody else calls a MAC of that network: said once, it has to be there whenever the endpoint is announced. */
  readonly nameOf: (network: string, mac: string) => string | undefined;
}

interface Endpoint {
  spec: EndpointSpec;
  readonly mac: number;
  /** Of its network. */
  readonly index: number;
  /** undefined: its TAP is not to be found, or was deleted. */
  tap: HostPort | undefined;
}

/** What one container's interface may be seen to send from. */
const MACS_MAX = 16;

export class LocalEndpoints {
  readonly #options: LocalEndpointOptions;
  readonly #byId = new Map<string, Endpoint>();
  readonly #byIndex = new Map<number, Set<Endpoint>>();
  readonly #byTap = new Map<string, Endpoint>();
  /** Of an earlier run, on networks that cannot be joined yet. */
  #waiting: readonly EndpointSpec[] = [];

  constructor(options: LocalEndpointOptions) {
    this.#options = options;
  }

  specs(): EndpointSpec[] {
    return [...Array.from(this.#byId.values(), ({ spec }) => spec), ...this.#waiting];
  }

  get(id: string): EndpointSpec | undefined {
    return this.#byId.get(id)?.spec;
  }

  isOn(index: number): boolean {
    return this.#byIndex.has(index);
  }

  on(index: number): readonly { readonly spec: EndpointSpec; readonly mac: number }[] {
    return [...(this.#byIndex.get(index) ?? [])];
  }

  /** The endpoint that has a TAP of this name. */
  withTap(ifName: string): EndpointSpec | undefined {
    return this.#byTap.get(ifName)?.spec;
  }

  get waiting(): readonly EndpointSpec[] {
    return this.#waiting;
  }

  set waiting(waiting: readonly EndpointSpec[]) {
    this.#waiting = waiting;
  }

  /** Throws OverlaydError; nothing is left then. */
  add(network: JoinedNetwork, spec: EndpointSpec): OpenedTap {
    const other = this.#byTap.get(spec.ifName);
    if (other !== undefined) {
      throw new OverlaydError('OVL_TAP_BUSY', `TAP ${spec.ifName} is that of endpoint ${other.spec.id}`, {
        hint: 'Choose another interface name.',
      });
    }
    const endpoint = this.#enter(network, { ...spec, network: network.id });
    try {
      this.#options.files.writeEndpoint(endpoint.spec);
      return this.#open(network, endpoint);
    } catch (error) {
      this.#forget(endpoint);
      throw error;
    }
  }

  /** The caller says it again: after a restart it may know better where the TAP is. Throws OverlaydError. */
  again(network: JoinedNetwork | undefined, wanted: EndpointSpec): OpenedTap {
    const known = this.#byId.get(wanted.id)!;
    const { spec } = known;
    if (network === undefined || network.index !== known.index || core(spec) !== core(wanted)) {
      const message = `there is an endpoint ${wanted.id} already, and it is another one`;
      throw new OverlaydError('OVL_ENDPOINT_EXISTS', message, { hint: 'Remove it first.' });
    }
    if (spec.netns !== wanted.netns || spec.name !== wanted.name) {
      known.spec = { ...wanted, network: spec.network };
      this.#options.files.writeEndpoint(known.spec);
    }
    return known.tap?.opened ?? this.#open(network, known);
  }

  /** Of an earlier run: kept also when it cannot be opened now. Throws OverlaydError then. */
  retake(network: JoinedNetwork, spec: EndpointSpec): void {
    const endpoint = this.#enter(network, spec);
    const { ports } = this.#options;
    const { netns, ifName } = spec;
    // Else it is in a container, and whoever put it there says where; or it was never made.
    const isToBeFound = ports.isHeld(ifName) || netns !== undefined || interfaceIndex(ifName) !== undefined;
    if (isToBeFound) this.#open(network, endpoint);
  }

  /** Throws OverlaydError while its TAP cannot be taken away: it is not forgotten then. */
  async remove(id: string): Promise<void> {
    const endpoint = this.#byId.get(id);
    if (endpoint === undefined) return this.#removeWaiting(id);
    const { tap } = endpoint;
    endpoint.tap = undefined;
    this.#takeBack(endpoint);
    if (tap === undefined) await this.#sweep(endpoint.spec.ifName);
    else await this.#options.ports.close(tap.port);
    this.#forget(endpoint);
  }

  /** Its network has another VNI now. */
  sayAgain(network: JoinedNetwork): void {
    for (const endpoint of this.#byIndex.get(network.index) ?? []) {
      if (endpoint.tap !== undefined) this.#say(network, endpoint);
    }
  }

  /** Its name, when the port was one of these: it is no more announced. */
  gone(port: number): string | undefined {
    const endpoint = [...this.#byId.values()].find(({ tap }) => tap?.port === port);
    if (endpoint === undefined) return undefined;
    endpoint.tap = undefined;
    this.#takeBack(endpoint);
    return endpoint.spec.ifName;
  }

  async #removeWaiting(id: string): Promise<void> {
    const spec = this.#waiting.find((each) => each.id === id);
    if (spec === undefined) return;
    await this.#sweep(spec.ifName);
    this.#waiting = this.#waiting.filter((each) => each !== spec);
    this.#options.files.removeEndpoint(id);
  }

  async #sweep(tap: string): Promise<void> {
    if (await this.#options.ports.sweep(tap)) return;
    throw new OverlaydError('OVL_TAP_BUSY', `TAP ${tap} cannot be taken away: it is in use`, {
      hint: 'Stop the process that has it, or wait for its end.',
    });
  }

  #enter(network: JoinedNetwork, spec: EndpointSpec): Endpoint {
    const { index } = network;
    const endpoint: Endpoint = { spec, mac: parseMac(spec.mac), index, tap: undefined };
    this.#byId.set(spec.id, endpoint);
    this.#byTap.set(spec.ifName, endpoint);
    const on = this.#byIndex.get(index);
    if (on === undefined) this.#byIndex.set(index, new Set([endpoint]));
    else on.add(endpoint);
    return endpoint;
  }

  #forget(endpoint: Endpoint): void {
    const { spec, index } = endpoint;
    this.#options.files.removeEndpoint(spec.id);
    this.#byId.delete(spec.id);
    this.#byTap.delete(spec.ifName);
    const on = this.#byIndex.get(index);
    if (on?.delete(endpoint) === true && on.size === 0) this.#byIndex.delete(index);
  }

  #open(network: JoinedNetwork, endpoint: Endpoint): OpenedTap {
    const { mac, spec } = endpoint;
    const { ifName: name, ips, netns } = spec;
    const binding = { mac, ips };
    const rest = { name, macQuota: MACS_MAX, reflect: false, binding };
    endpoint.tap = this.#options.ports.open(network, { ...rest, ...(netns !== undefined && { netns }) });
    this.#say(network, endpoint);
    return endpoint.tap.opened;
  }

  #say({ vni, name: network }: JoinedNetwork, { mac, spec }: Endpoint): void {
    const name = spec.name ?? this.#options.nameOf(network, spec.mac) ?? '';
    this.#options.reconciler.say(vni, mac, { ips: spec.ips, name });
  }

  #takeBack({ index, mac }: Endpoint): void {
    const network = this.#options.joined.byIndex(index);
    if (network !== undefined) this.#options.reconciler.takeBack(network.vni, mac);
  }
}

/** Canonical. Throws OverlaydError. */
export function checkedEndpoint(spec: EndpointSpec): EndpointSpec {
  const mac = canonicalMac(spec.mac);
  const ips = spec.ips.map(canonicalIp).filter((ip) => ip !== undefined);
  const isGood = ips.length === spec.ips.length && isInterfaceName(spec.ifName) && spec.id !== '';
  if (mac !== undefined && isGood) return { ...spec, mac, ips };
  const message = `endpoint ${JSON.stringify(spec.id)} has a bad MAC, address or interface`;
  throw new OverlaydError('OVL_ENDPOINT_INVALID', message, {
    hint: `Given were ${spec.mac}, ${spec.ips.join(' ') || 'no address'} and ${spec.ifName}.`,
    exitCode: 2,
  });
}

/** What makes an endpoint the same. */
function core({ ifName, mac, ips }: EndpointSpec): string {
  return JSON.stringify([ifName, mac, ips]);
}
