/** Networks and addresses in memory, as strict as the real ones about what the driver may do with them. */
import type { DriverAddresses } from '../../../../agent/docker/driver/deps.ts';
import { addressOf, lengthOf } from '../../../../agent/docker/driver/subnets.ts';
import type { OpenedTap } from '../../../../agent/dataplane/dataplane.ts';
import { OverlaydError } from '../../../../agent/errors.ts';
import type {
  EndpointSpec,
  MacInfo,
  NetworkDefinition,
  NetworkSpec,
  Networks,
} from '../../../../agent/networks/interface.ts';

export class FakeNetworks implements Networks {
  readonly definitions = new Map<string, NetworkDefinition>();
  readonly taps = new Map<string, EndpointSpec>();
  /** What was said of MACs. */
  readonly said = new Map<string, MacInfo>();
  /** The next addEndpoint fails with it. */
  failure: OverlaydError | undefined;
  /** Endpoints that cannot be removed. */
  readonly stuck = new Map<string, OverlaydError>();
  /** Hears the name of a network that is removed. */
  onRemoved: (name: string) => void = () => undefined;
  readonly #gone = new Set<string>();
  #made = 0;

  list(): NetworkDefinition[] {
    return [...this.definitions.values()];
  }

  find(nameOrId: string): NetworkDefinition | undefined {
    return this.list().find(({ id, name }) => id === nameOrId || name === nameOrId);
  }

  isGone(id: string): boolean {
    return this.#gone.has(id);
  }

  create(spec: NetworkSpec): Promise<NetworkDefinition> {
    if (this.find(spec.name) !== undefined) throw new Error(`${spec.name} is there`);
    const number = ++this.#made;
    // As in definitions.ts: with one family given, the other is not wanted; and no gateway is chosen.
    const isChosen = spec.subnet === undefined && spec.subnet6 === undefined;
    const definition: NetworkDefinition = {
      id: String(number).padStart(32, '0'),
      vni: 5000 + number,
      mtu: 1450,
      encrypted: false,
      internal: false,
      labels: {},
      createdBy: 'here',
      ...(isChosen && { subnet: `10.20${number}.0.0/16` }),
      ...spec,
    };
    this.definitions.set(definition.id, definition);
    return Promise.resolve(definition);
  }

  remove(nameOrId: string, { force }: { readonly force: boolean }): Promise<void> {
    const found = this.find(nameOrId);
    if (found === undefined) throw new Error(`no ${nameOrId}`);
    for (const { id, network } of this.taps.values()) {
      if (network !== found.id) continue;
      if (!force) throw new OverlaydError('OVL_NETWORK_BUSY', 'in use');
      this.taps.delete(id);
    }
    this.definitions.delete(found.id);
    this.#gone.add(found.id);
    this.onRemoved(found.name);
    return Promise.resolve();
  }

  addEndpoint(spec: EndpointSpec): Promise<OpenedTap> {
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) return Promise.reject(failure);
    if (this.find(spec.network) === undefined) return Promise.reject(new Error(`no network ${spec.network}`));
    this.taps.set(spec.id, spec);
    return Promise.resolve({ name: spec.ifName, mtu: 1450, offload: true, udpOffload: true, existed: false });
  }

  removeEndpoint(id: string): Promise<void> {
    const failure = this.stuck.get(id);
    if (failure !== undefined) return Promise.reject(failure);
    this.taps.delete(id);
    return Promise.resolve();
  }

  endpoints(): EndpointSpec[] {
    return [...this.taps.values()];
  }

  describeMac(_network: string, mac: string, info: MacInfo | undefined): void {
    if (info === undefined) this.said.delete(mac);
    else this.said.set(mac, info);
  }

  onChange(): void {
    // Nothing changes but by the one who asks.
  }
}

export class FakeAddresses implements DriverAddresses {
  readonly held = new Set<string>();
  /** The first that is given out. */
  first = 2;
  /** Belong to other hosts. */
  readonly foreign = new Set<string>();
  readonly #networks: FakeNetworks;

  constructor(networks: FakeNetworks) {
    this.#networks = networks;
    // With a network all claims on its addresses go.
    networks.onRemoved = (name) => {
      for (const key of this.held) if (key.startsWith(`${name} `)) this.held.delete(key);
    };
  }

  request(
    id: string,
    options: { readonly address?: string; readonly family: 4 | 6; readonly purpose?: string },
  ): Promise<string> {
    const network = this.#networks.find(id);
    const subnet = options.family === 4 ? network?.subnet : network?.subnet6;
    if (network === undefined || subnet === undefined) return Promise.reject(new Error(`no subnet of ${id}`));
    const take = (ip: string): Promise<string> => {
      this.held.add(`${network.name} ${ip}`);
      return Promise.resolve(`${ip}/${lengthOf(subnet)}`);
    };
    const isFree = (ip: string): boolean =>
      ip !== network.gateway &&
      ip !== network.gateway6 &&
      !this.held.has(`${network.name} ${ip}`) &&
      !this.foreign.has(ip);
    if (options.address !== undefined) {
      if (isFree(options.address)) return take(options.address);
      return Promise.reject(new OverlaydError('OVL_ADDRESS_TAKEN', `${options.address} is taken`));
    }
    const start = addressOf(subnet).replace(/0$/, '');
    for (let last = this.first; last < 250; last++)
      if (isFree(`${start}${last}`)) return take(`${start}${last}`);
    return Promise.reject(new OverlaydError('OVL_ADDRESSES_EXHAUSTED', 'no address is left'));
  }

  release(id: string, address: string): Promise<void> {
    const name = this.#networks.find(id)?.name;
    if (name !== undefined && !this.held.delete(`${name} ${address}`))
      throw new Error(`${address} was not held`);
    return Promise.resolve();
  }
}
