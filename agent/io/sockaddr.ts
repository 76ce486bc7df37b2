/** struct sockaddr_in and sockaddr_in6 from text. ip(7), ipv6(7). */
import ipaddr from 'ipaddr.js';
import { OverlaydError } from '../errors.ts';
import { AF_INET, AF_INET6 } from './libc.ts';

const SOCKADDR_IN_SIZE = 16;
const SOCKADDR_IN6_SIZE = 28;

/** The address family of a textual IP. Throws OverlaydError when it is none. */
export function addressFamily(ip: string): typeof AF_INET | typeof AF_INET6 {
  return parse(ip).kind() === 'ipv4' ? AF_INET : AF_INET6;
}

export function sockaddr(ip: string, port: number): Uint8Array {
  const address = parse(ip);
  const v4 = address.kind() === 'ipv4';
  const bytes = new Uint8Array(v4 ? SOCKADDR_IN_SIZE : SOCKADDR_IN6_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, v4 ? AF_INET : AF_INET6, true);
  view.setUint16(2, port);
  bytes.set(address.toByteArray(), v4 ? 4 : 8);
  return bytes;
}

/** What a sockaddr says; undefined when it is of neither family. */
export function readSockaddr(bytes: Uint8Array): { readonly ip: string; readonly port: number } | undefined {
  if (bytes.length < SOCKADDR_IN_SIZE) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const family = view.getUint16(0, true);
  const port = view.getUint16(2);
  if (family === AF_INET) return { ip: ipText(bytes.subarray(4, 8)), port };
  if (family !== AF_INET6 || bytes.length < SOCKADDR_IN6_SIZE) return undefined;
  return { ip: ipText(bytes.subarray(8, 24)), port };
}

/** 16 bytes; IPv4 as ::ffff:a.b.c.d. */
export function ipBytes(ip: string): Uint8Array {
  const address = parse(ip);
  const v6 = address instanceof ipaddr.IPv4 ? address.toIPv4MappedAddress() : address;
  return Uint8Array.from(v6.toByteArray());
}

/** The reverse: dotted when IPv4-mapped, else compressed lower-case IPv6. */
export function ipText(bytes: Uint8Array): string {
  const address = ipaddr.fromByteArray([...bytes]);
  if (address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress())
    return address.toIPv4Address().toString();
  return address.toString();
}

function parse(ip: string): ipaddr.IPv4 | ipaddr.IPv6 {
  if (!ipaddr.IPv4.isValidFourPartDecimal(ip) && !ipaddr.IPv6.isValid(ip)) {
    throw new OverlaydError('OVL_ADDRESS', `"${ip}" is no IP address`, { exitCode: 2 });
  }
  return ipaddr.parse(ip);
}
