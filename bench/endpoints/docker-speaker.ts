/** Docker's side of the plugin protocol, over the plugin's socket: the calls of a network's and a container's life. */
import { randomBytes } from 'node:crypto';
import { Pool } from 'undici';

export interface SpokenEndpoint {
  readonly id: string;
  readonly source: string;
  readonly address: string;
  readonly prefix: number;
  readonly mac: string;
}

export class DockerSpeaker {
  readonly #pool: Pool;
  readonly #network = randomBytes(32).toString('hex');
  #poolId = '';

  constructor(socket: string, connections: number) {
    this.#pool = new Pool('http://plugin', { socketPath: socket, connections });
  }

  /** `docker network create -d overlayd --ipam-driver overlayd --subnet … --opt name=…`. */
  async createNetwork(name: string, subnet: string): Promise<void> {
    const pool = await this.#call('IpamDriver.RequestPool', {
      AddressSpace: 'overlayd-local',
      Pool: subnet,
      SubPool: '',
      Options: { name },
      V6: false,
    });
    this.#poolId = String(pool['PoolID']);
    const gateway = await this.#call('IpamDriver.RequestAddress', {
      PoolID: this.#poolId,
      Address: '',
      Options: { RequestAddressType: 'com.docker.network.gateway' },
    });
    await this.#call('NetworkDriver.CreateNetwork', {
      NetworkID: this.#network,
      Options: { 'com.docker.network.enable_ipv6': false, 'com.docker.network.generic': { name } },
      IPv4Data: [{ AddressSpace: 'overlayd-local', Pool: pool['Pool'], Gateway: gateway['Address'] }],
      IPv6Data: [],
    });
  }

  /** What a starting container asks for, up to and with Join. */
  async startEndpoint(sandbox: string): Promise<SpokenEndpoint> {
    const id = randomBytes(32).toString('hex');
    const key = { NetworkID: this.#network, EndpointID: id };
    const given = await this.#call('IpamDriver.RequestAddress', {
      PoolID: this.#poolId,
      Address: '',
      Options: null,
    });
    const [address = '', prefix = ''] = String(given['Address']).split('/');
    const made = await this.#call('NetworkDriver.CreateEndpoint', {
      ...key,
      Interface: { Address: given['Address'], AddressIPv6: '', MacAddress: '' },
      Options: { 'com.docker.network.endpoint.exposedports': [], 'com.docker.network.portmap': [] },
    });
    const joined = await this.#call('NetworkDriver.Join', { ...key, SandboxKey: sandbox, Options: {} });
    const { SrcName: source } = joined['InterfaceName'] as { SrcName: string };
    const { MacAddress: mac } = made['Interface'] as { MacAddress: string };
    return { id, source, address, prefix: Number(prefix), mac };
  }

  /** What a container that ends asks for. */
  async stopEndpoint({ id, address }: SpokenEndpoint): Promise<void> {
    const key = { NetworkID: this.#network, EndpointID: id };
    await this.#call('NetworkDriver.Leave', key);
    await this.#call('NetworkDriver.DeleteEndpoint', key);
    await this.#call('IpamDriver.ReleaseAddress', { PoolID: this.#poolId, Address: address });
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }

  async #call(method: string, request: object): Promise<Record<string, unknown>> {
    const { statusCode, body } = await this.#pool.request({
      method: 'POST',
      path: `/${method}`,
      body: JSON.stringify(request),
      headersTimeout: 60_000,
    });
    const answer = (await body.json()) as Record<string, unknown>;
    if (statusCode !== 200) throw new Error(`${method}: ${String(answer['Err'])}`);
    return answer;
  }
}
