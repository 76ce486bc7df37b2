/**
 * Counts UDP datagrams with recvmmsg; ends after 400 ms of silence and prints the count as JSON.
 *
 *   node udp-receiver.js --on IP --port N --bytes N
 *
 * Says "ready" once bound. Datagrams of another length are counted apart: a path that changes them has not carried them.
 */

import { writeSync } from 'node:fs';
import { programArguments } from './generator/arguments.ts';
import {
  AF_INET,
  Arena,
  IOVEC_BYTES,
  MMSGHDR_BYTES,
  MMSGHDR_LENGTH_AT,
  MSG_WAITFORONE,
  SOCKADDR_BYTES,
  SOCK_DGRAM,
  SOL_SOCKET,
  SO_RCVBUFFORCE,
  SO_RCVTIMEO,
  checked,
  setOption,
  setTimeoutOption,
  sys,
} from './generator/sockets.ts';

const BATCH = 64;
const SLOT_BYTES = 2048;
const SILENCE_MS = 400;
const FIRST_WITHIN_MS = 10_000;
const RECEIVE_BUFFER_BYTES = 16 << 20;
const SCRATCH = 0;
const HEADERS = 64;
const IOVECS = HEADERS + BATCH * MMSGHDR_BYTES;
const SLOTS = IOVECS + BATCH * IOVEC_BYTES;

const given = programArguments(['on', 'port', 'bytes']);
const arena = new Arena(SLOTS + BATCH * SLOT_BYTES);
const fd = openSocket();
// Written through at once: the loop below never returns to the event loop.
writeSync(1, 'ready\n');
writeSync(1, `${JSON.stringify(receive(Number(given.bytes)))}\n`);

function openSocket(): number {
  const socket = checked('socket', sys.socket(AF_INET, SOCK_DGRAM, 0));
  setOption(arena, SCRATCH, socket, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES);
  setTimeoutOption(arena, SCRATCH, socket, SO_RCVTIMEO, SILENCE_MS);
  arena.writeAddress(SCRATCH, given.on, Number(given.port));
  checked('bind', sys.bind(socket, arena.base + SCRATCH, SOCKADDR_BYTES));
  const payload = (index: number): number => SLOTS + index * SLOT_BYTES;
  arena.writeMessages(BATCH, { headers: HEADERS, iovecs: IOVECS, payload }, SLOT_BYTES);
  return socket;
}

function receive(expectedBytes: number): { received: number; misshapen: number } {
  const firstBy = performance.now() + FIRST_WITHIN_MS;
  let received = 0;
  let misshapen = 0;
  for (;;) {
    const count = sys.recvmmsg(fd, arena.base + HEADERS, BATCH, MSG_WAITFORONE, 0);
    if (count <= 0) {
      if (received > 0 || performance.now() > firstBy) return { received, misshapen };
      continue;
    }
    for (let index = 0; index < count; index++) {
      const length = arena.view.getUint32(HEADERS + index * MMSGHDR_BYTES + MMSGHDR_LENGTH_AT, true);
      if (length === expectedBytes) received++;
      else misshapen++;
    }
  }
}
