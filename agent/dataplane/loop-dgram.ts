/**
 * The portable breath (`--io dgram`): one packet a call on node:dgram, no super-frames, the same core by the same entries.
 *
 * A datagram is copied into receive buffer 0 as recvmmsg would have left it; what the core wants sent is read back from
 * its msghdrs and cut at the UDP_SEGMENT size. The TAP still needs ioctl and non-blocking reads (libc.ts), but no
 * offload. Everything runs on this worker's event loop. Slower by a factor of ten and more; that is said at start-up.
 */
import type { RemoteInfo, Socket } from 'node:dgram';
import { monotonicMs } from '../clock.ts';
import { EAGAIN, EBADFD, dup, errno, read, readAt, watchReadable, writevAt } from '../io/libc.ts';
import { numericSocket, sendDatagram } from '../io/numeric-socket.ts';
import { ipText, sockaddr } from '../io/sockaddr.ts';
import { openSealed, sealListed } from './cipher.ts';
import type { Cipher } from './cipher.ts';
import type { ControlBlock } from './control-block.ts';
import { constant } from './core.ts';
import type { Core } from './core.ts';
import type { CoreExports } from './core-exports.ts';
import { MessageReader } from './message-reader.ts';
import type { PortBoard } from './port-board.ts';
import { PortFollower } from './port-board.ts';
import type { WorkerMessage, WorkerOptions } from './worker-options.ts';

const BEAT_MS = 250;
const COMMANDS_PER_TURN = 256;
const OUT_IOVECS = 2;
const SEND_QUEUE_MAX_BYTES = 4 << 20;
const MSGHDR = { nameLength: 8, controlLength: 40, flags: 48, length: 56 } as const;

export class DgramLoop {
  readonly #options: WorkerOptions;
  readonly #core: CoreExports;
  readonly #cipher: Cipher;
  readonly #control: ControlBlock;
  readonly #base: number;
  readonly #post: (message: WorkerMessage) => void;
  readonly #failed: (error: unknown) => void;
  readonly #constant: (name: string) => number;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  readonly #messages: MessageReader;
  readonly #socket: Socket;
  readonly #ports: PortFollower;
  /** By port, what ends the watch of its TAP. */
  readonly #watches = new Map<number, () => void>();
  readonly #closers: (() => void)[] = [];
  #lastBeat = monotonicMs();
  #closed = false;

