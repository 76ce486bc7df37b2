/**
 * Network namespaces without names, as many as asked for, held by this process: `sandbox-child`, run in a host's
 * namespace. A line `{"make": N}` makes them and is answered by their descriptors; `{"set": [{fd, name, address, prefix,
 * mac}]}` brings an interface up in each, as Docker does after it moved it in. They go with this process.
 */
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import koffi from 'koffi';
import { setInterfaceMac, setInterfaceUp, ifreq, ifreqValue } from '../../agent/io/ifreq.ts';
import * as libc from '../../agent/io/libc.ts';
import { inNamespace } from '../../agent/io/netns.ts';
import { parseMac } from '../../proto/state/values/mac.ts';

const CLONE_NEWNET = 0x4000_0000;
const SIOCSIFADDR = 0x8916;
const SIOCSIFNETMASK = 0x891c;
const unshare: (flags: number) => number = koffi.load(null).func('unshare', 'int', ['int']);

export interface Settings {
  readonly fd: number;
  readonly name: string;
  readonly address: string;
  readonly prefix: number;
  readonly mac: string;
}

function make(count: number): number[] {
  const own = '/proc/thread-self/ns/net';
  const home = libc.open(own, libc.O_RDONLY | libc.O_CLOEXEC);
  const made: number[] = [];
  for (let i = 0; i < count; i++) {
    if (unshare(CLONE_NEWNET) !== 0) throw new Error(`unshare: ${libc.errnoName(koffi.errno())}`);
    // Docker switches IPv6 off where the network has none.
    writeFileSync('/proc/sys/net/ipv6/conf/default/disable_ipv6', '1');
    setInterfaceUp('lo');
    made.push(libc.open(own, libc.O_RDONLY));
  }
  if (libc.setns(home, CLONE_NEWNET) !== 0) throw new Error('no way back');
  libc.close(home);
  return made;
}

function set({ fd, name, address, prefix, mac }: Settings): void {
  inNamespace(`/proc/self/fd/${fd}`, () => {
    setInterfaceMac(name, parseMac(mac));
    const socket = libc.socket(libc.AF_INET, libc.SOCK_DGRAM | libc.SOCK_CLOEXEC, 0);
    setIpv4(socket, SIOCSIFADDR, name, address.split('.').map(Number));
    const mask = (0xffff_ffff << (32 - prefix)) >>> 0;
    setIpv4(socket, SIOCSIFNETMASK, name, [mask >>> 24, (mask >>> 16) & 255, (mask >>> 8) & 255, mask & 255]);
    libc.close(socket);
    setInterfaceUp(name);
  });
}

/** The value of the request is a sockaddr_in. */
function setIpv4(socket: number, code: number, name: string, bytes: readonly number[]): void {
  const request = ifreq(name);
  const value = ifreqValue(request);
  value.setUint16(0, libc.AF_INET, true);
  bytes.forEach((byte, index) => value.setUint8(4 + index, byte));
  if (libc.ioctl(socket, code, request) !== 0) throw new Error(`${name}: ${libc.errnoName(libc.errno())}`);
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const order = JSON.parse(line) as { readonly make?: number; readonly set?: readonly Settings[] };
  const made = order.make === undefined ? [] : make(order.make);
  for (const settings of order.set ?? []) set(settings);
  process.stdout.write(`${JSON.stringify(made)}\n`);
});
