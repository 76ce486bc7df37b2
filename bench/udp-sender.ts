/**
 * Sends UDP datagrams of one flow at a paced rate, or unpaced, with sendmmsg; prints what it sent as JSON.
 *
 *   node udp-sender.js --to IP --port N --bytes N --pps N --seconds N        (--pps 0: unpaced)
 *
 * Paced traffic leaves in bursts of about 100 µs of the rate, 64 datagrams at most. A sender that was not scheduled
 * forgets what it missed beyond 2 ms: catching up would be a burst the rate does not stand for. The rate that counts
 * is the one in the output.
 */

import { programArguments } from './generator/arguments.ts';
import {
  AF_INET,
  Arena,
  IOVEC_BYTES,
  MMSGHDR_BYTES,
  PR_SET_TIMERSLACK,
  SOCKADDR_BYTES,
  SOCK_DGRAM,
  SOL_SOCKET,
  SO_SNDBUFFORCE,
  SO_SNDTIMEO,
  checked,
  setOption,
  setTimeoutOption,
  sys,
} from './generator/sockets.ts';

const MAX_BURST = 64;
const BURST_SECONDS = 100e-6;
const FORGIVEN_MS = 2;
const SEND_BUFFER_BYTES = 8 << 20;
const SCRATCH = 0;
const SLEEP = 32;
const HEADERS = 64;
const IOVECS = HEADERS + MAX_BURST * MMSGHDR_BYTES;
const PAYLOAD = IOVECS + MAX_BURST * IOVEC_BYTES;

const given = programArguments(['to', 'port', 'bytes', 'pps', 'seconds']);
const bytes = Number(given.bytes);
const pps = Number(given.pps);
const arena = new Arena(PAYLOAD + bytes);
const fd = openSocket();
process.stdout.write(`${JSON.stringify(send(Number(given.seconds) * 1000))}\n`);

function openSocket(): number {
  const socket = checked('socket', sys.socket(AF_INET, SOCK_DGRAM, 0));
  setOption(arena, SCRATCH, socket, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER_BYTES);
  // A device that stops draining must not hang the trial: the rest is then simply not sent.
  setTimeoutOption(arena, SCRATCH, socket, SO_SNDTIMEO, 200);
  arena.writeAddress(SCRATCH, given.to, Number(given.port));
  checked('connect', sys.connect(socket, arena.base + SCRATCH, SOCKADDR_BYTES));
  // All messages share one payload: its content does not matter, its length does.
  arena.bytes.fill(0x5a, PAYLOAD, PAYLOAD + bytes);
  arena.writeMessages(MAX_BURST, { headers: HEADERS, iovecs: IOVECS, payload: () => PAYLOAD }, bytes);
  sys.prctl(PR_SET_TIMERSLACK, 1);
  return socket;
}

function send(durationMs: number): { sent: number; seconds: number } {
  const burst = pps === 0 ? MAX_BURST : Math.min(MAX_BURST, Math.max(1, Math.round(pps * BURST_SECONDS)));
  const perMs = pps / 1000;
  const began = performance.now();
  let paceFrom = began;
  let paced = 0;
  let sent = 0;
  for (let now = began; now - began < durationMs; now = performance.now()) {
    if (pps > 0) {
      const due = (now - paceFrom) * perMs - paced;
      if (due < burst) {
        sleepMs((burst - due) / perMs);
        continue;
      }
      if (due > burst + FORGIVEN_MS * perMs) paceFrom += (due - burst) / perMs;
    }
    const count = sys.sendmmsg(fd, arena.base + HEADERS, burst, 0);
    // ENOBUFS and EAGAIN mean not sent; the pace goes on, and the offered rate tells.
    if (count > 0) sent += count;
    paced += burst;
  }
  return { sent, seconds: (performance.now() - began) / 1000 };
}

function sleepMs(ms: number): void {
  arena.writeU64(SLEEP, 0);
  arena.writeU64(SLEEP + 8, Math.floor(ms * 1e6));
  sys.nanosleep(arena.base + SLEEP, 0);
}
