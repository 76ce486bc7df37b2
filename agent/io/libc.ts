/**
 * System calls that Node does not offer, through koffi over libc. With openssl.ts the only FFI there is.
 *
 * Synchronous calls only (koffi's asynchronous calls are unsafe in workers, and a packet loop wants none). Two spellings
 * of a pointer exist: `At` functions take an address as a number (inside WASM memory, prepared once; no allocation, no
 * BigInt), the others take a typed array and serve set-up. Every call returns -1 on failure; `errno()` must be read
 * before the next call. Structure layouts elsewhere in this folder are those of 64-bit little-endian Linux.
 */
import { constants } from 'node:os';
import koffi from 'koffi';

const library = koffi.load(null);

type Bytes = Uint8Array;

export const open: (path: string, flags: number) => number = library.func('open', 'int', ['str', 'int']);
export const close: (fd: number) => number = library.func('close', 'int', ['int']);
export const dup: (fd: number) => number = library.func('dup', 'int', ['int']);
export const fcntl: (fd: number, command: number, argument: number) => number = library.func('fcntl', 'int', [
  'int',
  'int',
  'int',
]);
export const eventfd: (initial: number, flags: number) => number = library.func('eventfd', 'int', [
  'uint',
  'int',
]);

/** Moves the calling thread into the namespace of a descriptor. */
export const setns: (fd: number, type: number) => number = library.func('setns', 'int', ['int', 'int']);

export const read: (fd: number, buffer: Bytes, length: number) => number = library.func('read', 'int64', [
  'int',
  'void *',
  'size_t',
]);
export const write: (fd: number, buffer: Bytes, length: number) => number = library.func('write', 'int64', [
  'int',
  'void *',
  'size_t',
]);
export const readAt: (fd: number, address: number, length: number) => number = library.func('read', 'int64', [
  'int',
  'uintptr_t',
  'size_t',
]);
export const writevAt: (fd: number, iov: number, count: number) => number = library.func('writev', 'int64', [
  'int',
  'uintptr_t',
  'int',
]);

/** The third argument is a pointer to `argument`. */
export const ioctl: (fd: number, request: number, argument: Bytes) => number = library.func('ioctl', 'int', [
  'int',
  'ulong',
  'void *',
]);
/** The third argument is the number itself. */
export const ioctlValue: (fd: number, request: number, argument: number) => number = library.func(
  'ioctl',
  'int',
  ['int', 'ulong', 'ulong'],
);

export const socket: (domain: number, type: number, protocol: number) => number = library.func(
  'socket',
  'int',
  ['int', 'int', 'int'],
);
export const bind: (fd: number, address: Bytes, length: number) => number = library.func('bind', 'int', [
  'int',
  'void *',
  'uint',
]);
export const setsockopt: (fd: number, level: number, name: number, value: Bytes, length: number) => number =
  library.func('setsockopt', 'int', ['int', 'int', 'int', 'void *', 'uint']);

/** One datagram to an address. */
export const sendTo: (
  fd: number,
  message: Bytes,
  length: number,
  flags: number,
  address: Bytes,
  addressLength: number,
) => number = library.func('sendto', 'int64', ['int', 'void *', 'size_t', 'int', 'void *', 'uint']);

/** `message` is a struct msghdr; see service-manager.ts. */
export const sendmsgAt: (fd: number, message: number, flags: number) => number = library.func(
  'sendmsg',
  'int64',
  ['int', 'uintptr_t', 'int'],
);

/** `table` is struct mmsghdr[count]; returns how many messages went out. */
export const sendmmsgAt: (fd: number, table: number, count: number, flags: number) => number = library.func(
  'sendmmsg',
  'int',
  ['int', 'uintptr_t', 'uint', 'int'],
);
/** Returns how many messages came in; no timeout (the kernel's is not what its manual says). */
const recvmmsgRaw: (fd: number, table: number, count: number, flags: number, timeout: number) => number =
  library.func('recvmmsg', 'int', ['int', 'uintptr_t', 'uint', 'int', 'uintptr_t']);
export function recvmmsgAt(fd: number, table: number, count: number, flags: number): number {
  return recvmmsgRaw(fd, table, count, flags, 0);
}
export const recv: (fd: number, buffer: Bytes, length: number, flags: number) => number = library.func(
  'recv',
  'int64',
  ['int', 'void *', 'size_t', 'int'],
);

/** `fds` is struct pollfd[count]: i32 fd, i16 events, i16 revents. */
export const poll: (fds: Int32Array, count: number, timeoutMs: number) => number = library.func(
  'poll',
  'int',
  ['void *', 'ulong', 'int'],
);
export const pollAt: (fds: number, count: number, timeoutMs: number) => number = library.func('poll', 'int', [
  'uintptr_t',
  'ulong',
  'int',
]);

export const epollCreate: (flags: number) => number = library.func('epoll_create1', 'int', ['int']);
/** `event` is struct epoll_event, packed on x86-64 alone; see tap-set.ts. */
export const epollControlAt: (epoll: number, operation: number, fd: number, event: number) => number =
  library.func('epoll_ctl', 'int', ['int', 'int', 'int', 'uintptr_t']);
/** `events` is struct epoll_event[count]; returns how many were written. */
export const epollWaitAt: (epoll: number, events: number, count: number, timeoutMs: number) => number =
  library.func('epoll_wait', 'int', ['int', 'uintptr_t', 'int', 'int']);

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
  return koffi.errno();
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
