/**
 * Interface settings by ioctl: index, MAC, MTU, queue length, up. netdevice(7); struct ifreq is 40 bytes, the name first.
 *
 * Names are looked up in the network namespace of the calling thread; /sys would show the one it was mounted in.
 */
import { readFileSync } from 'node:fs';
import * as libc from './libc.ts';
import { readMac, writeMac } from './mac.ts';
import { systemError } from './system-error.ts';

const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const SIOCGIFMTU = 0x8921;
const SIOCSIFMTU = 0x8922;
export const SIOCSIFHWADDR = 0x8924;
export const SIOCGIFHWADDR = 0x8927;
const SIOCGIFINDEX = 0x8933;
const SIOCSIFTXQLEN = 0x8943;
const IFF_UP = 1;
const ARPHRD_ETHER = 1;
const IFREQ_SIZE = 40;
const IFREQ_VALUE = 16; // behind the name: a union of flags, MTU, index
const NAME_MAX_BYTES = 15;

/** A request for interface `name`, its value zero. */
export function ifreq(name: string): Uint8Array {
  const request = new Uint8Array(IFREQ_SIZE);
  request.set(new TextEncoder().encode(name).subarray(0, NAME_MAX_BYTES));
  return request;
}

/** The name that the kernel has written into a request. */
export function ifreqName(request: Uint8Array): string {
  const end = request.indexOf(0);
  return new TextDecoder().decode(
    request.subarray(0, end < 0 || end > NAME_MAX_BYTES ? NAME_MAX_BYTES : end),
  );
}

/** The value field of a request; its width depends on the call. */
export function ifreqValue(request: Uint8Array): DataView {
  return new DataView(request.buffer, request.byteOffset + IFREQ_VALUE, IFREQ_SIZE - IFREQ_VALUE);
}

/** The rule of the kernel (dev_valid_name). */
export function isInterfaceName(name: string): boolean {
  return (
    /^[^\s/:]+$/.test(name) && Buffer.byteLength(name) <= NAME_MAX_BYTES && name !== '.' && name !== '..'
  );
}

/** The interface's index, or undefined when there is no such interface. */
export function interfaceIndex(name: string): number | undefined {
  return withSocket((fd) => {
    const request = ifreq(name);
    return libc.ioctl(fd, SIOCGIFINDEX, request) < 0 ? undefined : ifreqValue(request).getInt32(0, true);
  });
}

/** Name of the Ethernet interface that has this MAC (48 bits), or undefined. */
export function interfaceOfMac(mac: number): string | undefined {
  const lines = readFileSync('/proc/thread-self/net/dev', 'utf8').split('\n');
  const names = lines.map((line) => /^\s*(\S+):/.exec(line)?.[1]).filter((name) => name !== undefined);
  return names.find((name) => interfaceMac(name) === mac);
}

/** 48 bits; undefined when there is none, or no Ethernet interface. */
export function interfaceMac(name: string): number | undefined {
  return withSocket((fd) => {
    const request = ifreq(name);
    return libc.ioctl(fd, SIOCGIFHWADDR, request) < 0 ? undefined : ifreqMac(request);
  });
}

/** The MAC that the kernel has written into a request; undefined when it is none of Ethernet. */
export function ifreqMac(request: Uint8Array): number | undefined {
  const value = ifreqValue(request);
  return value.getUint16(0, true) === ARPHRD_ETHER ? readMac(value, 2) : undefined;
}

/** A request whose value is this MAC. */
export function ifreqOfMac(name: string, mac: number): Uint8Array {
  const request = ifreq(name);
  const value = ifreqValue(request);
  value.setUint16(0, ARPHRD_ETHER, true);
  writeMac(value, 2, mac);
  return request;
}

export function setInterfaceMac(name: string, mac: number): void {
  withSocket((fd) => {
    if (libc.ioctl(fd, SIOCSIFHWADDR, ifreqOfMac(name, mac)) < 0)
      throw systemError('OVL_LINK', `cannot set the MAC of ${name}`);
  });
}

export function interfaceMtu(name: string): number {
  return withSocket((fd) => {
    const request = ifreq(name);
    if (libc.ioctl(fd, SIOCGIFMTU, request) < 0)
      throw systemError('OVL_LINK', `cannot read the MTU of ${name}`);
    return ifreqValue(request).getInt32(0, true);
  });
}

export function setInterfaceMtu(name: string, mtu: number): void {
  withSocket((fd) => {
    const request = ifreq(name);
    ifreqValue(request).setInt32(0, mtu, true);
    if (libc.ioctl(fd, SIOCSIFMTU, request) < 0) {
      throw systemError('OVL_LINK', `cannot set the MTU of ${name} to ${mtu}`);
    }
  });
}

/** Frames that may wait to be read from a TAP. */
export function setQueueLength(name: string, frames: number): void {
  withSocket((fd) => {
    const request = ifreq(name);
    ifreqValue(request).setInt32(0, frames, true);
    if (libc.ioctl(fd, SIOCSIFTXQLEN, request) < 0) {
      throw systemError('OVL_LINK', `cannot set the queue length of ${name} to ${frames}`);
    }
  });
}

export function setInterfaceUp(name: string): void {
  withSocket((fd) => {
    const request = ifreq(name);
    const flags = ifreqValue(request);
    if (libc.ioctl(fd, SIOCGIFFLAGS, request) < 0)
      throw systemError('OVL_LINK', `cannot read the flags of ${name}`);
    flags.setUint16(0, flags.getUint16(0, true) | IFF_UP, true);
    if (libc.ioctl(fd, SIOCSIFFLAGS, request) < 0) throw systemError('OVL_LINK', `cannot bring ${name} up`);
  });
}

// Any socket serves as the handle of an interface ioctl.
function withSocket<T>(use: (fd: number) => T): T {
  const fd = libc.socket(libc.AF_INET, libc.SOCK_DGRAM | libc.SOCK_CLOEXEC, 0);
  if (fd < 0) throw systemError('OVL_SOCKET', 'cannot make a socket');
  try {
    return use(fd);
  } finally {
    libc.close(fd);
  }
}
