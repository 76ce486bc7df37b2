/**
 * From merged raw values to the configuration the daemon runs with: defaults, what depends on other values, what
 * depends on the machine. What was asked to be sealed and cannot be is refused, never weakened.
 */
import { TUNNEL_VERSIONS } from '../../proto/versions.ts';
import { OverlaydError } from '../errors.ts';
import { ipFamily, parseHostPort } from './address.ts';
import { DEFAULT_SOCKET } from './defaults.ts';
import { configError } from './layer.ts';
import { parseInterval } from './interval.ts';
import { resolveNetworks, resolveStaticPeers } from './networks.ts';
import type { RunConfig, Seed } from './run-config.ts';
import type { RawConfig } from './schema.ts';
import type { Machine } from './underlay.ts';

const DEFAULT_STATE_DIR = '/var/lib/overlayd';
const DEFAULT_GOSSIP_PORT = 7946;
const DEFAULT_DATA_PORT = 4789;
const DEFAULT_METRICS_ADDR = '127.0.0.1:9472';
const DEFAULT_DOCKER_SOCKET = '/run/docker.sock';
const DEFAULT_DOCKER_PLUGIN = '/run/docker/plugins/overlayd.sock';
const DEFAULT_REKEY_INTERVAL = '12h';
const DEFAULT_RANGE_LEASE = '24h';
const ETHERNET_MTU = 1500;
const CARRIER_PATIENCE_MS = 30_000;
const CARRIER_LOOK_MS = 250;

/** Throws OverlaydError; `locate` names the place a raw value came from. */
export async function resolveConfig(
  raw: RawConfig,
  machine: Machine,
  locate: (key: keyof RawConfig) => string,
): Promise<RunConfig> {
  checkSealing(raw, locate);
  const nodeName = raw['node-name'] ?? defaultNodeName(machine);
  const advertiseAddr = raw['advertise-addr'] ?? (await defaultAdvertiseAddr(machine));
  const dataPathAddr = raw['data-path-addr'] ?? advertiseAddr;
  const underlayMtu = await underlayMtuOf(dataPathAddr, machine, raw['data-path-addr'] !== undefined);
  const gossipPort = raw['gossip-port'] ?? DEFAULT_GOSSIP_PORT;
  const dataPort = raw['data-port'] ?? DEFAULT_DATA_PORT;
  if (gossipPort === dataPort) {
    throw configError([{ where: locate('data-port'), message: `gossip and data both want UDP ${dataPort}` }]);
  }
  const networks = resolveNetworks(raw.networks, underlayMtu, ipFamily(dataPathAddr), locate('networks'));
  return {
    nodeName,
    advertiseAddr,
    dataPathAddr,
    gossipPort,
    dataPort,
    join: (raw.join ?? []).map((text) => seed(text, gossipPort)),
    networks,
    staticPeers: resolveStaticPeers(
      raw['static-peers'] ?? [],
      networks,
      dataPathAddr,
      locate('static-peers'),
    ),
    ...gossipSealing(raw, locate),
    rangeLeaseMs: parseInterval(raw['range-lease'] ?? DEFAULT_RANGE_LEASE) ?? Infinity,
    rekeyMs: parseInterval(raw['rekey-interval'] ?? DEFAULT_REKEY_INTERVAL) ?? Infinity,
    wireVersion: raw['wire-version'] ?? TUNNEL_VERSIONS.max,
    identitiesFile: raw.identities,
    workers: raw.workers ?? 1,
    io: raw.io,
    socket: raw.socket ?? DEFAULT_SOCKET,
    stateDir: raw['state-dir'] ?? DEFAULT_STATE_DIR,
    metricsAddr: metricsTarget(raw['metrics-addr'] ?? DEFAULT_METRICS_ADDR),
    dockerSocket: pathUnlessNone(raw['docker-socket'] ?? DEFAULT_DOCKER_SOCKET),
    dockerPlugin: dockerPlugin(raw['docker-plugin']),
    dockerScope: raw['docker-scope'] ?? 'local',
    logLevel: raw['log-level'] ?? 'info',
    logFormat: raw['log-format'] ?? (process.stdout.isTTY ? 'text' : 'json'),
    removeTapsOnExit: raw['remove-taps-on-exit'] ?? false,
    joinAll: raw['join-all'] ?? false,
    underlayMtu,
  };
}

