/** Ports of this host while no daemon has them (checklist T2, T3), and whether the seeds answer on theirs. */
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import { formatHostPort, ipFamily } from '../config/address.ts';
import type { Seed } from '../config/run-config.ts';
import { describeHolders, tcpPortHolders, udpPortHolders } from '../io/holders.ts';
import type { Finding } from './finding.ts';

const SEED_PATIENCE_MS = 2_000;
const SEEDS_MAX = 16;
/** Ours is a script: the kernel shows it as node. */
const NAMESAKE = 'overlayd';

export interface Ports {
  readonly advertiseAddr: string;
  readonly dataPathAddr: string;
  readonly gossipPort: number;
  readonly dataPort: number;
  /** Undefined: off. */
  readonly metricsAddr?: { readonly host: string; readonly port: number } | undefined;
}

/** Binds each port for a moment: the kernel's own sockets (a vxlan device) show in no table. */
export async function checkPortsFree(ports: Ports): Promise<Finding[]> {
  const { advertiseAddr, dataPathAddr, gossipPort, dataPort, metricsAddr } = ports;
  const found = await Promise.all([
    udpTrouble(dataPathAddr, dataPort).then((code) => portFinding(code, 'UDP', dataPort, '--data-port')),
    udpTrouble(advertiseAddr, gossipPort).then((code) =>
      portFinding(code, 'UDP', gossipPort, '--gossip-port'),
    ),
    tcpTrouble(advertiseAddr, gossipPort).then((code) =>
      portFinding(code, 'TCP', gossipPort, '--gossip-port'),
    ),
    metricsAddr &&
      tcpTrouble(metricsAddr.host, metricsAddr.port).then((code) =>
        portFinding(code, 'TCP', metricsAddr.port, '--metrics-addr'),
      ),
  ]);
  return found.filter((finding) => finding !== undefined);
}

function portFinding(
  code: string | undefined,
  transport: 'UDP' | 'TCP',
  port: number,
  flag: '--data-port' | '--gossip-port' | '--metrics-addr',
): Finding | undefined {
  const isOfHostAlone = flag === '--metrics-addr';
  if (code === undefined) return undefined;
  if (code !== 'EADDRINUSE') {
    return {
      check: 'port',
      severity: 'error',
      what: `${transport} port ${port} cannot be bound: ${code}`,
      cure:
        code === 'EADDRNOTAVAIL'
          ? `Give an address of this host with ${isOfHostAlone ? flag : '--advertise-addr or --data-path-addr'}.`
          : `Give another port with ${flag}.`,
    };
  }
  const holders = (transport === 'UDP' ? udpPortHolders : tcpPortHolders)(port);
  const who =
    describeHolders(holders) ??
    'no visible process: the kernel itself (a vxlan device), or another container';
  const isNamesake = holders.some(({ command }) => command === NAMESAKE);
  const holder = isNamesake
    ? 'that overlayd, which is not this one (Junos has another of the name: CVE-2021-0254)'
    : isOfHostAlone
      ? 'the holder'
      : 'the holder (dockerd in swarm mode has 4789 and 7946)';
  return {
    check: 'port',
    severity: 'error',
    what: `${transport} port ${port} is taken by ${who}`,
    cure: `Stop ${holder}, or give ${flag}${isOfHostAlone ? ' with another port, or none' : ' on all hosts'}.`,
  };
}

function udpTrouble(address: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket({ type: ipFamily(address) === 4 ? 'udp4' : 'udp6' });
    const finish = (code: string | undefined): void => {
      socket.close();
      resolve(code);
    };
    socket.once('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
    socket.bind({ address, port, exclusive: true }, () => finish(undefined));
  });
}

function tcpTrouble(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

/** For a host that has found nobody: whether its seeds take a TCP connection. */
export async function checkSeeds(seeds: readonly Seed[]): Promise<Finding[]> {
  const asked = seeds.slice(0, SEEDS_MAX);
  const troubles = await Promise.all(asked.map((seed) => seedTrouble(seed)));
  return troubles.flatMap((trouble, i) => {
    if (trouble === undefined) return [];
    const { host, port } = asked[i] as Seed;
    const where = formatHostPort(host, port);
    const blocked = trouble === 'ETIMEDOUT' || trouble === 'EHOSTUNREACH' || trouble === 'ENETUNREACH';
    return [
      {
        check: 'seed',
        severity: 'error' as const,
        what: `the seed ${where} takes no TCP connection: ${trouble}`,
        cure: blocked
          ? `Open TCP and UDP ${port} to ${host} in firewalls and security groups, or correct --join.`
          : `Start overlayd on ${host}, or correct --join.`,
      },
    ];
  });
}

function seedTrouble({ host, port }: Seed): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const timer = setTimeout(() => finish('ETIMEDOUT'), SEED_PATIENCE_MS);
    const finish = (code: string | undefined): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(code);
    };
    socket.once('connect', () => finish(undefined));
    socket.once('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
  });
}
