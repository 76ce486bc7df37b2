/**
 * What nobody should send, run inside a container or host of the test bed; prints how many it sent.
 *
 *   frames INTERFACE KIND COUNT             raw Ethernet frames (AF_PACKET)
 *     random-sources    each from another random MAC, to a MAC that nobody has
 *     arp-mismatch      ARP replies whose sender hardware address is not the frame's source
 *   datagrams TARGET KIND COUNT             to UDP 4789 of TARGET
 *     valid:VNI         VXLAN with a broadcast frame inside, from 02:66:66:66:66:66
 *     truncated         0 to 21 bytes: less than a VXLAN and an Ethernet header
 *     no-flag           the I bit is not set
 *     probe-answers     answers to path probes that nobody sent, and probes that are shorter than they say
 *     too-big:MTU       ICMP "fragmentation needed" about datagrams of the target
 *     from-port-0:NAME  from UDP port 0: a ping to the gossip port of the member NAME, and an echo request to the data
 *                       port, both to be answered to where they came from
 */
import { createSocket } from 'node:dgram';
import { randomFillSync } from 'node:crypto';
import koffi from 'koffi';
import { encodeMessage } from '../../proto/memberlist/messages.ts';
import { SeededRng } from '../../proto/rng.ts';
import { tunnelCrypto, tunnelCryptoReady } from '../../agent/crypto/tunnel-crypto.ts';
import { DataPathEcho } from '../../proto/tunnel/echo.ts';

const AF_PACKET = 17;
const SOCK_RAW = 3;
const AF_INET = 2;
const IPPROTO_ICMP = 1;
const IPPROTO_UDP = 17;
const ETH_P_ALL_BE = 0x0300;
const SOCKADDR_LL_BYTES = 20;
const SNDBUF_BYTES = 4 << 20;
const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
/** How often a full queue is waited for before a frame counts as refused. */
const RETRIES = 2000;
const PAUSE_US = 100;
const EXPERIMENTAL_ETHERTYPE = 0x88b5;

const libc = koffi.load('libc.so.6');
const openSocket = libc.func('int socket(int, int, int)') as (
  domain: number,
  type: number,
  protocol: number,
) => number;
const bindSocket = libc.func('int bind(int, void *, int)') as (
  fd: number,
  addr: Buffer,
  length: number,
) => number;
const send = libc.func('long send(int, void *, size_t, int)') as (
  fd: number,
  data: Buffer,
  length: number,
  flags: number,
) => number;
const sendTo = libc.func('long sendto(int, void *, size_t, int, void *, int)') as (
  fd: number,
  data: Buffer,
  length: number,
  flags: number,
  to: Buffer,
  toLength: number,
) => number;
const setsockopt = libc.func('int setsockopt(int, int, int, void *, int)') as (
  fd: number,
  level: number,
  name: number,
  value: Buffer,
  length: number,
) => number;
const interfaceIndex = libc.func('unsigned int if_nametoindex(const char *)') as (name: string) => number;
const usleep = libc.func('int usleep(unsigned int)') as (microseconds: number) => number;

function packetSocket(iface: string): number {
  const fd = openSocket(AF_PACKET, SOCK_RAW, ETH_P_ALL_BE);
  const address = Buffer.alloc(SOCKADDR_LL_BYTES);
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeUInt16LE(ETH_P_ALL_BE, 2);
  address.writeInt32LE(interfaceIndex(iface), 4);
  if (fd < 0 || bindSocket(fd, address, SOCKADDR_LL_BYTES) !== 0)
    throw new Error(`no packet socket on ${iface}`);
  const size = Buffer.alloc(4);
  size.writeInt32LE(SNDBUF_BYTES);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, size, size.length);
  return fd;
}

function ethernet(destination: string, source: string, type: number, length: number): Buffer {
  const frame = Buffer.alloc(length);
  frame.write(destination.replaceAll(':', ''), 0, 'hex');
  frame.write(source.replaceAll(':', ''), 6, 'hex');
  frame.writeUInt16BE(type, 12);
  return frame;
}

/** Gives the frame that is sent next; the same buffer may be changed and given again. */
function frameSource(kind: string): () => Buffer {
  if (kind === 'random-sources') {
    const frame = ethernet('02:fe:fe:fe:fe:fe', '02:00:00:00:00:00', EXPERIMENTAL_ETHERTYPE, 60);
    return () => {
      randomFillSync(frame, 7, 5);
      return frame;
    };
  }
  if (kind === 'arp-mismatch') {
    const frame = ethernet('ff:ff:ff:ff:ff:ff', '02:66:00:00:00:01', 0x0806, 60);
    // Ethernet, IPv4, 6, 4, reply; sender 02:66:00:00:00:99 10.42.2.2, target ff:… 10.42.2.2.
    frame.write('00010800060400020266000000990a2a0202ffffffffffff0a2a0202', 14, 'hex');
    return () => frame;
  }
  throw new Error(`no such kind of frames: ${kind}`);
}

function sendFrames(iface: string, kind: string, count: number): void {
  const fd = packetSocket(iface);
  const next = frameSource(kind);
  let sent = 0;
  for (let made = 0; made < count; made++) {
    const frame = next();
    for (let attempt = 0; attempt < RETRIES; attempt++) {
      if (send(fd, frame, frame.length, 0) === frame.length) {
        sent++;
        break;
      }
      usleep(PAUSE_US);
    }
  }
  process.stdout.write(`${sent}\n`);
}

