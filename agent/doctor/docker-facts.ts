/** What Docker says of its networks and containers, asked over its socket. Reads only. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DockerApi } from '../docker/client/api.ts';
import type {
  DockerContainer,
  DockerInfo,
  DockerNetwork as AnsweredNetwork,
} from '../docker/client/schemas.ts';

export interface DockerSubnet {
  readonly subnet: string | undefined;
  readonly gateway: string | undefined;
  readonly ipRange: string | undefined;
  /** Addresses that it keeps off, by what they were called (--aux-address). */
  readonly reserved: readonly { readonly name: string; readonly ip: string }[];
}

export interface DockerNetwork {
  readonly name: string;
  readonly driver: string;
  readonly options: Readonly<Record<string, string>>;
  readonly ipamDriver: string;
  readonly ipam: readonly DockerSubnet[];
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

/** Of the doctor, somebody waits for the findings. */
const ANSWER_MS = 5_000;
/** Enough to see a pattern; a host with thousands is not questioned for minutes. */
const CONTAINERS_MAX = 256;
const SWARM_DATA_PORT = 4789;

/** Throws OverlaydError. */
export async function readDocker(socketPath: string): Promise<DockerFacts> {
  const docker = new DockerApi(socketPath, ANSWER_MS);
  try {
    const swarmDataPort = swarmPort(await docker.info());
    const networks = (await docker.networks()).map(networkOf);
    const endpoints: DockerEndpoint[] = [];
    for (const id of (await docker.running()).slice(0, CONTAINERS_MAX)) {
      // It may be gone by now, or locked while it starts.
      const container = await docker.container(id).catch(() => undefined);
      if (container !== undefined) endpoints.push(...endpointsOf(container));
    }
    return { swarmDataPort, networks, endpoints };
  } finally {
    await docker.close();
  }
}

function swarmPort({ Swarm: swarm }: DockerInfo): number | undefined {
  if (swarm?.LocalNodeState !== 'active') return undefined;
  return swarm.Cluster?.DataPathPort || SWARM_DATA_PORT;
}

function networkOf({ Name: name, Driver: driver, Options: options, IPAM }: AnsweredNetwork): DockerNetwork {
  return {
    name,
    driver,
    options,
    ipamDriver: IPAM.Driver || 'default',
    ipam: IPAM.Config.map(({ Subnet, Gateway, IPRange, AuxiliaryAddresses }) => ({
      subnet: Subnet || undefined,
      gateway: Gateway || undefined,
      ipRange: IPRange || undefined,
      reserved: Object.entries(AuxiliaryAddresses).map(([label, ip]) => ({ name: label, ip })),
    })),
  };
}

function endpointsOf({ Name, State, NetworkSettings }: DockerContainer): DockerEndpoint[] {
  return Object.entries(NetworkSettings.Networks).map(([network, { MacAddress: mac, ...addresses }]) => ({
    container: Name.replace(/^\//, ''),
    network,
    mac,
    ips: [addresses.IPAddress, addresses.GlobalIPv6Address].filter((ip) => ip !== ''),
    mtu: State.Pid > 0 ? mtuInside(State.Pid, mac) : undefined,
  }));
}

/** A container's own /sys shows its interfaces; who may look through /proc sees it. */
function mtuInside(pid: number, mac: string): number | undefined {
  const folder = join('/proc', String(pid), 'root', 'sys', 'class', 'net');
  try {
    for (const name of readdirSync(folder)) {
      if (readFileSync(join(folder, name, 'address'), 'utf8').trim() === mac)
        return Number(readFileSync(join(folder, name, 'mtu'), 'utf8'));
    }
  } catch {
    return undefined;
  }
  return undefined;
}
