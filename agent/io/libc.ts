/**
 * System calls that Node does not offer, through koffi over libc. With openssl.ts the only FFI there is.
 *
 * Synchronous calls only (koffi's asynchronous calls are unsafe in workers, and a packet loop wants none). Two spellings
 * of a pointer exist: `At` functions take an address as a number (inside WASM memory, prepared once; no allocation, no
 * BigInt), the others take a typed array and serve set-up. Every call returns -1 on failure, and `errno()` is its number
 * until another call fails. Structure layouts elsewhere in this folder are those of 64-bit little-endian Linux.
 */
import { constants } from 'node:os';
import { koffi } from './ffi.ts';

const library = koffi.load(null);

type Bytes = Uint8Array;

/** The number of the last failed call, read at once: whatever runs in between may set it, a line of the log for one. */
let failure = 0;

function noted(result: number): number {
  if (result < 0) failure = koffi.errno();
  return result;
}

type Native = (...args: readonly (number | string | Bytes | Int32Array)[]) => number;

const native = (name: string, result: 'int' | 'int64', parameters: string[]): Native =>
  library.func(name, result, parameters);

const openNative = native('open', 'int', ['str', 'int']);
export function open(path: string, flags: number): number {
  return noted(openNative(path, flags));
}

const closeNative = native('close', 'int', ['int']);
export function close(fd: number): number {
  return noted(closeNative(fd));
}

const dupNative = native('dup', 'int', ['int']);
export function dup(fd: number): number {
  return noted(dupNative(fd));
}

const fcntlNative = native('fcntl', 'int', ['int', 'int', 'int']);
export function fcntl(fd: number, command: number, argument: number): number {
  return noted(fcntlNative(fd, command, argument));
}

const flockNative = native('flock', 'int', ['int', 'int']);
/** `operation`: LOCK_EX and LOCK_NB of flock(2), as 2 and 4. */
export function flock(fd: number, operation: number): number {
  return noted(flockNative(fd, operation));
}

const eventfdNative = native('eventfd', 'int', ['uint', 'int']);
export function eventfd(initial: number, flags: number): number {
  return noted(eventfdNative(initial, flags));
}

const setnsNative = native('setns', 'int', ['int', 'int']);
/** Moves the calling thread into the namespace of a descriptor. */
export function setns(fd: number, type: number): number {
  return noted(setnsNative(fd, type));
}

const readNative = native('read', 'int64', ['int', 'void *', 'size_t']);
export function read(fd: number, buffer: Bytes, length: number): number {
  return noted(readNative(fd, buffer, length));
}

const writeNative = native('write', 'int64', ['int', 'void *', 'size_t']);
export function write(fd: number, buffer: Bytes, length: number): number {
  return noted(writeNative(fd, buffer, length));
}

const readAtNative = native('read', 'int64', ['int', 'uintptr_t', 'size_t']);
export function readAt(fd: number, address: number, length: number): number {
  return noted(readAtNative(fd, address, length));
}

const writevAtNative = native('writev', 'int64', ['int', 'uintptr_t', 'int']);
export function writevAt(fd: number, iov: number, count: number): number {
  return noted(writevAtNative(fd, iov, count));
}

const ioctlNative = native('ioctl', 'int', ['int', 'ulong', 'void *']);
/** The third argument is a pointer to `argument`. */
export function ioctl(fd: number, request: number, argument: Bytes): number {
  return noted(ioctlNative(fd, request, argument));
}

const ioctlValueNative = native('ioctl', 'int', ['int', 'ulong', 'ulong']);
/** The third argument is the number itself. */
export function ioctlValue(fd: number, request: number, argument: number): number {
  return noted(ioctlValueNative(fd, request, argument));
}

const socketNative = native('socket', 'int', ['int', 'int', 'int']);
export function socket(domain: number, type: number, protocol: number): number {
  return noted(socketNative(domain, type, protocol));
}

const bindNative = native('bind', 'int', ['int', 'void *', 'uint']);
export function bind(fd: number, address: Bytes, length: number): number {
  return noted(bindNative(fd, address, length));
}

const setsockoptNative = native('setsockopt', 'int', ['int', 'int', 'int', 'void *', 'uint']);
export function setsockopt(fd: number, level: number, name: number, value: Bytes, length: number): number {
  return noted(setsockoptNative(fd, level, name, value, length));
}

const sendToNative = native('sendto', 'int64', ['int', 'void *', 'size_t', 'int', 'void *', 'uint']);
/** One datagram to an address. */
export function sendTo(
  fd: number,
  message: Bytes,
  length: number,
  flags: number,
  address: Bytes,
  addressLength: number,
): number {
  return noted(sendToNative(fd, message, length, flags, address, addressLength));
}

const sendmsgAtNative = native('sendmsg', 'int64', ['int', 'uintptr_t', 'int']);
/** `message` is a struct msghdr; see service-manager.ts. */
export function sendmsgAt(fd: number, message: number, flags: number): number {
  return noted(sendmsgAtNative(fd, message, flags));
}

