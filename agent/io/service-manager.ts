/**
 * What a service manager is told: sd_notify(3), datagrams to the Unix socket that $NOTIFY_SOCKET names (a path, or a name
 * after "@" in the abstract namespace). Without that variable nobody is told anything.
 *
 * A line that cannot be sent is no reason to stop: the manager's own time-outs tell it then.
 */
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, close, sendTo, socket } from './libc.ts';

/** sun_path of unix(7). */
const PATH_MAX_BYTES = 107;
const FAMILY_BYTES = 2;

export class ServiceManager {
  readonly #address: Uint8Array | undefined;
  /** Undefined: the manager watches nothing. */
  readonly watchdogMs: number | undefined;

  constructor(environment: Readonly<Record<string, string | undefined>>, pid: number = process.pid) {
    this.#address = addressOf(environment['NOTIFY_SOCKET']);
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

  #send(lines: readonly string[]): void {
    if (this.#address === undefined) return;
    // A socket each time: these are few, and a manager that was restarted has a new one.
    const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    const message = new TextEncoder().encode(lines.map((line) => line.replaceAll('\n', ' ')).join('\n'));
    sendTo(fd, message, message.length, 0, this.#address, this.#address.length);
    close(fd);
  }
}

/** struct sockaddr_un; undefined when there is nobody to be told. */
function addressOf(name: string | undefined): Uint8Array | undefined {
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
