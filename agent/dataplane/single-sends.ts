import { EAGAIN, EINTR, EINVAL, EIO } from '../io/libc.ts';
import { constant } from './core.ts';
import type { Core } from './core.ts';
import type { CoreExports } from './core-exports.ts';

/**
 * Runs of datagrams to peers on whose route the kernel does not cut them (udp(7), UDP_SEGMENT): EIO where IPsec
 * transforms what is sent, and before Linux 6.10 where the device computes no checksums; EINVAL where UDP_SEGMENT is not
 * known. Lone datagrams pass there, so a run goes as such (core-wasm/spread.ts).
 *
 * A peer with which that worked is remembered: its runs are not tried as such for half a minute. Hot path for such peers.
 */
export interface SingleSendsParts {
  readonly core: Core;
  /** Address of the core's memory. */
  readonly base: number;
  /** sendmmsg: how many were sent, or less than one. */
  readonly send: (fd: number, at: number, count: number) => number;
  readonly errno: () => number;
  /** Waits a little, once a push. */
  readonly waitWritable: (fd: number) => boolean;
  /** A peer's route was found to be such. */
  readonly onRefused: (errno: number) => void;
}

const RETRY_MS = 30_000;
const MMSGHDR_SIZE = 64;
const RUN_MAX = 64;

export class SingleSends {
  readonly #core: CoreExports;
  readonly #parts: SingleSendsParts;
  readonly #table: number;
  readonly #sendFailed: number;
  readonly #sendBusy: number;
  /** By peer: until when its runs go as single datagrams, ms. */
  readonly #until: Float64Array;
  /** The latest of them. */
  #anyUntil = -Infinity;
  /** By place in the run at hand: reason, or 0 for what was sent. */
  readonly #reasons = new Uint32Array(RUN_MAX);

  constructor(parts: SingleSendsParts) {
    const { core, base } = parts;
    this.#parts = parts;
    this.#core = core.exports;
    this.#table = base + constant(core.constants, 'SINGLE_TABLE');
    this.#sendFailed = constant(core.constants, 'REASON_SEND_FAILED');
    this.#sendBusy = constant(core.constants, 'REASON_SEND_BUSY');
    this.#until = new Float64Array(constant(core.constants, 'PEER_MAX')).fill(-Infinity);
  }

  /** Whether there are such peers. */
  isNeeded(nowMs: number): boolean {
    return nowMs < this.#anyUntil;
  }

  /** Sends message `index` of table `socket` if it is a run for such a peer; false: it is still to be sent. */
  sendKnown(nowMs: number, fd: number, socket: number, index: number): boolean {
    const peer = this.#core.runPeer(socket, index);
    if (peer < 0 || nowMs >= (this.#until[peer] as number)) return false;
    if (this.#sendRun(fd, socket, index) === 0)
      this.#core.txFailed(socket, index, this.#reasons[0] as number);
    return true;
  }

  /** The kernel refused message `index` with `errno`. False: that was not because it is a run. */
  sendRefused(nowMs: number, fd: number, socket: number, index: number, errno: number): boolean {
    if (errno !== EIO && errno !== EINVAL) return false;
    const peer = this.#core.runPeer(socket, index);
    if (peer < 0 || this.#sendRun(fd, socket, index) === 0) return false;
    // Where only a shorter last one passes, the run's datagrams are what is too long.
    if (this.#reasons[0] !== 0) return true;
    this.#until[peer] = nowMs + RETRY_MS;
    this.#anyUntil = nowMs + RETRY_MS;
    this.#parts.onRefused(errno);
    return true;
  }

  /** Returns how many datagrams were sent; when some were, those that were not are accounted for. */
  #sendRun(fd: number, socket: number, index: number): number {
    const { send, errno, waitWritable } = this.#parts;
    const count = this.#core.spreadRun(socket, index);
    let sent = 0;
    let done = 0;
    while (done < count) {
      const now = send(fd, this.#table + done * MMSGHDR_SIZE, count - done);
      if (now > 0) {
        this.#reasons.fill(0, done, done + now);
        sent += now;
        done += now;
        continue;
      }
      const number = errno();
      if (number === EINTR || (number === EAGAIN && waitWritable(fd))) continue;
      this.#reasons[done] = number === EAGAIN ? this.#sendBusy : this.#sendFailed;
      done++;
    }
    if (sent === 0 || sent === count) return sent;
    for (let place = 0; place < count; place++) {
      const reason = this.#reasons[place] as number;
      if (reason !== 0) this.#core.singleFailed(socket, index, place, reason);
    }
    return sent;
  }
}
