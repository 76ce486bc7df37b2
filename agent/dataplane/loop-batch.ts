/**
 * One worker's breath, the fast way: the kernel reads and writes the core's memory, JavaScript only loops over calls.
 *
 *   1 tick      time to the core; heartbeat
 *   2 pull      read each TAP until it is empty or the batch is full → core.fromTap
 *   3 push      seal what is to be sealed, sendmmsg every transmit table, writev every out record
 *   4 receive   recvmmsg → open what is sealed → core.fromTunnel → writev every out record
 *   5 obey      commands of the control plane; ring the doorbell when events wait
 *   6 sleep     poll, when 2 and 4 found little; the breath after it looks only at what poll named
 *
 * Measured: under load, draining first and polling last beats acting on poll's answer by 8–14 %; more than 4 messages
 * a recvmmsg gains nothing; separate sending and receiving threads lose. A lone small frame (a request, an answer) is
 * the other case: polling right behind it saves three calls that find nothing, on every hop of a round trip.
 * Hot path: no allocation, closure, BigInt, promise, exception or log line per packet. The thread's event loop never
 * runs: it is stopped and woken through the control block and an eventfd.
 */
import { monotonicMs } from '../clock.ts';
import {
  EAGAIN,
  EBADFD,
  EINTR,
  MSG_DONTWAIT,
  POLLIN,
  POLLOUT,
  errno,
  poll,
  pollAt,
  read,
  readAt,
  recvmmsgAt,
  sendmmsgAt,
  writevAt,
} from '../io/libc.ts';
import { openSealed, sealListed } from './cipher.ts';
import type { Cipher } from './cipher.ts';
import type { ControlBlock } from './control-block.ts';
import { constant } from './core.ts';
import type { Core } from './core.ts';
import type { CoreExports } from './core-exports.ts';
import type { WorkerMessage, WorkerOptions } from './worker-options.ts';

const MMSGHDR_SIZE = 64;
const RECEIVE_MESSAGES = 4;
const COMMANDS_PER_BREATH = 256;
const SLEEP_MS = 250; // idle heartbeat, ageing
const EVENT_SLEEP_MS = 5; // while events wait for the doorbell's pause to pass
const DOORBELL_PAUSE_MS = 4;
const SEND_WAIT_MS = 1;
const SENDS_PER_CALL = 1024; // UIO_MAXIOV, the kernel's own limit
const OUT_IOVECS = 2;
const POLLFD_WORDS = 2;
const RECEIVE_POLLFD = 1;
const FIRST_TAP_POLLFD = 2; // after the eventfd and the receive socket
/**
 * After so many breaths in a row that moved no more than so many bytes, the traffic is taken for requests and answers.
 * The streak matters: a single light breath is often a TCP acknowledgement amid bulk.
 */
const LIGHT_BYTES = 2048;
const LIGHT_STREAK = 16;
const MSG_LENGTH_WORD = 14; // msg_len in struct mmsghdr

export class BatchLoop {
  readonly #core: CoreExports;
  readonly #cipher: Cipher;
  readonly #control: ControlBlock;
  readonly #post: (message: WorkerMessage) => void;
  readonly #base: number;
  readonly #words: Int32Array;
  readonly #taps: Int32Array; // port and descriptor of each TAP, in turn
  readonly #tapNames: readonly string[];
  readonly #fdOfPort: Int32Array;
  readonly #transmitFds: Int32Array;
  readonly #receiveFd: number;
  readonly #eventFd: number;
  readonly #eventCount = new Uint8Array(8);
  readonly #writable: Int32Array = Int32Array.of(0, POLLOUT);
  readonly #pollfds: Int32Array;
  readonly #pollfdsAt: number;
  readonly #pollfdCount: number;
  readonly #slotBase: number;
  readonly #slotSize: number;
  readonly #slots: number;
  readonly #receiveTable: number;
  readonly #firstLength: number; // word index of message 0's msg_len
  readonly #outWords: number;
  readonly #outRecordWords: number;
  readonly #tapBatch: number;
  readonly #spin: number;
  readonly #commandHead: number;
  readonly #commandTail: number;
  readonly #eventHead: number;
  readonly #eventTail: number;
  readonly #reason: { sendFailed: number; sendBusy: number; writeFailed: number; writeBusy: number };
  #slot = 0;
  #sendWaited = false;
  #lastTick = 0;
  #lastDoorbell = 0;
  #awakeSince = 0;

