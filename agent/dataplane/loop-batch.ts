/**
 * One worker's breath, the fast way: the kernel reads and writes the core's memory, JavaScript only loops over calls.
 *
 *   1 tick      time to the core; heartbeat
 *   2 pull      read each active TAP (tap-set.ts) until it is empty or its batch is full → core.fromTap
 *   3 push      seal what is to be sealed, sendmmsg every transmit table, writev every out record
 *   4 receive   recvmmsg → open what is sealed → core.fromTunnel → writev every out record
 *   5 obey      commands of the control plane, and the TAPs that it gives or takes (port-board.ts); ring the doorbell when
 *               events wait
 *   6 sleep     poll, when 2 and 4 found little; the breath after it looks only at what poll named
 *
 * Measured: under load, draining first and polling last beats acting on poll's answer by 8–14 %; more than 4 messages
 * a recvmmsg gains nothing; separate sending and receiving threads lose. A lone small frame (a request, an answer) is
 * the other case: polling right behind it saves three calls that find nothing, on every hop of a round trip.
 * Fairness: a TAP gives way after a batch of frames, or when its frames have led to as many writes (a broadcast to
 * 2,000 ports is 2,000 writes); the tunnel's turn comes after each such batch; the next breath goes on where this ended.
 * Hot path: no allocation, closure, BigInt, promise, exception or log line per packet. The thread's event loop never
 * runs: it is stopped and woken through the control block and an eventfd.
 */