const sendmmsgAtNative = native('sendmmsg', 'int', ['int', 'uintptr_t', 'uint', 'int']);
/** `table` is struct mmsghdr[count]; returns how many messages went out. */
export function sendmmsgAt(fd: number, table: number, count: number, flags: number): number {
  return noted(sendmmsgAtNative(fd, table, count, flags));
}

const recvmmsgAtNative = native('recvmmsg', 'int', ['int', 'uintptr_t', 'uint', 'int', 'uintptr_t']);
/** Returns how many messages came in; no timeout (the kernel's is not what its manual says). */
export function recvmmsgAt(fd: number, table: number, count: number, flags: number): number {
  return noted(recvmmsgAtNative(fd, table, count, flags, 0));
}

const recvNative = native('recv', 'int64', ['int', 'void *', 'size_t', 'int']);
export function recv(fd: number, buffer: Bytes, length: number, flags: number): number {
  return noted(recvNative(fd, buffer, length, flags));
}

const pollNative = native('poll', 'int', ['void *', 'ulong', 'int']);
/** `fds` is struct pollfd[count]: i32 fd, i16 events, i16 revents. */
export function poll(fds: Int32Array, count: number, timeoutMs: number): number {
  return noted(pollNative(fds, count, timeoutMs));
}

const pollAtNative = native('poll', 'int', ['uintptr_t', 'ulong', 'int']);
export function pollAt(fds: number, count: number, timeoutMs: number): number {
  return noted(pollAtNative(fds, count, timeoutMs));
}

const epollCreateNative = native('epoll_create1', 'int', ['int']);
export function epollCreate(flags: number): number {
  return noted(epollCreateNative(flags));
}

const epollControlAtNative = native('epoll_ctl', 'int', ['int', 'int', 'int', 'uintptr_t']);
/** `event` is struct epoll_event, packed on x86-64 alone; see tap-set.ts. */
export function epollControlAt(epoll: number, operation: number, fd: number, event: number): number {
  return noted(epollControlAtNative(epoll, operation, fd, event));
}

const epollWaitAtNative = native('epoll_wait', 'int', ['int', 'uintptr_t', 'int', 'int']);
/** `events` is struct epoll_event[count]; returns how many were written. */
export function epollWaitAt(epoll: number, events: number, count: number, timeoutMs: number): number {
  return noted(epollWaitAtNative(epoll, events, count, timeoutMs));
}

const memmove: (to: Bytes, from: Bytes, length: number) => number | bigint = library.func(
  'memmove',
  'uintptr_t',
  ['void *', 'void *', 'size_t'],
);

/**
 * The process address of a buffer's first byte. Stays right only for memory that never moves: a shared
 * WebAssembly.Memory whose initial size is its maximum, or a SharedArrayBuffer.
 */
export function addressOf(view: Uint8Array): number {
  return Number(memmove(view, view, 0)); // a move of nothing returns its target
}

/** The error number of the last failed call on this thread. */
export function errno(): number {
  return failure;
}

const NAMES = new Map<number, string>(Object.entries(constants.errno).map(([name, value]) => [value, name]));

/** `13` → `EACCES`. */
export function errnoName(number: number): string {
  return NAMES.get(number) ?? `errno ${number}`;
}

/** Calls `ready` whenever `fd` is readable, on this thread's event loop; returns what ends that. */
export function watchReadable(fd: number, ready: () => void): () => void {
  const handle = koffi.node.poll(fd, { readable: true }, ready);
  return () => {
    handle.close();
  };
}

export const {
  EPERM,
  EACCES,
  EAGAIN,
  EBUSY,
  EFAULT,
  EINTR,
  EINVAL,
  EIO,
  ENOENT,
  ENODEV,
  ENXIO,
  EADDRINUSE,
  EADDRNOTAVAIL,
  EMSGSIZE,
  ENOBUFS,
  EMFILE,
  ENFILE,
} = constants.errno;
/** Descriptor of a TAP that was deleted; Node has no name for it. */
export const EBADFD = 77;

export const CLONE_NEWNET = 0x4000_0000;
export const F_SETFD = 2;
export const FD_CLOEXEC = 1;
export const O_RDONLY = 0;
export const O_RDWR = 2;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
export const EPOLL_CLOEXEC = O_CLOEXEC;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
export const EPOLLIN = 1;
/** After one report the descriptor is silent until it is armed again. */
export const EPOLLONESHOT = 1 << 30;
export const POLLIN = 1;
export const POLLOUT = 4;
export const MSG_DONTWAIT = 0x40;
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOL_SOCKET = 1;
export const SCM_RIGHTS = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = O_NONBLOCK;
export const SOCK_CLOEXEC = O_CLOEXEC;
export const EFD_NONBLOCK = O_NONBLOCK;
export const EFD_CLOEXEC = O_CLOEXEC;