  /** `base` is the address of the core's memory, `pollfdsAt` that of the control block's pollfd array. */
  constructor(
    options: WorkerOptions,
    core: Core,
    cipher: Cipher,
    control: ControlBlock,
    addresses: { readonly base: number; readonly pollfds: number },
    post: (message: WorkerMessage) => void,
  ) {
    const number = (name: string): number => constant(core.constants, name);
    this.#core = core.exports;
    this.#cipher = cipher;
    this.#control = control;
    this.#post = post;
    this.#base = addresses.base;
    this.#words = new Int32Array(options.memory.buffer);
    this.#taps = Int32Array.from(options.taps.flatMap((tap) => [tap.port, tap.fd]));
    this.#tapNames = options.taps.map((tap) => tap.name);
    this.#fdOfPort = new Int32Array(number('PORT_MAX')).fill(-1);
    for (const tap of options.taps) this.#fdOfPort[tap.port] = tap.fd;
    this.#transmitFds = Int32Array.from(options.transmitFds);
    this.#receiveFd = options.receiveFd;
    this.#eventFd = options.eventFd;
    this.#pollfds = control.pollfds;
    this.#pollfdsAt = addresses.pollfds;
    this.#pollfdCount = FIRST_TAP_POLLFD + options.taps.length;
    this.#slotBase = number('TAP_SLOT_BASE');
    this.#slotSize = number('TAP_SLOT_SIZE');
    this.#slots = number('TAP_SLOTS');
    this.#receiveTable = addresses.base + number('RX_TABLE');
    this.#firstLength = (number('RX_TABLE') >>> 2) + MSG_LENGTH_WORD;
    this.#outWords = number('OUT_TABLE') >>> 2;
    this.#outRecordWords = number('OUT_RECORD_SIZE') >>> 2;
    this.#tapBatch = options.tuning.tapBatch;
    this.#spin = options.tuning.spin;
    this.#commandHead = number('COMMAND_HEAD') >>> 2;
    this.#commandTail = number('COMMAND_TAIL') >>> 2;
    this.#eventHead = number('EVENT_HEAD') >>> 2;
    this.#eventTail = number('EVENT_TAIL') >>> 2;
    this.#reason = {
      sendFailed: number('REASON_SEND_FAILED'),
      sendBusy: number('REASON_SEND_BUSY'),
      writeFailed: number('REASON_WRITE_FAILED'),
      writeBusy: number('REASON_WRITE_BUSY'),
    };
    [options.eventFd, options.receiveFd, ...options.taps.map((tap) => tap.fd)].forEach((fd, index) => {
      this.#pollfds[index * POLLFD_WORDS] = fd;
      this.#pollfds[index * POLLFD_WORDS + 1] = POLLIN;
    });
  }

  /** Runs until a stop is requested. Throws what the core throws (a WebAssembly trap). */
  run(): void {
    let idle = 0;
    let light = 0;
    let all = true;
    this.#awakeSince = monotonicMs();
    while (!this.#control.stopRequested) {
      const bytes = this.#breath(all);
      all = true;
      if (bytes > LIGHT_BYTES) light = 0;
      else if (bytes > 0) light++;
      idle = bytes > 0 ? 0 : idle + 1;
      if (idle > this.#spin || (bytes > 0 && light > LIGHT_STREAK)) {
        idle = 0;
        this.#sleep();
        all = light <= LIGHT_STREAK;
      }
    }
  }

  /** Looks at all descriptors, or only at those that poll named. Returns about how many bytes came in. */
  #breath(all: boolean): number {
    const now = monotonicMs();
    this.#control.noteGap((now - this.#awakeSince) * 1000);
    this.#awakeSince = now;
    const tick = Math.floor(now);
    if (tick !== this.#lastTick) {
      this.#lastTick = tick;
      this.#core.tick(tick);
      this.#control.beat(tick);
    }
    let bytes = this.#pull(all);
    if (all || this.#isReady(RECEIVE_POLLFD)) bytes += this.#receive();
    this.#obey(now);
    return bytes;
  }

  /** What the last poll said of a descriptor; errors count, so that the next call on it meets them. */
  #isReady(pollfd: number): boolean {
    return this.#pollfds[pollfd * POLLFD_WORDS + 1] !== POLLIN; // events below, revents above
  }

  #pull(all: boolean): number {
    const count = this.#taps.length >>> 1;
    let bytes = 0;
    for (let tap = 0; tap < count; tap++) {
      if (all || this.#isReady(FIRST_TAP_POLLFD + tap)) bytes += this.#pullTap(tap << 1);
    }
    if (bytes > 0) this.#push();
    return bytes;
  }

  #pullTap(index: number): number {
    const core = this.#core;
    const port = this.#taps[index] as number;
    const fd = this.#taps[index + 1] as number;
    let bytes = 0;
    for (let frames = 0; frames < this.#tapBatch; frames++) {
      const slot = this.#slotBase + this.#slot * this.#slotSize;
      const length = readAt(fd, this.#base + slot, this.#slotSize);
      if (length < 0) {
        if (errno() === EBADFD) this.#tapFailed(index);
        break;
      }
      bytes += length;
      // A slot may be sent or written from in place: it is free again only after a push.
      this.#slot++;
      if (core.fromTap(port, slot, length) !== 0 || this.#slot === this.#slots) this.#push();
    }
    return bytes;
  }

  #push(): void {
    this.#transmit();
    this.#deliver();
    this.#slot = 0;
  }

  #transmit(): void {
    const core = this.#core;
    sealListed(core, this.#cipher);
    let pending = core.txPending();
    if (pending === 0) return;
    this.#sendWaited = false;
    while (pending !== 0) {
      const socket = 31 - Math.clz32(pending);
      pending &= ~(1 << socket);
      this.#send(socket);
    }
    core.txReset();
  }

  #send(socket: number): void {
    const core = this.#core;
    const fd = this.#transmitFds[socket] as number;
    const table = this.#base + core.txTable(socket);
    const count = core.txCount(socket);
    let done = 0;
    while (done < count) {
      const batch = count - done < SENDS_PER_CALL ? count - done : SENDS_PER_CALL;
      const sent = sendmmsgAt(fd, table + done * MMSGHDR_SIZE, batch, MSG_DONTWAIT);
      if (sent > 0) {
        done += sent;
        continue;
      }
      const number = errno();
      if (number === EINTR || (number === EAGAIN && this.#waitWritable(fd))) continue;
      // EMSGSIZE, ENETUNREACH, EPERM…: of this message alone; the next may have another destination.
      core.txFailed(socket, done, number === EAGAIN ? this.#reason.sendBusy : this.#reason.sendFailed);
      done++;
    }
  }

  /** Waits once per push, briefly: a longer queue than the socket's 8 MB is better dropped than kept. */
  #waitWritable(fd: number): boolean {
    if (this.#sendWaited) return false;
    this.#sendWaited = true;
    this.#writable[0] = fd;
    return poll(this.#writable, 1, SEND_WAIT_MS) > 0;
  }

  #deliver(): void {
    const core = this.#core;
    const count = core.outCount();
    if (count === 0) return;
    const words = this.#words;
    let at = this.#outWords;
    for (let i = 0; i < count; i++) {
      const fd = this.#fdOfPort[words[at] as number] as number;
      const iov = this.#base + ((words[at + 3] as number) >>> 0);
      if (writevAt(fd, iov, OUT_IOVECS) < 0) {
        core.outFailed(i, errno() === EAGAIN ? this.#reason.writeBusy : this.#reason.writeFailed);
      }
      at += this.#outRecordWords;
    }
    core.outReset();
  }

  #receive(): number {
    const count = recvmmsgAt(this.#receiveFd, this.#receiveTable, RECEIVE_MESSAGES, MSG_DONTWAIT);
    if (count <= 0) return 0;
    const bytes = count > 1 ? LIGHT_BYTES + 1 : (this.#words[this.#firstLength] as number) + 1;
    openSealed(this.#core, this.#cipher, count);
    this.#core.fromTunnel(count);
    this.#deliver();
    return bytes;
  }

  #obey(now: number): void {
    const words = this.#words;
    if (Atomics.load(words, this.#commandHead) !== Atomics.load(words, this.#commandTail)) {
      this.#core.runCommands(COMMANDS_PER_BREATH);
    }
    if (this.#eventsWait() && now - this.#lastDoorbell >= DOORBELL_PAUSE_MS && this.#control.ringDoorbell()) {
      this.#lastDoorbell = now;
      this.#post({ type: 'events' });
    }
  }

  #eventsWait(): boolean {
    return this.#words[this.#eventHead] !== Atomics.load(this.#words, this.#eventTail);
  }

  #sleep(): void {
    const words = this.#words;
    if (Atomics.load(words, this.#commandHead) !== Atomics.load(words, this.#commandTail)) return;
    const before = monotonicMs();
    this.#control.noteGap((before - this.#awakeSince) * 1000);
    const timeout = this.#eventsWait() ? EVENT_SLEEP_MS : SLEEP_MS;
    const ready = pollAt(this.#pollfdsAt, this.#pollfdCount, timeout);
    if (ready > 0 && this.#isReady(0)) read(this.#eventFd, this.#eventCount, 8);
    this.#awakeSince = monotonicMs();
    if (ready === 0) this.#control.noteGap((this.#awakeSince - before - timeout) * 1000); // overslept: no CPU for us
  }

  /** The interface was deleted; the descriptor stays useless. */
  #tapFailed(index: number): void {
    const pollfd = (FIRST_TAP_POLLFD + index / 2) * POLLFD_WORDS;
    if (this.#pollfds[pollfd] === -1) return;
    this.#pollfds[pollfd] = -1; // poll ignores it from now on
    this.#post({ type: 'tap-gone', name: this.#tapNames[index / 2] ?? '' });
  }
}
