/**
 * Underlay UDP sockets with segmentation offload, made through FFI because node:dgram cannot reach these options.
 * udp(7), ip(7); source-port entropy: RFC 7348 §5.
 *
 * Receive: one socket on the data port, UDP_GRO on. Transmit: several sockets bound to ports 49152–65535, so that the
 * underlay's ECMP and receive hashing see more than one flow; the core picks one by inner flow hash. UDP_SEGMENT is set
 * per message by the core's control data. Nothing is ever fragmented: DF is always set and the kernel's path-MTU cache
 * is not consulted, so a forged ICMP cannot shrink the path; a datagram larger than the link gives EMSGSIZE.
 */
import { OverlaydError } from '../errors.ts';
import { describeHolders, udpPortHolders } from './holders.ts';
import * as libc from './libc.ts';
import { addressFamily, sockaddr } from './sockaddr.ts';
import { holdsCapability, missingCapability, systemError } from './system-error.ts';

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_REUSEPORT = 15;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const IPPROTO_IP = 0;
const IPPROTO_IPV6 = 41;
const IP_MTU_DISCOVER = 10;
const IPV6_MTU_DISCOVER = 23;
const IPV6_V6ONLY = 26;
const PMTUDISC_PROBE = 3; // the same number for both families
const SOL_UDP = 17;
const UDP_GRO = 104;

const BUFFER_SIZE = 8 << 20;
const STRAY_BUFFER_SIZE = 1; // the kernel raises it to its minimum
const PRIVILEGED_PORTS = 1024;
const EPHEMERAL_FIRST = 49_152;
const EPHEMERAL_COUNT = 16_384;
const BIND_ATTEMPTS = 64;

export interface UdpRequest {
  /** Underlay address to bind, textual. */
  readonly addr: string;
  readonly port: number;
  /** Workers that read the port; more than one sets SO_REUSEPORT. */
  readonly receivers: number;
  /** Transmit sockets per worker. */
  readonly transmitters: number;
  /** Ask for merged datagrams. */
  readonly gro: boolean;
}

export interface UdpSockets {
  /** One per worker. */
  readonly receive: readonly number[];
  /** Per worker, `transmitters` each. */
  readonly transmit: readonly (readonly number[])[];
  readonly gro: boolean;
  readonly notes: readonly string[];
}

/** Binds all sockets or none. Throws OverlaydError; a taken port names its holder. */
export function openUdp(request: UdpRequest): UdpSockets {
  const opened: number[] = [];
  const notes: string[] = [];
  const track = (fd: number): number => {
    opened.push(fd);
    return fd;
  };
  try {
    if (request.receivers > 1) assertPortFree(request); // SO_REUSEPORT would let a second daemon in beside us
    const receive = range(request.receivers).map(() => track(receiveSocket(request, notes)));
    const gro = request.gro && receive.every((fd) => setOption(fd, SOL_UDP, UDP_GRO, 1));
    if (request.gro && !gro) notes.push('UDP_GRO is not available; receiving one datagram at a time');
    const transmit = range(request.receivers).map(() =>
      range(request.transmitters).map(() => track(transmitSocket(request.addr))),
    );
    return { receive, transmit, gro, notes: [...new Set(notes)] };
  } catch (error) {
    for (const fd of opened) libc.close(fd);
    throw error;
  }
}

export function closeUdp(sockets: UdpSockets): void {
  for (const fd of [...sockets.receive, ...sockets.transmit.flat()]) libc.close(fd);
}

function receiveSocket(request: UdpRequest, notes: string[]): number {
  const fd = newSocket(request.addr);
  try {
    if (request.receivers > 1) setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    const roomy =
      setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_SIZE) ||
      setOption(fd, SOL_SOCKET, SO_RCVBUF, BUFFER_SIZE);
    if (!roomy) notes.push('the receive buffer keeps its default size; bursts may be lost');
    bindOrExplain(fd, request.addr, request.port);
    return fd;
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

/** A socket that only sends, with DF on all that it sends. Throws OverlaydError. */
export function transmitSocket(addr: string): number {
  const fd = newSocket(addr);
  setOption(fd, SOL_SOCKET, SO_RCVBUF, STRAY_BUFFER_SIZE); // never read: what strays in is dropped by the kernel
  if (!setOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, BUFFER_SIZE))
    setOption(fd, SOL_SOCKET, SO_SNDBUF, BUFFER_SIZE);
  const start = Math.floor(Math.random() * EPHEMERAL_COUNT);
  let number = 0;
  for (let attempt = 0; attempt < BIND_ATTEMPTS; attempt++) {
    const address = sockaddr(addr, EPHEMERAL_FIRST + ((start + attempt * 61) % EPHEMERAL_COUNT));
    if (libc.bind(fd, address, address.length) === 0) return fd;
    number = libc.errno();
    if (number !== libc.EADDRINUSE) break;
  }
  libc.close(fd);
  throw systemError('OVL_SOCKET', `cannot bind a transmit socket on ${addr}`, undefined, number);
}

function newSocket(addr: string): number {
  const family = addressFamily(addr);
  const fd = libc.socket(family, libc.SOCK_DGRAM | libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC, 0);
  if (fd < 0) throw systemError('OVL_SOCKET', 'cannot make a UDP socket');
  if (family === libc.AF_INET6) {
    setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    setOption(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE);
  } else {
    setOption(fd, IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE);
  }
  return fd;
}

function bindOrExplain(fd: number, addr: string, port: number): void {
  const address = sockaddr(addr, port);
  if (libc.bind(fd, address, address.length) === 0) return;
  const number = libc.errno();
  if (number === libc.EADDRINUSE) throw portTaken(addr, port);
  if (number === libc.EADDRNOTAVAIL) {
    throw new OverlaydError('OVL_ADDRESS_UNAVAILABLE', `this host has no address ${addr} (EADDRNOTAVAIL)`, {
      hint: 'Set --data-path-addr to an address that "ip address" shows.',
      details: { addr },
    });
  }
  if (number === libc.EACCES && port < PRIVILEGED_PORTS && !holdsCapability('CAP_NET_BIND_SERVICE')) {
    throw missingCapability('CAP_NET_BIND_SERVICE', `cannot bind UDP port ${port}`);
  }
  throw systemError('OVL_SOCKET', `cannot bind UDP ${addr}:${port}`, undefined, number);
}

/** Binds the port once without SO_REUSEPORT, to meet whoever has it. */
function assertPortFree(request: UdpRequest): void {
  const fd = newSocket(request.addr);
  try {
    bindOrExplain(fd, request.addr, request.port);
  } finally {
    libc.close(fd);
  }
}

/** The error for a UDP port that another socket holds (checklist T3: refuse, never steal). */
export function portTaken(addr: string, port: number): OverlaydError {
  const holder = describeHolders(udpPortHolders(port));
  const who = holder ?? 'no visible process: the kernel itself (a vxlan device) or another container';
  return new OverlaydError('OVL_PORT_TAKEN', `UDP port ${port} on ${addr} is taken by ${who}`, {
    hint: 'Stop the holder (dockerd in swarm mode and kernel vxlan devices use 4789), or set --data-port on all hosts.',
    details: { addr, port, ...(holder === undefined ? {} : { holder }) },
  });
}

function setOption(fd: number, level: number, name: number, value: number): boolean {
  const bytes = new Uint8Array(Int32Array.of(value).buffer);
  return libc.setsockopt(fd, level, name, bytes, bytes.length) === 0;
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
