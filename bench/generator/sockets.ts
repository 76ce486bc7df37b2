/**
 * System calls for the load programs, through FFI: node:dgram and node:net would measure themselves.
 *
 * All structures live in one arena outside the JavaScript heap, laid out once for x86-64 and arm64 Linux (both LP64,
 * little-endian); a call in the loop passes numbers only. IPv4 only.
 */

import koffi from 'koffi';

const libc = koffi.load('libc.so.6');

/** Pointers go as numbers: below 2^53 on every Linux user space. */
export const sys = {
  socket: libc.func('int socket(int, int, int)') as (
    family: number,
    type: number,
    protocol: number,
  ) => number,
  bind: libc.func('int bind(int, int64_t, unsigned int)') as AddressCall,
  connect: libc.func('int connect(int, int64_t, unsigned int)') as AddressCall,
  listen: libc.func('int listen(int, int)') as (fd: number, backlog: number) => number,
  accept: libc.func('int accept(int, int64_t, int64_t)') as (
    fd: number,
    address: number,
    length: number,
  ) => number,
  setsockopt: libc.func('int setsockopt(int, int, int, int64_t, unsigned int)') as (
    fd: number,
    level: number,
    name: number,
    value: number,
    length: number,
  ) => number,
  send: libc.func('int64_t send(int, int64_t, size_t, int)') as TransferCall,
  recv: libc.func('int64_t recv(int, int64_t, size_t, int)') as TransferCall,
  sendmmsg: libc.func('int sendmmsg(int, int64_t, unsigned int, int)') as TransferCall,
  recvmmsg: libc.func('int recvmmsg(int, int64_t, unsigned int, int, int64_t)') as (
    fd: number,
    messages: number,
    count: number,
    flags: number,
    timeout: number,
  ) => number,
  nanosleep: libc.func('int nanosleep(int64_t, int64_t)') as (request: number, remaining: number) => number,
  prctl: libc.func('int prctl(int, unsigned long)') as (option: number, value: number) => number,
};

type AddressCall = (fd: number, address: number, length: number) => number;
type TransferCall = (fd: number, buffer: number, count: number, flags: number) => number;

const copyMemory = libc.func('uintptr_t memmove(void *, void *, size_t)') as (
  to: Uint8Array,
  from: Uint8Array,
  length: number,
) => number | bigint;

export const AF_INET = 2;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const IPPROTO_TCP = 6;
export const TCP_NODELAY = 1;
export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_SNDTIMEO = 21;
export const SO_RCVTIMEO = 20;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const MSG_WAITFORONE = 0x10000;
export const PR_SET_TIMERSLACK = 29;
export const SOCKADDR_BYTES = 16;
export const IOVEC_BYTES = 16;
/** struct mmsghdr: msghdr of 56 bytes, then the u32 length the kernel writes. */
export const MMSGHDR_BYTES = 64;
export const MMSGHDR_LENGTH_AT = 56;
const MSGHDR_IOV_AT = 16;
const MSGHDR_IOVLEN_AT = 24;

/** Fixed memory with its address; addresses are `base + offset`. */
export class Arena {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly base: number;

  constructor(size: number) {
    const buffer = new ArrayBuffer(size);
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.base = Number(copyMemory(this.bytes, this.bytes, 0));
  }

  writeU64(offset: number, value: number): void {
    this.view.setBigUint64(offset, BigInt(value), true);
  }

  /** Writes sockaddr_in. */
  writeAddress(offset: number, address: string, port: number): void {
    this.view.setUint16(offset, AF_INET, true);
    this.view.setUint16(offset + 2, port, false);
    address.split('.').forEach((part, index) => this.view.setUint8(offset + 4 + index, Number(part)));
  }

  /** Lays out `count` messages of one buffer each: mmsghdr at `headersAt`, iovec at `iovecsAt`. */
  writeMessages(
    count: number,
    at: { headers: number; iovecs: number; payload: (index: number) => number },
    size: number,
  ): void {
    for (let index = 0; index < count; index++) {
      const header = at.headers + index * MMSGHDR_BYTES;
      const iovec = at.iovecs + index * IOVEC_BYTES;
      this.writeU64(header + MSGHDR_IOV_AT, this.base + iovec);
      this.writeU64(header + MSGHDR_IOVLEN_AT, 1);
      this.writeU64(iovec, this.base + at.payload(index));
      this.writeU64(iovec + 8, size);
    }
  }
}

/** Throws with the name of the call and errno when the result is negative. */
export function checked(call: string, result: number): number {
  if (result < 0) throw new Error(`${call}: errno ${koffi.errno()}`);
  return result;
}

/** Sets an int option. */
export function setOption(
  arena: Arena,
  scratch: number,
  fd: number,
  level: number,
  name: number,
  value: number,
): void {
  arena.view.setInt32(scratch, value, true);
  checked('setsockopt', sys.setsockopt(fd, level, name, arena.base + scratch, 4));
}

/** Sets a timeout option (struct timeval). */
export function setTimeoutOption(arena: Arena, scratch: number, fd: number, name: number, ms: number): void {
  arena.writeU64(scratch, Math.floor(ms / 1000));
  arena.writeU64(scratch + 8, (ms % 1000) * 1000);
  checked('setsockopt', sys.setsockopt(fd, SOL_SOCKET, name, arena.base + scratch, 16));
}
