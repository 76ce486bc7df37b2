/**
 * What is asked of a tun descriptor itself, wherever its interface has been moved and whatever it is called there.
 *
 * Kernel: Documentation/networking/tuntap.rst, include/uapi/linux/if_tun.h.
 */
import { SIOCGIFHWADDR, SIOCSIFHWADDR, ifreq, ifreqMac, ifreqName, ifreqOfMac, ifreqValue } from './ifreq.ts';
import * as libc from './libc.ts';
import { systemError } from './system-error.ts';

export const TUN_DEVICE = '/dev/net/tun';
const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const TUNSETOFFLOAD = 0x400454d0; // takes its argument by value
const TUNSETVNETHDRSZ = 0x400454d8;
const TUNGETFEATURES = 0x800454cf;
const TUNGETIFF = 0x800454d2;
const TUNGETDEVNETNS = 0x54e3;
const IFF_TAP = 0x0002;
const IFF_MULTI_QUEUE = 0x0100;
const IFF_DETACH_QUEUE = 0x0400;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const TUN_F_CSUM_TSO = 0x01 | 0x02 | 0x04; // checksums, TCP segmentation over IPv4 and IPv6
const TUN_F_USO = 0x20 | 0x40; // UDP segmentation, Linux 6.2 and newer
const MODE = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE | IFF_DETACH_QUEUE;

/** virtio_net_hdr_v1. */
const VNET_HEADER_SIZE = 12;

/** It is a tun descriptor, whatever became of its interface. The path it was opened by may lead nowhere any more. */
export function isTun(fd: number): boolean {
  return libc.ioctl(fd, TUNGETFEATURES, new Uint8Array(4)) === 0;
}

/** The flags of one of our TAPs with so many queues. */
export function tapMode(queues: number): number {
  return IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (queues > 1 ? IFF_MULTI_QUEUE : 0);
}

/** Attaches the descriptor to the TAP `name` of this namespace, made if there is none. False: see errno. */
export function attach(fd: number, name: string, mode: number): boolean {
  const request = ifreq(name);
  ifreqValue(request).setUint16(0, mode, true);
  return libc.ioctl(fd, TUNSETIFF, request) === 0;
}

/** The interface that the descriptor is attached to; undefined when that is gone, or it is no tun descriptor. */
export function attachedTo(fd: number): { readonly name: string; readonly mode: number } | undefined {
  const request = ifreq('');
  if (libc.ioctl(fd, TUNGETIFF, request) < 0) return undefined;
  return { name: ifreqName(request), mode: ifreqValue(request).getUint16(0, true) & MODE };
}

/** A descriptor of the network namespace that the interface is in, to be closed. Undefined: Linux before 5.8 cannot tell. */
export function namespaceOf(fd: number): number | undefined {
  const namespace = libc.ioctlValue(fd, TUNGETDEVNETNS, 0);
  return namespace < 0 ? undefined : namespace;
}

/** Throws OverlaydError. */
export function setVnetHeader(fd: number, name: string): void {
  const size = new Uint8Array(Int32Array.of(VNET_HEADER_SIZE).buffer);
  if (libc.ioctl(fd, TUNSETVNETHDRSZ, size) === 0) return;
  throw systemError('OVL_TAP_ATTACH', `cannot set the vnet header size of ${name}`);
}

/** What the kernel took: all, no UDP segmentation (kernels before 6.2), or nothing. */
export function setOffload(
  fd: number,
  wanted: boolean,
): { readonly offload: boolean; readonly udpOffload: boolean } {
  if (wanted) {
    for (const flags of [TUN_F_CSUM_TSO | TUN_F_USO, TUN_F_CSUM_TSO]) {
      if (libc.ioctlValue(fd, TUNSETOFFLOAD, flags) === 0)
        return { offload: true, udpOffload: (flags & TUN_F_USO) !== 0 };
    }
  }
  libc.ioctlValue(fd, TUNSETOFFLOAD, 0);
  return { offload: false, udpOffload: false };
}

/** A TAP that is not persistent goes with its last descriptor. */
export function setPersistent(fd: number, isPersistent: boolean): boolean {
  return libc.ioctlValue(fd, TUNSETPERSIST, isPersistent ? 1 : 0) === 0;
}

/** Gives the interface this MAC (48 bits), unless it has it. Throws OverlaydError. */
export function setMac(fd: number, name: string, mac: number): void {
  const request = ifreq(name);
  if (libc.ioctl(fd, SIOCGIFHWADDR, request) === 0 && ifreqMac(request) === mac) return;
  if (libc.ioctl(fd, SIOCSIFHWADDR, ifreqOfMac(name, mac)) < 0)
    throw systemError('OVL_LINK', `cannot set the MAC of ${name}`);
}
