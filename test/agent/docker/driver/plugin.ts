/** The plugin with everything around it in memory, and Docker's side of the conversation as it was recorded. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SeededRng } from '../../../../proto/rng.ts';
import { networkSchema } from '../../../../agent/docker/client/schemas.ts';
import type { DockerNetwork } from '../../../../agent/docker/client/schemas.ts';
import { Book } from '../../../../agent/docker/driver/book.ts';
import type { DriverDeps } from '../../../../agent/docker/driver/deps.ts';
import { IpamDriver } from '../../../../agent/docker/driver/ipam-driver.ts';
import { DockerEndpoints } from '../../../../agent/docker/driver/docker-endpoints.ts';
import { DockerNetworks } from '../../../../agent/docker/driver/docker-networks.ts';
import { DockerReconciler } from '../../../../agent/docker/driver/reconcile.ts';
import { Resolver } from '../../../../agent/docker/driver/resolver.ts';
import { buildPlugin } from '../../../../agent/docker/driver/server.ts';
import { recordingLog } from '../../../agent/recording-log.ts';
import type { Line } from '../../../agent/recording-log.ts';
import { FakeAddresses, FakeNetworks } from './fakes.ts';

export type Json = Readonly<Record<string, unknown>>;

export interface CreateOptions {
  readonly subnet?: string;
  /** Empty: IPv6 without a subnet given. */
  readonly subnet6?: string;
  readonly gateway?: string;
  readonly gateway6?: string;
  readonly aux?: Readonly<Record<string, string>>;
  readonly options?: Readonly<Record<string, string>>;
  readonly ipamOptions?: Readonly<Record<string, string>>;
  readonly internal?: boolean;
  readonly driver?: string;
}

export class PluginScene {
  readonly networks = new FakeNetworks();
  readonly addresses = new FakeAddresses(this.networks);
  /** Networks that Docker's API shows, by ID. */
  readonly shown = new Map<string, DockerNetwork>();
  readonly file = join(mkdtempSync(join(tmpdir(), 'ovd-book-')), 'docker.jsonl');
  readonly lines: Line[];
  isDockerThere = true;
  /** Docker answers a question about a network after this. */
  pace: () => Promise<void> = () => Promise.resolve();
  nowMs = 1_000_000;
  scope: 'local' | 'global' = 'local';
  sealingProblem: string | undefined;
  book!: Book;
  reconciler!: DockerReconciler;
  #app!: ReturnType<typeof buildPlugin>;
  #resolver: Resolver | undefined;
  #networks: DockerNetworks | undefined;
  readonly #log: DriverDeps['log'];
  #ids = 0;

  constructor() {
    const { log, lines } = recordingLog();
    this.#log = log;
    this.lines = lines;
    this.start();
  }