import { monotonicMs } from '../clock.ts';
import {
  EAGAIN,
  EBADFD,
  EINTR,
  MSG_DONTWAIT,
  POLLOUT,
  errno,
  poll,
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
import type { PortBoard } from './port-board.ts';
import { PortFollower } from './port-board.ts';
import { SingleSends } from './single-sends.ts';
import { TapSet } from './tap-set.ts';
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
/** A breath takes no more from TAPs, so that time, commands and the heartbeat get their turn. */
const FRAMES_PER_BREATH = 1024;
const WRITES_PER_VISIT = 1024;
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
  readonly #taps: TapSet;
  readonly #ports: PortFollower;
  readonly #fdOfPort: Int32Array;
  readonly #transmitFds: Int32Array;
  readonly #receiveFd: number;
  readonly #eventFd: number;
  readonly #eventCount = new Uint8Array(8);
  readonly #writable: Int32Array = Int32Array.of(0, POLLOUT);
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
  /** Which active TAP is next. */
  #turn = 0;
  /** Frames read, and frames written, in this breath. */
  #read = 0;
  #written = 0;
  readonly #singles: SingleSends;
  #wasRunRefused = false;
  #sendWaited = false;
  #lastTick = 0;
  #lastDoorbell = 0;
  #awakeSince = 0;

  /** `base` is the address of the core's memory. */
  constructor(
    options: WorkerOptions,
    core: Core,
    cipher: Cipher,
    control: ControlBlock,
    board: PortBoard,
    base: number,
    post: (message: WorkerMessage) => void,
  ) {
    const number = (name: string): number => constant(core.constants, name);
    this.#core = core.exports;
    this.#cipher = cipher;
    this.#control = control;
    this.#post = post;
    this.#base = base;
    this.#words = new Int32Array(options.memory.buffer);
    const taps = new TapSet(number('PORT_MAX'), options);
    this.#taps = taps;
    this.#ports = new PortFollower(board, number('PORT_MAX'), {
      exists: (port) => core.exports.portExists(port) !== 0,
      take: (port, fd) => taps.add(port, fd),
      letGo: (port) => taps.remove(port),
    });
    this.#fdOfPort = this.#ports.fdOfPort;
    this.#transmitFds = Int32Array.from(options.transmitFds);
    this.#receiveFd = options.receiveFd;
    this.#eventFd = options.eventFd;
    this.#slotBase = number('TAP_SLOT_BASE');
    this.#slotSize = number('TAP_SLOT_SIZE');
    this.#slots = number('TAP_SLOTS');
    this.#receiveTable = base + number('RX_TABLE');
    this.#firstLength = (number('RX_TABLE') >>> 2) + MSG_LENGTH_WORD;
    this.#outWords = number('OUT_TABLE') >>> 2;
    this.#outRecordWords = number('OUT_RECORD_SIZE') >>> 2;
    this.#tapBatch = options.tuning.tapBatch;
    this.#spin = options.tuning.spin;
    this.#commandHead = number('COMMAND_HEAD') >>> 2;
    this.#commandTail = number('COMMAND_TAIL') >>> 2;
    this.#eventHead = number('EVENT_HEAD') >>> 2;
    this.#eventTail = number('EVENT_TAIL') >>> 2;
    this.#singles = new SingleSends({
      core,
      base,
      send: (fd, at, count) => sendmmsgAt(fd, at, count, MSG_DONTWAIT),
      errno,
      waitWritable: (fd) => this.#waitWritable(fd),
      onRefused: (refusal) => this.#runsRefused(refusal),
    });
    this.#reason = {
      sendFailed: number('REASON_SEND_FAILED'),
      sendBusy: number('REASON_SEND_BUSY'),
      writeFailed: number('REASON_WRITE_FAILED'),
      writeBusy: number('REASON_WRITE_BUSY'),
    };
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
    if (all || this.#taps.isReceiveReady) bytes += this.#receive();
    this.#obey(now);
    return bytes;
  }

  #pull(all: boolean): number {
    const taps = this.#taps;
    if (taps.resting > 0 && (all || taps.isAnyRestingReady)) taps.wake();
    const whole = all || taps.isCrowded;
    this.#read = 0;
    this.#written = 0;
    let bytes = 0;
    let batchEnd = this.#tapBatch;
    for (let visits = taps.count; visits > 0 && this.#read < FRAMES_PER_BREATH; visits--) {
      if (this.#turn >= taps.count) this.#turn = 0;
      if (!whole && !taps.isReady(this.#turn)) {
        this.#turn++;
        continue;
      }
      if (this.#read >= batchEnd || this.#written >= WRITES_PER_VISIT) {
        this.#push();
        bytes += this.#receive();
        batchEnd = this.#read + this.#tapBatch;
        this.#written = 0;
      }
      bytes += this.#visit(this.#turn);
    }
    if (this.#read > 0) this.#push();
    return bytes;
  }

  /** Reads the active TAP at `index`, and goes on to the next. */
  #visit(index: number): number {
    const port = this.#taps.portAt(index);
    const before = this.#read;
    const bytes = this.#pullTap(port);
    // At rest or gone, another has its place and so the next turn.
    if (bytes < 0) this.#tapFailed(port);
    else if (this.#read === before && this.#taps.isCrowded) this.#taps.rest(index);
    else this.#turn = index + 1;
    return Math.max(0, bytes);
  }

  /** Returns the bytes read, or -1 when the interface is gone. */
  #pullTap(port: number): number {
    const core = this.#core;
    const fd = this.#fdOfPort[port] as number;
    let bytes = 0;
    for (let frames = 0; frames < this.#tapBatch && this.#written < WRITES_PER_VISIT; frames++) {
      const slot = this.#slotBase + this.#slot * this.#slotSize;
      const length = readAt(fd, this.#base + slot, this.#slotSize);
      if (length < 0) return errno() === EBADFD ? -1 : bytes;
      bytes += length;
      this.#read++;
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
      const isApart = this.#singles.isNeeded(this.#lastTick);
      if (isApart && this.#singles.sendKnown(this.#lastTick, fd, socket, done)) {
        done++;
        continue;
      }
      const most = isApart ? 1 : SENDS_PER_CALL;
      const batch = count - done < most ? count - done : most;
      const sent = sendmmsgAt(fd, table + done * MMSGHDR_SIZE, batch, MSG_DONTWAIT);
      if (sent > 0) {
        done += sent;
        continue;
      }
      const number = errno();
      if (number === EINTR || (number === EAGAIN && this.#waitWritable(fd))) continue;
      if (this.#singles.sendRefused(this.#lastTick, fd, socket, done, number)) {
        done++;
        continue;
      }
      // EMSGSIZE, ENETUNREACH, EPERM…: of this message alone; the next may have another destination.
      core.txFailed(socket, done, number === EAGAIN ? this.#reason.sendBusy : this.#reason.sendFailed);
      done++;
    }
  }

  #runsRefused(number: number): void {
    if (this.#wasRunRefused) return;
    this.#wasRunRefused = true;
    this.#post({ type: 'runs-refused', errno: number });
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
    this.#written += count;
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
    while (this.#core.fromTunnel(count) !== 0) this.#deliver();
    this.#deliver();
    return bytes;
  }

  #obey(now: number): void {
    const words = this.#words;
    const isTold = Atomics.load(words, this.#commandHead) !== Atomics.load(words, this.#commandTail);
    if (isTold) this.#core.runCommands(COMMANDS_PER_BREATH);
    this.#ports.follow(isTold);
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
    const ready = this.#taps.poll(timeout);
    if (ready > 0 && this.#taps.isEventReady) read(this.#eventFd, this.#eventCount, 8);
    this.#awakeSince = monotonicMs();
    if (ready === 0) this.#control.noteGap((this.#awakeSince - before - timeout) * 1000); // overslept: no CPU for us
  }

  /** The interface was deleted; the descriptor stays useless until it is taken back. */
  #tapFailed(port: number): void {
    this.#taps.silence(port);
    this.#post({ type: 'tap-gone', port });
  }
}
