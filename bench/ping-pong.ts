/**
 * TCP ping-pong of a fixed size with blocking calls: the time of one request and its answer.
 *
 *   node ping-pong.js --role server --at IP --port N --bytes N --seconds 0      echoes one connection, then ends
 *   node ping-pong.js --role client --at IP --port N --bytes N --seconds N      prints p50 and p99 in µs as JSON
 *
 * TCP_NODELAY on both ends; the first 200 ms are warm-up and not counted.
 */

import { writeSync } from 'node:fs';
import { programArguments } from './generator/arguments.ts';
import {
  AF_INET,
  Arena,
  IPPROTO_TCP,
  SOCKADDR_BYTES,
  SOCK_STREAM,
  SOL_SOCKET,
  SO_RCVTIMEO,
  SO_REUSEADDR,
  TCP_NODELAY,
  checked,
  setOption,
  setTimeoutOption,
  sys,
} from './generator/sockets.ts';
import { quantileOfSorted } from './harness/statistics.ts';

const SCRATCH = 0;
const MESSAGE = 64;
const WARM_UP_MS = 200;
const STALL_MS = 5_000;
const MAX_SAMPLES = 1_000_000;

const given = programArguments(['role', 'at', 'port', 'bytes', 'seconds']);
const bytes = Number(given.bytes);
const arena = new Arena(MESSAGE + bytes);
const socket = checked('socket', sys.socket(AF_INET, SOCK_STREAM, 0));
arena.writeAddress(SCRATCH, given.at, Number(given.port));
if (given.role === 'server') serve();
else writeSync(1, `${JSON.stringify(measure(Number(given.seconds) * 1000))}\n`);

function serve(): void {
  setOption(arena, SCRATCH + 32, socket, SOL_SOCKET, SO_REUSEADDR, 1);
  checked('bind', sys.bind(socket, arena.base + SCRATCH, SOCKADDR_BYTES));
  checked('listen', sys.listen(socket, 1));
  writeSync(1, 'ready\n');
  const connection = checked('accept', sys.accept(socket, 0, 0));
  setOption(arena, SCRATCH + 32, connection, IPPROTO_TCP, TCP_NODELAY, 1);
  while (receiveWhole(connection)) checked('send', sys.send(connection, arena.base + MESSAGE, bytes, 0));
}

function measure(durationMs: number): { p50: number; p99: number; samples: number } {
  checked('connect', sys.connect(socket, arena.base + SCRATCH, SOCKADDR_BYTES));
  setOption(arena, SCRATCH + 32, socket, IPPROTO_TCP, TCP_NODELAY, 1);
  setTimeoutOption(arena, SCRATCH + 32, socket, SO_RCVTIMEO, STALL_MS);
  const samples = new Float64Array(MAX_SAMPLES);
  let count = 0;
  const began = performance.now();
  for (let now = began; now - began < WARM_UP_MS + durationMs && count < MAX_SAMPLES;) {
    checked('send', sys.send(socket, arena.base + MESSAGE, bytes, 0));
    if (!receiveWhole(socket)) throw new Error('the other end closed');
    const answered = performance.now();
    if (now - began >= WARM_UP_MS) samples[count++] = answered - now;
    now = answered;
  }
  const sorted = samples.subarray(0, count).sort();
  const micros = (q: number): number => quantileOfSorted(sorted, q) * 1000;
  return { p50: micros(0.5), p99: micros(0.99), samples: count };
}

/** False at the end of the stream. */
function receiveWhole(fd: number): boolean {
  for (let got = 0; got < bytes;) {
    const count = checked('recv', sys.recv(fd, arena.base + MESSAGE + got, bytes - got, 0));
    if (count === 0) return false;
    got += count;
  }
  return true;
}