  /** Also after a kill -9: only the file is what it was. */
  start(): void {
    this.#resolver?.close();
    this.book = new Book(this.file, this.#log);
    const ask = <T>(value: T): Promise<T> =>
      this.isDockerThere ? Promise.resolve(value) : Promise.reject(new Error('Docker is away'));
    const deps: DriverDeps = {
      book: this.book,
      networks: this.networks,
      addresses: this.addresses,
      docker: {
        network: async (id) => {
          await this.pace();
          return ask(this.shown.get(id));
        },
        networks: () => ask([...this.shown.values()]),
      },
      driverName: 'overlayd',
      scope: this.scope,
      sealingProblem: this.sealingProblem,
      rng: new SeededRng(7),
      now: () => this.nowMs,
      log: this.#log,
    };
    this.#resolver = new Resolver(deps);
    const endpoints = new DockerEndpoints(deps, this.#resolver);
    const ipam = new IpamDriver(deps, this.#resolver, endpoints);
    const networks = new DockerNetworks(deps, this.#resolver, endpoints, ipam);
    this.#networks?.close();
    this.#networks = networks;
    this.reconciler = new DockerReconciler(deps, { networks, endpoints, ipam, resolver: this.#resolver });
    this.#app = buildPlugin({ networks, endpoints, ipam, scope: this.scope }, this.#log);
  }

  close(): void {
    this.#resolver?.close();
    this.#networks?.close();
    this.book.close();
  }

  async raw(method: string, payload: string): Promise<{ status: number; body: Json }> {
    const response = await this.#app.inject({ method: 'POST', url: `/${method}`, payload });
    return { status: response.statusCode, body: response.json() };
  }

  /** Throws Docker's text of the failure. */
  async call<T = Json>(method: string, request: Json = {}): Promise<T> {
    const { status, body } = await this.raw(method, JSON.stringify(request));
    if (status !== 200) throw new Error(String(body['Err']));
    return body as T;
  }

  id(): string {
    return String(++this.#ids).padStart(64, 'a');
  }

  /** `docker network create`; returns the network's ID. On failure, what was had is given back, as Docker does. */
  async createNetwork(name: string, given: CreateOptions = {}): Promise<string> {
    const id = this.id();
    const pools: { PoolID: string; Pool: string; Gateway: string; aux: string[] }[] = [];
    const release = async (): Promise<void> => {
      for (const { PoolID, Gateway, aux } of pools) {
        for (const address of [Gateway, ...aux]) {
          await this.call('IpamDriver.ReleaseAddress', { PoolID, Address: address.split('/')[0] });
        }
        await this.call('IpamDriver.ReleasePool', { PoolID });
      }
    };
    try {
      const families = given.subnet6 === undefined ? [false] : [false, true];
      for (const V6 of families) {
        const pool = await this.call<{ PoolID: string; Pool: string }>('IpamDriver.RequestPool', {
          AddressSpace: 'overlayd-local',
          Pool: (V6 ? given.subnet6 : given.subnet) ?? '',
          SubPool: '',
          Options: given.ipamOptions ?? {},
          V6,
        });
        const { Address: Gateway } = await this.call<{ Address: string }>('IpamDriver.RequestAddress', {
          PoolID: pool.PoolID,
          Address: (V6 ? given.gateway6 : given.gateway) ?? '',
          Options: { RequestAddressType: 'com.docker.network.gateway' },
        });
        const entry = { ...pool, Gateway, aux: [] as string[] };
        pools.push(entry);
        for (const address of V6 ? [] : Object.values(given.aux ?? {})) {
          await this.call('IpamDriver.RequestAddress', {
            PoolID: pool.PoolID,
            Address: address,
            Options: null,
          });
          entry.aux.push(address);
        }
      }
      const data = pools.map(({ Pool, Gateway }) => ({ AddressSpace: 'overlayd-local', Pool, Gateway }));
      if (given.driver === undefined) {
        await this.call('NetworkDriver.CreateNetwork', {
          NetworkID: id,
          Options: {
            'com.docker.network.enable_ipv6': given.subnet6 !== undefined,
            ...(given.internal === true && { 'com.docker.network.internal': true }),
            'com.docker.network.generic': given.options ?? {},
          },
          IPv4Data: data.slice(0, 1),
          IPv6Data: data.slice(1),
        });
      }
      this.show(id, name, {
        Driver: given.driver ?? 'overlayd',
        Internal: given.internal ?? false,
        Options: given.options ?? {},
        IPAM: {
          Driver: 'overlayd',
          Config: pools.map(({ Pool, Gateway }) => ({ Subnet: Pool, Gateway: Gateway.split('/')[0] })),
        },
      });
      this.pools.set(
        id,
        pools.map(({ PoolID }) => PoolID),
      );
      return id;
    } catch (error) {
      await release();
      throw error;
    }
  }

  /** Pools by network, as Docker remembers them. */
  readonly pools = new Map<string, string[]>();

  show(id: string, name: string, more: object = {}): void {
    this.shown.set(id, networkSchema.parse({ Id: id, Name: name, ...more }));
  }

  /** `docker network rm`. */
  /** One whose addresses Docker's own IPAM gives out. */
  async createNetworkOfDocker(name: string): Promise<string> {
    const id = this.id();
    this.show(id, name);
    await this.call('NetworkDriver.CreateNetwork', {
      NetworkID: id,
      Options: {},
      IPv4Data: [{ AddressSpace: 'LocalDefault', Pool: '10.55.0.0/24', Gateway: '10.55.0.1/24' }],
      IPv6Data: [],
    });
    return id;
  }

  async removeNetwork(id: string): Promise<void> {
    for (const PoolID of this.pools.get(id) ?? []) {
      for (const { ip } of this.book.addresses(PoolID)) {
        await this.call('IpamDriver.ReleaseAddress', { PoolID, Address: ip });
      }
      await this.call('IpamDriver.ReleasePool', { PoolID });
    }
    this.shown.delete(id);
    await this.call('NetworkDriver.DeleteNetwork', { NetworkID: id });
  }

  /** What a starting container asks for, up to and with Join. */
  async startContainer(
    network: string,
    given: {
      readonly ip?: string;
      readonly mac?: string;
      readonly sandbox?: string;
      /** Of `-p`, as Docker says them. */
      readonly ports?: readonly Json[];
    } = {},
  ): Promise<{ endpoint: string; address: string; mac: string; joined: Json }> {
    const [PoolID = ''] = this.pools.get(network) ?? [];
    const { Address } = await this.call<{ Address: string }>('IpamDriver.RequestAddress', {
      PoolID,
      Address: given.ip ?? '',
      Options: null,
    });
    const endpoint = this.id();
    const key = { NetworkID: network, EndpointID: endpoint };
    const ports = {
      'com.docker.network.endpoint.exposedports': (given.ports ?? []).map(({ Proto, Port }) => ({
        Proto,
        Port,
      })),
      'com.docker.network.portmap': given.ports ?? [],
    };
    const made = await this.call<{ Interface?: { MacAddress: string } }>('NetworkDriver.CreateEndpoint', {
      ...key,
      Interface: { Address, AddressIPv6: '', MacAddress: given.mac ?? '' },
      Options: ports,
    });
    const joined = await this.call('NetworkDriver.Join', {
      ...key,
      SandboxKey: given.sandbox ?? '/run/docker/netns/1089eac5f408',
      Options: ports,
    });
    await this.call('NetworkDriver.ProgramExternalConnectivity', { ...key, Options: ports });
    const shown = this.shown.get(network);
    const mac = made.Interface?.MacAddress ?? given.mac ?? '';
    if (shown !== undefined) {
      shown.Containers[endpoint] = {
        Name: `c${endpoint.slice(-3)}`,
        EndpointID: endpoint,
        MacAddress: mac,
        IPv4Address: Address,
        IPv6Address: '',
      };
    }
    return { endpoint, address: Address.split('/')[0] ?? '', mac, joined };
  }

  async stopContainer(network: string, container: { endpoint: string; address: string }): Promise<void> {
    const key = { NetworkID: network, EndpointID: container.endpoint };
    await this.call('NetworkDriver.RevokeExternalConnectivity', key);
    await this.call('NetworkDriver.Leave', key);
    await this.call('NetworkDriver.DeleteEndpoint', key);
    delete this.shown.get(network)?.Containers[container.endpoint];
    const [PoolID = ''] = this.pools.get(network) ?? [];
    await this.call('IpamDriver.ReleaseAddress', { PoolID, Address: container.address });
  }
}