  /** `failed` is called once, after everything was closed, when the core traps. */
  constructor(
    options: WorkerOptions,
    core: Core,
    cipher: Cipher,
    control: ControlBlock,
    board: PortBoard,
    base: number,
    post: (message: WorkerMessage) => void,
    failed: (error: unknown) => void,
  ) {
    this.#options = options;
    this.#core = core.exports;
    this.#cipher = cipher;
    this.#control = control;
    this.#base = base;
    this.#post = post;
    this.#failed = failed;
    this.#constant = (name) => constant(core.constants, name);
    this.#view = core.view;
    this.#bytes = core.bytes;
    this.#words = new Int32Array(options.memory.buffer);
    this.#messages = new MessageReader(options.memory.buffer, base);
    this.#ports = new PortFollower(board, this.#constant('PORT_MAX'), {
      exists: (port) => this.#core.portExists(port) !== 0,
      take: (port, fd) => this.#watchTap(port, fd),
      letGo: (port) => this.#unwatchTap(port),
    });
    this.#socket = numericSocket(options.addressFamily === 'udp4' ? 4 : 6);
  }

  /** Returns at once; the event loop does the rest. Posts `ready` when the socket listens. */
  start(): void {
    const { eventFd, receiveFd } = this.#options;
    this.#socket.on('error', (error) => this.#end(error));
    this.#socket.on('message', (datagram, from) => this.#guarded(() => this.#receive(datagram, from)));
    this.#socket.once('listening', () => this.#post({ type: 'ready' }));
    this.#socket.bind({ fd: dup(receiveFd) }); // its own descriptor: closing the socket closes it
    const count = new Uint8Array(8);
    const unwatch = watchReadable(eventFd, () => {
      read(eventFd, count, count.length);
      this.#guarded(() => this.#obey());
    });
    const timer = setInterval(() => this.#guarded(() => this.#beat()), BEAT_MS);
    this.#closers.push(unwatch, () => clearInterval(timer));
    this.#beat();
  }

  #watchTap(port: number, fd: number): void {
    const unwatch = watchReadable(fd, () =>
      this.#guarded(() => {
        if (this.#pull(port, fd)) return;
        this.#unwatchTap(port);
        this.#post({ type: 'tap-gone', port });
      }),
    );
    this.#watches.set(port, unwatch);
  }

  #unwatchTap(port: number): void {
    this.#watches.get(port)?.();
    this.#watches.delete(port);
  }

  /** Reads until the TAP is empty or the slots are used up; false when the TAP is gone. */
  #pull(port: number, fd: number): boolean {
    const size = this.#constant('TAP_SLOT_SIZE');
    const slots = this.#constant('TAP_SLOTS');
    for (let i = 0; i < slots; i++) {
      const slot = this.#constant('TAP_SLOT_BASE') + i * size;
      const length = readAt(fd, this.#base + slot, size);
      if (length < 0) {
        const gone = errno() === EBADFD;
        this.#push();
        return !gone;
      }
      if (this.#core.fromTap(port, slot, length) !== 0) this.#push();
    }
    this.#push();
    return true;
  }

  #receive(datagram: Buffer, from: RemoteInfo): void {
    const table = this.#constant('RX_TABLE');
    const name = sockaddr(from.address, from.port);
    this.#bytes.set(datagram, this.#constant('RX_DATA_BASE'));
    this.#bytes.set(name, this.#constant('RX_NAME_BASE'));
    this.#view.setUint32(table + MSGHDR.nameLength, name.length, true);
    this.#view.setUint32(table + MSGHDR.controlLength, 0, true);
    this.#view.setUint32(table + MSGHDR.flags, 0, true);
    this.#view.setUint32(table + MSGHDR.length, datagram.length, true);
    openSealed(this.#core, this.#cipher, 1);
    while (this.#core.fromTunnel(1) !== 0) this.#push();
    this.#push();
  }

  #push(): void {
    this.#deliver();
    const core = this.#core;
    sealListed(core, this.#cipher);
    const pending = core.txPending();
    for (let socket = 0; pending >>> socket !== 0; socket++) {
      const count = core.txCount(socket);
      for (let i = 0; i < count; i++) this.#send(socket, i);
    }
    if (pending !== 0) core.txReset();
  }

  #send(socket: number, index: number): void {
    if (this.#socket.getSendQueueSize() > SEND_QUEUE_MAX_BYTES) {
      this.#core.txFailed(socket, index, this.#constant('REASON_SEND_BUSY'));
      return;
    }
    const message = this.#messages.read(this.#core.txTable(socket), index);
    const to = { ip: ipText(message.ip), port: message.port };
    let verdicts = this.#core.txVerdicts(socket, index);
    for (const datagram of message.datagrams) {
      sendDatagram(this.#socket, datagram, to, (error) => {
        if (error !== null) this.#sendFailed(verdicts-- > 0);
      });
    }
  }

  /** The message is long gone from the core's table: a datagram, and the verdict of a frame if it had one, by hand. */
  #sendFailed(isVerdict: boolean): void {
    this.#add('COUNTER_BASE', 'COUNTER_TO_TUNNEL', -1n);
    if (!isVerdict) return;
    this.#add('COUNTER_BASE', 'COUNTER_SENT', -1n);
    this.#add('DROP_BASE', 'REASON_SEND_FAILED', 1n);
  }

  #add(block: string, index: string, amount: bigint): void {
    const at = this.#constant(block) + this.#constant(index) * 8;
    this.#view.setBigUint64(at, this.#view.getBigUint64(at, true) + amount, true);
  }

  #deliver(): void {
    const core = this.#core;
    const count = core.outCount();
    for (let i = 0; i < count; i++) {
      const record = this.#constant('OUT_TABLE') + i * this.#constant('OUT_RECORD_SIZE');
      const fd = this.#ports.fdOfPort[this.#view.getUint32(record, true)] ?? -1;
      if (writevAt(fd, this.#base + this.#view.getUint32(record + 12, true), OUT_IOVECS) < 0) {
        const busy = errno() === EAGAIN;
        core.outFailed(i, this.#constant(busy ? 'REASON_WRITE_BUSY' : 'REASON_WRITE_FAILED'));
      }
    }
    if (count > 0) core.outReset();
  }

  #beat(): void {
    const now = monotonicMs();
    this.#control.noteGap((now - this.#lastBeat - BEAT_MS) * 1000);
    this.#lastBeat = now;
    this.#core.tick(Math.floor(now));
    this.#control.beat(now);
    this.#obey();
  }

  #obey(): void {
    if (this.#control.stopRequested) {
      this.#close();
      return;
    }
    while (this.#core.runCommands(COMMANDS_PER_TURN) === COMMANDS_PER_TURN);
    this.#ports.follow(true);
    this.#ring();
  }

  #ring(): void {
    const head = this.#words[this.#constant('EVENT_HEAD') >>> 2];
    const tail = Atomics.load(this.#words, this.#constant('EVENT_TAIL') >>> 2);
    if (head !== tail && this.#control.ringDoorbell()) this.#post({ type: 'events' });
  }

  #guarded(turn: () => void): void {
    if (this.#closed) return;
    try {
      turn();
      if (!this.#closed) this.#ring();
    } catch (error) {
      this.#end(error);
    }
  }

  #end(error: unknown): void {
    if (this.#closed) return;
    this.#close();
    this.#failed(error);
  }

  #close(): void {
    this.#closed = true;
    for (const unwatch of this.#watches.values()) unwatch();
    for (const close of this.#closers) close();
    this.#socket.close();
  }
}