/** What cannot be sealed must not run at all: in clear it would be what nobody asked for. */
function checkSealing(raw: RawConfig, locate: (key: keyof RawConfig) => string): void {
  const encrypted = new Set(raw.networks?.flatMap(({ name, encrypted: is }) => (is === true ? [name] : [])));
  const [first] = encrypted;
  if (first === undefined) return;
  const refuse = (code: string, network: string, message: string, hint: string): never => {
    throw new OverlaydError(
      code,
      `${locate('networks')}: network "${network}" is marked encrypted, ${message}`,
      {
        hint: `Nothing was started. ${hint}`,
        details: { network },
        exitCode: 2,
      },
    );
  };
  if (raw.keyring === undefined) {
    refuse(
      'OVL_KEYRING_MISSING',
      first,
      'and there is no keyring',
      'Give --keyring FILE, with a key that all hosts have.',
    );
  }
  if ((raw.workers ?? 1) > 1) {
    // Each worker would count and window for itself: what one has taken could be replayed to the other.
    refuse(
      'OVL_WORKERS_SEALED',
      first,
      `and there are ${raw.workers} workers`,
      'Encrypted networks run on one: take --workers away.',
    );
  }
  for (const { ip, network } of raw['static-peers'] ?? []) {
    if (!encrypted.has(network)) continue;
    const hint = 'A static peer speaks plain VXLAN only: put it on a network of its own.';
    refuse('OVL_STATIC_PEER_SEALED', network, `and has the static peer ${ip}`, hint);
  }
}

function gossipSealing(
  raw: RawConfig,
  locate: (key: keyof RawConfig) => string,
): Pick<RunConfig, 'keyringFile' | 'gossipEncryption' | 'gossipRekeyMs'> {
  const { keyring: keyringFile, 'gossip-encryption': mode } = raw;
  const interval = raw['gossip-rekey-interval'] ?? DEFAULT_REKEY_INTERVAL;
  if (keyringFile === undefined && mode !== undefined) {
    const message = `gossip encryption is ${mode}, and there is no keyring`;
    throw configError([{ where: locate('gossip-encryption'), message }], 'Give --keyring FILE.');
  }
  return {
    keyringFile,
    gossipEncryption: keyringFile === undefined ? 'off' : (mode ?? 'required'),
    gossipRekeyMs: parseInterval(interval) ?? Infinity,
  };
}

function defaultNodeName(machine: Machine): string {
  const name = machine.hostName();
  if (/^[A-Za-z0-9._-]{1,128}$/.test(name)) return name;
  throw configError(
    [{ where: '', message: `the host name "${name}" cannot be a node name` }],
    'Give --node-name NAME, unique in the cluster.',
  );
}

async function defaultAdvertiseAddr(machine: Machine): Promise<string> {
  const address = await machine.defaultAddress();
  if (address !== undefined) return address;
  throw new OverlaydError(
    'OVL_NO_ADVERTISE_ADDR',
    'cannot tell where other hosts reach this one: there is no default route',
    { hint: `Give --advertise-addr IP; ${ownAddresses(machine)}.`, exitCode: 2 },
  );
}

async function underlayMtuOf(ip: string, machine: Machine, given: boolean): Promise<number> {
  const interfaceName = await interfaceOf(ip, machine);
  if (interfaceName !== undefined) return (await machine.mtu(interfaceName)) ?? ETHERNET_MTU;
  const which = given ? 'data path address' : 'advertise address, used for the data path too,';
  if (await machine.owns(ip)) {
    throw new OverlaydError('OVL_NO_CARRIER', `the interface with the ${which} ${ip} has no carrier`, {
      hint: `Waited ${CARRIER_PATIENCE_MS / 1000} s. See "ip link": is the interface up, is its cable or peer?`,
      details: { ip },
    });
  }
  throw new OverlaydError('OVL_ADDR_NOT_LOCAL', `the ${which} ${ip} is not an address of this machine`, {
    hint: `Give --data-path-addr IP; ${ownAddresses(machine)}.`,
    details: { ip },
    exitCode: 2,
  });
}

/** At boot an interface may have its address and not yet its carrier: it is waited for. */
async function interfaceOf(ip: string, machine: Machine): Promise<string | undefined> {
  for (let waitedMs = 0; ; waitedMs += CARRIER_LOOK_MS) {
    const local = machine.addresses().find((address) => address.ip === ip);
    if (local !== undefined) return local.interfaceName;
    if (waitedMs >= CARRIER_PATIENCE_MS || !(await machine.owns(ip))) return undefined;
    if (waitedMs === 0) machine.say(`waiting for the carrier of the interface with ${ip}`);
    await machine.pause(CARRIER_LOOK_MS);
  }
}

function ownAddresses(machine: Machine): string {
  const own = machine.addresses().filter(({ ip }) => !ip.startsWith('fe80:'));
  if (own.length === 0) return 'this machine has no address on an interface that is up';
  return `this machine has ${own.map(({ ip, interfaceName }) => `${ip} (${interfaceName})`).join(', ')}`;
}

function seed(text: string, defaultPort: number): Seed {
  const target = parseHostPort(text, defaultPort);
  if (target === undefined) throw configError([{ where: 'join', message: `"${text}" is not HOST[:PORT]` }]);
  return target;
}

function pathUnlessNone(text: string): string | undefined {
  return text === 'none' ? undefined : text;
}

function dockerPlugin(text: string | undefined): RunConfig['dockerPlugin'] {
  const path = pathUnlessNone(text ?? DEFAULT_DOCKER_PLUGIN);
  return path === undefined ? undefined : { path, isDefault: text === undefined };
}

function metricsTarget(text: string): Seed | undefined {
  return text === 'none' ? undefined : parseHostPort(text, 0);
}
