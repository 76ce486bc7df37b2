/**
 * IP addresses, prefixes and MACs as configuration text: strict reading, one canonical spelling out.
 *
 * "Canonical" is dotted IPv4 without leading zeros, or compressed lower-case IPv6. Readers return undefined for what is
 * not one; the caller knows what to say about it.
 */
import { isIPv4, isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';

type IpAddress = ipaddr.IPv4 | ipaddr.IPv6;

export interface Cidr {
  /** Canonical `address/length`, host bits zero. */
  readonly text: string;
  readonly family: 4 | 6;
  readonly prefixLength: number;
}

/** ipaddr.js reads "10.1" and "0x7f000001" as addresses; node's readers do not, so they go first. */
function parse(text: string): IpAddress | undefined {
  if (isIPv4(text)) return ipaddr.IPv4.parse(text);
  if (isIPv6(text) && !text.includes('%')) return ipaddr.IPv6.parse(text);
  return undefined;
}

export function canonicalIp(text: string): string | undefined {
  return parse(text)?.toString();
}

export function ipFamily(ip: string): 4 | 6 {
  return isIPv4(ip) ? 4 : 6;
}

/** `unicast`, `private`, `loopback`, `linkLocal`, `multicast`, `unspecified`, … as ipaddr.js names them. */
export function ipKind(ip: string): string {
  return parse(ip)?.range() ?? 'invalid';
}

/** Reads `address/length`. A second value says what it would be with its host bits cleared, when they are not. */
export function parseCidr(text: string): { cidr: Cidr; hostBitsSet: boolean } | undefined {
  const [addressText, lengthText, ...rest] = text.split('/');
  const address = parse(addressText ?? '');
  if (address === undefined || rest.length > 0 || !/^\d{1,3}$/.test(lengthText ?? '')) return undefined;
  const prefixLength = Number(lengthText);
  const family = address.kind() === 'ipv4' ? 4 : 6;
  if (prefixLength > (family === 4 ? 32 : 128)) return undefined;
  const network = networkAddress(address, prefixLength).toString();
  return {
    cidr: { text: `${network}/${prefixLength}`, family, prefixLength },
    hostBitsSet: network !== address.toString(),
  };
}

function networkAddress(address: IpAddress, prefixLength: number): IpAddress {
  const cidr = `${address.toString()}/${prefixLength}`;
  return address.kind() === 'ipv4'
    ? ipaddr.IPv4.networkAddressFromCIDR(cidr)
    : ipaddr.IPv6.networkAddressFromCIDR(cidr);
}

export function cidrContains(cidr: string, ip: string): boolean {
  const address = parse(ip);
  const [network, length] = ipaddr.parseCIDR(cidr);
  return address?.kind() === network.kind() && address.match(network, length);
}

/** Whether all addresses of `inner` lie in `outer`. */
export function cidrWithin(inner: string, outer: string): boolean {
  const [address = '', length = '0'] = inner.split('/');
  return cidrContains(outer, address) && Number(length) >= ipaddr.parseCIDR(outer)[1];
}

/** The network or (IPv4) broadcast address of a subnet: no endpoint may have it. */
export function isReservedIn(cidr: string, ip: string): boolean {
  const [network, length] = ipaddr.parseCIDR(cidr);
  if (network.kind() === 'ipv6') return length < 127 && ip === network.toString();
  if (length >= 31) return false;
  return ip === network.toString() || ip === ipaddr.IPv4.broadcastAddressFromCIDR(cidr).toString();
}

/** Lower-case, colons; undefined when it is not a unicast MAC address. */
export function canonicalMac(text: string): string | undefined {
  const mac = text.toLowerCase().replaceAll('-', ':');
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac) || mac === '00:00:00:00:00:00') return undefined;
  return Number.parseInt(mac.slice(0, 2), 16) % 2 === 1 ? undefined : mac;
}

/** Reads `HOST`, `HOST:PORT`, `[IPV6]:PORT`; a bare IPv6 address is a host. Undefined when it is none of these. */
export function parseHostPort(text: string, defaultPort: number): { host: string; port: number } | undefined {
  if (isIPv6(text)) return { host: text, port: defaultPort };
  const match = /^(?:\[([^\]]+)\]|([^:[\]\s/]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  if (match === null || host === undefined || (match[1] !== undefined && !isIPv6(match[1]))) return undefined;
  const port = match[3] === undefined ? defaultPort : Number(match[3]);
  return port < 1 || port > 65535 ? undefined : { host, port };
}

/** `HOST:PORT`, with brackets around IPv6. */
export function formatHostPort(host: string, port: number): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}
