/** What Docker says of its networks and containers, asked over its socket. Reads only. */
import { readFileSync, readdirSync } from 'node:fs';
import { request } from 'node:http';

export interface DockerNetwork {
  readonly name: string;
  readonly driver: string;
  readonly options: Readonly<Record<string, string>>;
  readonly ipam: readonly {
    readonly subnet: string | undefined;
    readonly gateway: string | undefined;
    readonly ipRange: string | undefined;
  }[];
}

/** A container's place on one network. */
export interface DockerEndpoint {
  readonly container: string;
  readonly network: string;
  readonly mac: string;
  readonly ips: readonly string[];
  /** Of its interface; undefined where that cannot be seen. */
  readonly mtu: number | undefined;
}

export interface DockerFacts {
  /** Undefined: this daemon takes no part in a swarm. */
  readonly swarmDataPort: number | undefined;
  readonly networks: readonly DockerNetwork[];
  readonly endpoints: readonly DockerEndpoint[];
}

const ANSWER_TIMEOUT_MS = 5_000;
const ANSWER_MAX_BYTES = 32 << 20;
/** Enough to see a pattern; a host with thousands is not questioned for minutes. */
const CONTAINERS_MAX = 256;
const SWARM_DATA_PORT = 4789;

/** Rejects with the error of the connection, or with what Docker answered. */
export async function readDocker(socketPath: string): Promise<DockerFacts> {
  const info = fields(await get(socketPath, '/info'));
  const networks = list(await get(socketPath, '/networks')).map(networkOf);
  const running = list(await get(socketPath, '/containers/json')).slice(0, CONTAINERS_MAX);
  const endpoints: DockerEndpoint[] = [];
  for (const { Id: id } of running) {
    // It may be gone by now.
    const container = await get(socketPath, `/containers/${text(id)}/json`).catch(() => undefined);
    if (container !== undefined) endpoints.push(...endpointsOf(fields(container)));
  }
  return { swarmDataPort: swarmPort(fields(info['Swarm'])), networks, endpoints };
}

function swarmPort(swarm: Fields): number | undefined {
  if (swarm['LocalNodeState'] !== 'active') return undefined;
  const port = fields(swarm['Cluster'])['DataPathPort'];
  return typeof port === 'number' && port > 0 ? port : SWARM_DATA_PORT;
}

function networkOf(network: Fields): DockerNetwork {
  const options = Object.entries(fields(network['Options'])).map(([key, value]) => [key, text(value)]);
  return {
    name: text(network['Name']),
    driver: text(network['Driver']),
    options: Object.fromEntries(options) as Record<string, string>,
    ipam: list(fields(network['IPAM'])['Config']).map((config) => ({
      subnet: text(config['Subnet']) || undefined,
      gateway: text(config['Gateway']) || undefined,
      ipRange: text(config['IPRange']) || undefined,
    })),
  };
}

function endpointsOf(container: Fields): DockerEndpoint[] {
  const pid = fields(container['State'])['Pid'];
  const networks = fields(fields(container['NetworkSettings'])['Networks']);
  return Object.entries(networks).map(([network, value]) => {
    const endpoint = fields(value);
    const mac = text(endpoint['MacAddress']);
    return {
      container: text(container['Name']).replace(/^\//, ''),
      network,
      mac,
      ips: [text(endpoint['IPAddress']), text(endpoint['GlobalIPv6Address'])].filter((ip) => ip !== ''),
      mtu: typeof pid === 'number' && pid > 0 ? mtuInside(pid, mac) : undefined,
    };
  });
}

/** A container's own /sys shows its interfaces; who may look through /proc sees it. */
function mtuInside(pid: number, mac: string): number | undefined {
  const folder = `/proc/${pid}/root/sys/class/net`;
  try {
    for (const name of readdirSync(folder)) {
      if (readFileSync(`${folder}/${name}/address`, 'utf8').trim() === mac)
        return Number(readFileSync(`${folder}/${name}/mtu`, 'utf8'));
    }
  } catch {
    return undefined;
  }
  return undefined;
}

function get(socketPath: string, path: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, agent: false, timeout: ANSWER_TIMEOUT_MS });
    asked.once('timeout', () => asked.destroy(new Error('Docker does not answer')));
    asked.once('error', reject);
    asked.once('response', (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
        if (body.length > ANSWER_MAX_BYTES) asked.destroy(new Error('Docker answers too much'));
      });
      response.once('error', reject);
      response.once('end', () => {
        if (response.statusCode !== 200) {
          reject(new Error(`Docker answers ${path} with HTTP ${response.statusCode}`));
          return;
        }
        try {
          resolve(JSON.parse(body));
        } catch {
          reject(new Error(`Docker answers ${path} with no JSON`));
        }
      });
    });
    asked.end();
  });
}

type Fields = Readonly<Record<string, unknown>>;

// Whatever stands behind the socket: what is not of the right kind is empty.
const fields = (value: unknown): Fields =>
  typeof value === 'object' && value !== null ? (value as Fields) : {};
const list = (value: unknown): Fields[] => (Array.isArray(value) ? value.map(fields) : []);
const text = (value: unknown): string => (typeof value === 'string' ? value : '');
