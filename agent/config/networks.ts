/** Networks and static peers: defaults, and that they fit each other and the underlay. */
import { cidrContains, cidrWithin, ipFamily, isReservedIn } from './address.ts';
import { configError } from './layer.ts';
import type { Problem } from './layer.ts';
import type { NetworkConfig, StaticPeerConfig } from './run-config.ts';
import type { RawNetwork, RawStaticPeer } from './schema.ts';
import { defaultTapMtu } from './underlay.ts';

const DEFAULT_NETWORKS: readonly RawNetwork[] = [
  { name: 'overlay', vni: 4096, subnet: '10.42.0.0/16', tap: 'tap0' },
];

export function resolveNetworks(
  raw: readonly RawNetwork[] = DEFAULT_NETWORKS,
  underlayMtu: number,
  underlayFamily: 4 | 6,
  where: string,
): NetworkConfig[] {
  const largestMtu = (encrypted = false): number => defaultTapMtu(underlayMtu, underlayFamily, encrypted);
  const networks = raw.map((network, index) => ({
    name: network.name,
    vni: network.vni,
    subnet: network.subnet,
    gateway: network.gateway,
    ipRange: network['ip-range'],
    tap: network.tap ?? `tap${index}`,
    mtu: network.mtu ?? largestMtu(network.encrypted),
    ...(network.mtu === undefined && { isMtuFitted: true as const }),
    encrypted: network.encrypted ?? false,
  }));
  const messages = [
    ...duplicates(networks, 'name', 'name'),
    ...duplicates(networks, 'vni', 'VNI'),
    ...duplicates(networks, 'tap', 'TAP'),
    ...networks.flatMap((network) => [
      ...addressMessages(network),
      ...mtuMessages(network, largestMtu(network.encrypted)),
    ]),
  ];
  if (networks.length === 0) messages.push('at least one network is needed');
  throwIfAny(messages, where);
  return networks;
}

function duplicates(networks: readonly NetworkConfig[], key: 'name' | 'vni' | 'tap', word: string): string[] {
  const owners = new Map<string | number, string>();
  const messages: string[] = [];
  for (const network of networks) {
    const owner = owners.get(network[key]);
    if (owner === undefined) owners.set(network[key], network.name);
    else messages.push(`networks "${owner}" and "${network.name}" have the same ${word} ${network[key]}`);
  }
  return messages;
}

function addressMessages({ name, subnet, gateway, ipRange }: NetworkConfig): string[] {
  const messages: string[] = [];
  const say = (message: string): number => messages.push(`network "${name}": ${message}`);
  if (subnet === undefined) {
    if (gateway !== undefined) say('a gateway needs a subnet');
    if (ipRange !== undefined) say('an ip-range needs a subnet');
    return messages;
  }
  if (gateway !== undefined) {
    if (!cidrContains(subnet, gateway)) say(`gateway ${gateway} is not in subnet ${subnet}`);
    else if (isReservedIn(subnet, gateway)) {
      say(`gateway ${gateway} is the network or broadcast address of ${subnet}`);
    }
  }
  if (ipRange !== undefined && !cidrWithin(ipRange, subnet)) {
    say(`ip-range ${ipRange} is not in subnet ${subnet}`);
  }
  return messages;
}

/** Larger than the underlay carries would be a black hole for full-sized packets. */
function mtuMessages({ name, mtu, subnet }: NetworkConfig, largestMtu: number): string[] {
  if (mtu > largestMtu)
    return [`network "${name}": mtu ${mtu} does not fit the underlay, at most ${largestMtu}`];
  // RFC 8200 section 5: IPv6 does not run on a link below 1280.
  if (subnet !== undefined && subnet.includes(':') && mtu < 1280) {
    return [`network "${name}": mtu ${mtu} is too small for IPv6, at least 1280`];
  }
  return [];
}

export function resolveStaticPeers(
  raw: readonly RawStaticPeer[],
  networks: readonly NetworkConfig[],
  dataPathAddr: string,
  where: string,
): StaticPeerConfig[] {
  const messages: string[] = [];
  const seen = new Set<string>();
  for (const { ip, network } of raw) {
    const pair = `${ip} in network "${network}"`;
    if (!networks.some(({ name }) => name === network)) messages.push(`static peer ${pair}: no such network`);
    if (seen.has(pair)) messages.push(`static peer ${pair} is given twice`);
    seen.add(pair);
    if (ip === dataPathAddr) messages.push(`static peer ${pair} is this host itself`);
    if (ipFamily(ip) !== ipFamily(dataPathAddr)) {
      messages.push(`static peer ${pair} cannot be reached from the data path address ${dataPathAddr}`);
    }
  }
  throwIfAny(messages, where);
  return raw.map(({ ip, network, macs }) => ({ ip, network, macs: [...new Set(macs)] }));
}

function throwIfAny(messages: readonly string[], where: string): void {
  if (messages.length > 0) throw configError(messages.map((message): Problem => ({ where, message })));
}
