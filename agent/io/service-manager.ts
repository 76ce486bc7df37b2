/**
 * What a service manager is told: sd_notify(3), datagrams to the Unix socket that $NOTIFY_SOCKET names (a path, or a name
 * after "@" in the abstract namespace). Without that variable nobody is told anything.
 *
 * A line that cannot be sent is no reason to stop: the manager's own time-outs tell it then.
 */
import {
  AF_UNIX,
  SCM_RIGHTS,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOL_SOCKET,
  addressOf,
  close,
  sendTo,
  sendmsgAt,
  socket,
} from './libc.ts';

/** sun_path of unix(7). */
const PATH_MAX_BYTES = 107;
const FAMILY_BYTES = 2;

export class ServiceManager {
  readonly #address: Uint8Array | undefined;
  /** Undefined: the manager watches nothing. */
  readonly watchdogMs: number | undefined;

  constructor(environment: Readonly<Record<string, string | undefined>>, pid: number = process.pid) {
    this.#address = socketAddress(environment['NOTIFY_SOCKET']);
    const usec = Number(environment['WATCHDOG_USEC']);
    const isOurs = [undefined, `${pid}`].includes(environment['WATCHDOG_PID']);
    this.watchdogMs = this.#address !== undefined && isOurs && usec > 0 ? usec / 1_000 : undefined;
  }

  ready(status: string): void {
    this.#send(['READY=1', `STATUS=${status}`]);
  }

  /** To be followed by `ready`. */
  reloading(): void {
    this.#send(['RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1_000n}`]);
  }

  stopping(): void {
    this.#send(['STOPPING=1']);
  }

  /** To be said more often than `watchdogMs`, and only while all is well. */
  alive(): void {
    this.#send(['WATCHDOG=1']);
  }

  /**
   * Has descriptors kept until `discard`, also when this process ends; the next run is given them under `name`. What is
   * said with them is in the manager's queue when this returns, whatever becomes of us then. FDPOLL=0: the manager is not
   * to watch them, or each frame that comes out of a TAP would have to look at its wait queue as well. False: there is a
   * manager, and it could not be told.
   */
  store(name: string, fds: readonly number[]): boolean {
    return this.#send(['FDSTORE=1', 'FDPOLL=0', `FDNAME=${name}`], fds);
  }

  discard(name: string): void {
    this.#send(['FDSTOREREMOVE=1', `FDNAME=${name}`]);
  }

  #send(lines: readonly string[], fds: readonly number[] = []): boolean {
    if (this.#address === undefined) return true;
    // A socket each time: these are few, and a manager that was restarted has a new one.
    const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    const message = new TextEncoder().encode(lines.map((line) => line.replaceAll('\n', ' ')).join('\n'));
    const sent =
      fds.length === 0
        ? sendTo(fd, message, message.length, 0, this.#address, this.#address.length)
        : sendWithDescriptors(fd, message, this.#address, fds);
    close(fd);
    return sent === message.length;
  }
}

// struct msghdr { name*, namelen, iov*, iovlen, control*, controllen, flags }, cmsg(3).
const MSGHDR_BYTES = 56;
const IOVEC_BYTES = 16;
const CMSGHDR_BYTES = 16;

function sendWithDescriptors(
  socketFd: number,
  message: Uint8Array,
  address: Uint8Array,
  fds: readonly number[],
): number {
  const control = CMSGHDR_BYTES + 4 * fds.length;
  const iovAt = MSGHDR_BYTES;
  const controlAt = iovAt + IOVEC_BYTES;
  const addressAt = (controlAt + control + 7) & ~7;
  const messageAt = addressAt + address.length;
  // Shared memory never moves.
  const bytes = new Uint8Array(new SharedArrayBuffer(messageAt + message.length));
  const base = addressOf(bytes);
  const view = new DataView(bytes.buffer);
  const word = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  word(0, base + addressAt);
  view.setUint32(8, address.length, true);
  word(16, base + iovAt);
  word(24, 1);
  word(32, base + controlAt);
  word(40, control);
  word(iovAt, base + messageAt);
  word(iovAt + 8, message.length);
  word(controlAt, control);
  view.setInt32(controlAt + 8, SOL_SOCKET, true);
  view.setInt32(controlAt + 12, SCM_RIGHTS, true);
  for (const [i, fd] of fds.entries()) view.setInt32(controlAt + CMSGHDR_BYTES + 4 * i, fd, true);
  bytes.set(address, addressAt);
  bytes.set(message, messageAt);
  return sendmsgAt(socketFd, base, 0);
}

/** struct sockaddr_un; undefined when there is nobody to be told. */
function socketAddress(name: string | undefined): Uint8Array | undefined {
  if (name === undefined || !/^[/@]./.test(name)) return undefined;
  const path = new TextEncoder().encode(name);
  if (path.length > PATH_MAX_BYTES) return undefined;
  const isAbstract = name.startsWith('@');
  const address = new Uint8Array(FAMILY_BYTES + path.length + (isAbstract ? 0 : 1));
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(path, FAMILY_BYTES);
  if (isAbstract) address[FAMILY_BYTES] = 0;
  return address;
}