function datagramSource(kind: string): (serial: number) => Buffer {
  const inner = ethernet('ff:ff:ff:ff:ff:ff', '02:66:66:66:66:66', EXPERIMENTAL_ETHERTYPE, 60);
  const header = Buffer.from([0x08, 0, 0, 0, 0, 0, 0, 0]);
  if (kind.startsWith('valid:')) {
    header.writeUIntBE(Number(kind.slice('valid:'.length)), 4, 3);
    const whole = Buffer.concat([header, inner]);
    return () => whole;
  }
  if (kind === 'no-flag') {
    header[0] = 0;
    header.writeUIntBE(4096, 4, 3);
    const whole = Buffer.concat([header, inner]);
    return () => whole;
  }
  if (kind === 'truncated') {
    header.writeUIntBE(4096, 4, 3);
    const whole = Buffer.concat([header, inner]);
    return (serial) => whole.subarray(0, serial % 22);
  }
  if (kind === 'probe-answers') {
    return (serial) => {
      const whole = Buffer.alloc(64);
      randomFillSync(whole, 4, 8);
      whole[0] = 6 + (serial & 1);
      whole.writeUInt16BE(1472, 2);
      return whole.subarray(0, whole[0] === 7 ? 16 : 64);
    };
  }
  throw new Error(`no such kind of datagrams: ${kind}`);
}

/** A raw ICMP socket; the kernel adds the IP header. */
function sendTooBig(target: string, mtu: number, count: number): void {
  const fd = openSocket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
  if (fd < 0) throw new Error('no raw socket');
  const octets = target.split('.').map(Number);
  const icmp = Buffer.alloc(8 + 28);
  icmp.set([3, 4]);
  icmp.writeUInt16BE(mtu, 6);
  // The quoted datagram: from the target's data port, with DF, to ours.
  icmp.set([0x45, 0, 5, 0xdc, 0, 0, 0x40, 0, 64, 17, 0, 0, ...octets, ...octets.slice(0, 3), 2], 8);
  icmp.set([4789 >> 8, 4789 & 255, 4789 >> 8, 4789 & 255, 5, 0xc8, 0, 0], 28);
  let sum = 0;
  for (let at = 0; at < icmp.length; at += 2) sum += icmp.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  icmp.writeUInt16BE(~sum & 0xffff, 2);
  const address = sockaddrOf(target);
  for (let i = 0; i < count; i++) {
    if (sendTo(fd, icmp, icmp.length, 0, address, address.length) !== icmp.length) throw new Error('sendto');
  }
  process.stdout.write(`${count}\n`);
}

function sockaddrOf(target: string): Buffer {
  const address = Buffer.alloc(16);
  address.writeUInt16LE(AF_INET, 0);
  address.set(target.split('.').map(Number), 4);
  return address;
}

/** A request whose answer is to come back to the port that it went out from. */
function echoAside(target: string): Uint8Array {
  const echo = new DataPathEcho({ crypto: tunnelCrypto, rng: new SeededRng(1), wall: Date.now });
  echo.setPeers(0, new Map([['target', { addr: { ip: target, port: 4789 }, keyed: false }]]));
  for (let now = 0; ; now += 1_000) {
    echo.handleDeadline(now);
    for (let out = echo.pollTransmit(); out !== undefined; out = echo.pollTransmit())
      if (out.bytes[1] === 1) return out.bytes;
  }
}

/** A raw UDP socket: the kernel adds the IP header, and gives no port. A checksum of 0 is none. */
async function sendFromPort0(target: string, name: string, count: number): Promise<void> {
  await tunnelCryptoReady;
  const fd = openSocket(AF_INET, SOCK_RAW, IPPROTO_UDP);
  if (fd < 0) throw new Error('no raw socket');
  const source = { sourceAddr: null, sourceNode: '', sourcePort: 0 };
  const ping = encodeMessage({ type: 'ping', node: name, seqNo: 1, ...source });
  const address = sockaddrOf(target);
  for (const [port, bytes] of [
    [7946, ping],
    [4789, echoAside(target)],
  ] as const) {
    const datagram = Buffer.concat([Buffer.alloc(8), bytes]);
    datagram.writeUInt16BE(port, 2);
    datagram.writeUInt16BE(datagram.length, 4);
    for (let i = 0; i < count; i++) {
      if (sendTo(fd, datagram, datagram.length, 0, address, address.length) !== datagram.length)
        throw new Error('sendto');
    }
  }
  process.stdout.write(`${count}\n`);
}

async function sendDatagrams(target: string, kind: string, count: number): Promise<void> {
  const socket = createSocket(target.includes(':') ? 'udp6' : 'udp4');
  const next = datagramSource(kind);
  for (let serial = 0; serial < count; serial++) {
    // One at a time: a burst would be lost in the receiver's socket buffer, uncounted by anybody.
    await new Promise((resolve) => {
      socket.send(next(serial), 4789, target, resolve);
    });
  }
  socket.close();
  process.stdout.write(`${count}\n`);
}

const [what, where = '', kind = '', count = '0'] = process.argv.slice(2);
if (what === 'frames') sendFrames(where, kind, Number(count));
else if (kind.startsWith('too-big:')) sendTooBig(where, Number(kind.slice('too-big:'.length)), Number(count));
else if (kind.startsWith('from-port-0:'))
  await sendFromPort0(where, kind.slice('from-port-0:'.length), Number(count));
else await sendDatagrams(where, kind, Number(count));
