/**
 * What the machine says about its underlay: our address on it, the MTU of the interface that has an address.
 *
 * The MTU of a TAP is the MTU of the containers on it (macvlan has no option for it), so it must be right before the
 * first container starts: underlay minus outer IP, UDP, VXLAN and inner Ethernet header.
 */
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { canonicalIp } from './address.ts';

const UDP_HEADER_BYTES = 8;
const VXLAN_HEADER_BYTES = 8;
const ETHERNET_HEADER_BYTES = 14;
const IP_HEADER_BYTES = { 4: 20, 6: 40 } as const;
/** No IP datagram is longer, whatever the loopback interface says of itself. */
const IP_MAX_BYTES = 65535;

/** Anywhere behind the default route will do; no packet is sent. These are two of the DNS root servers. */
const FAR_AWAY = { udp4: '198.41.0.4', udp6: '2001:503:ba3e::2:30' } as const;

/** Header and tag of a sealed datagram (core-wasm/sealed.ts). */
export const SEAL_BYTES = 32;

/** Bytes between an underlay packet and the IP packet of a container inside it: 50 over IPv4, 70 over IPv6. */
export function vxlanOverhead(family: 4 | 6): number {
  return IP_HEADER_BYTES[family] + UDP_HEADER_BYTES + VXLAN_HEADER_BYTES + ETHERNET_HEADER_BYTES;
}

export function defaultTapMtu(underlayMtu: number, family: 4 | 6, encrypted = false): number {
  return Math.min(underlayMtu, IP_MAX_BYTES) - vxlanOverhead(family) - (encrypted ? SEAL_BYTES : 0);
}

/** What resolve.ts asks of the machine; tests give their own answers. */
export interface Machine {
  hostName(): string;
  /** Source address of the default route, IPv4 before IPv6. */
  defaultAddress(): Promise<string | undefined>;
  /** Own addresses, by interface; only interfaces that are up. */
  addresses(): readonly { readonly ip: string; readonly interfaceName: string }[];
  /** Whether it is an own address, also of an interface that is not up (yet). */
  owns(ip: string): Promise<boolean>;
  /** Undefined where the kernel does not tell. */
  mtu(interfaceName: string): Promise<number | undefined>;
  /** Until things may have changed. */
  pause(ms: number): Promise<void>;
  /** Tells whoever watches the start why it takes long. */
  say(line: string): void;
}

export const thisMachine: Machine = {
  hostName: hostname,
  async defaultAddress() {
    return (await sourceAddress('udp4')) ?? (await sourceAddress('udp6'));
  },
  addresses() {
    return Object.entries(networkInterfaces()).flatMap(([interfaceName, addresses = []]) =>
      addresses.map(({ address }) => ({ ip: canonicalIp(address) ?? address, interfaceName })),
    );
  },
  owns: isBindable,
  async mtu(interfaceName) {
    return (await mtuFromKernel(interfaceName)) ?? mtuFromSysfs(interfaceName);
  },
  pause: (ms) => sleep(ms),
  say: (line) => void process.stderr.write(`${line}\n`),
};

/** A socket can be bound to every own address, whatever the state of its interface. */
function isBindable(ip: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(ip) ? 'udp6' : 'udp4');
    const finish = (isOwn: boolean): void => {
      socket.close();
      resolve(isOwn);
    };
    socket.once('error', () => finish(false));
    socket.bind({ address: ip, port: 0 }, () => finish(true));
  });
}

/** The kernel chooses a source address when a UDP socket is connected; nothing goes out. */
function sourceAddress(type: 'udp4' | 'udp6'): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(type);
    const finish = (address: string | undefined): void => {
      socket.close();
      resolve(address);
    };
    // Events, because a callback of connect would be called for an error as well.
    socket.once('error', () => finish(undefined));
    socket.once('connect', () => finish(socket.address().address));
    socket.connect(9, FAR_AWAY[type]);
  });
}

/** Unlike /sys, which shows the network namespace it was mounted in, an ioctl always asks our own. */
async function mtuFromKernel(interfaceName: string): Promise<number | undefined> {
  try {
    const { interfaceMtu } = await import('../io/ifreq.ts');
    return interfaceMtu(interfaceName);
  } catch {
    return undefined; // no such interface, or no FFI on this machine
  }
}

function mtuFromSysfs(interfaceName: string): number | undefined {
  try {
    return Number(readFileSync(`/sys/class/net/${interfaceName}/mtu`, 'utf8')) || undefined;
  } catch {
    return undefined;
  }
}
