/**
 * The main thread's side of one worker, from its birth to its end: memory, rings, doorbells.
 *
 * A worker that trapped is not revived; the supervisor makes another.
 */
import { randomInt } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { OverlaydError } from '../errors.ts';
import { EFD_CLOEXEC, EFD_NONBLOCK, EPOLL_CLOEXEC, close, epollCreate, eventfd, write } from '../io/libc.ts';
import { systemError } from '../io/system-error.ts';
import { CommandRing } from './commands.ts';
import { ControlBlock } from './control-block.ts';
import { createCoreMemory, loadCore } from './core.ts';
import type { Core } from './core.ts';
import { EventRing } from './events.ts';
import { PuntRing } from './punts.ts';
import type { WorkerMessage, WorkerOptions } from './worker-options.ts';

/** Beyond this a worker that was told to stop is ended by force. */
const STOP_PATIENCE_MS = 2000;
const SEED_LIMIT = 2 ** 32;

export interface WorkerListener {
  /** Events wait in the ring. */
  onEvents(worker: WorkerThread): void;
  onTapGone(worker: WorkerThread, port: number): void;
  /** The kernel cuts no runs of datagrams on the way to some peer. */
  onRunsRefused(worker: WorkerThread, errno: number): void;
  /** It ended without being asked. */
  onDeath(worker: WorkerThread, error: Error): void;
}

export type Birth = Omit<WorkerOptions, 'memory' | 'control' | 'eventFd' | 'epollFd' | 'seed'>;

export class WorkerThread {
  /** Another instance over the worker's memory: for reading only. */
  readonly core: Core;
  readonly control: ControlBlock;
  readonly commands: CommandRing;
  readonly events: EventRing;
  readonly punts: PuntRing;
  readonly #worker: Worker;
  readonly #eventFd: number;
  readonly #epollFd: number;
  readonly #exited: Promise<void>;
  #born = false;
  #stopping = false;
  #suspect = false;

  private constructor(birth: Birth, listener: WorkerListener) {
    const memory = createCoreMemory();
    this.core = loadCore({ memory, attach: true });
    this.control = ControlBlock.create();
    this.#eventFd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (this.#eventFd < 0) throw systemError('OVL_SOCKET', 'cannot make an eventfd');
    this.#epollFd = epollCreate(EPOLL_CLOEXEC);
    if (this.#epollFd < 0) {
      const error = systemError('OVL_SOCKET', 'cannot make an epoll set');
      close(this.#eventFd);
      throw error;
    }
    this.commands = new CommandRing(this.core, () => this.#wake());
    this.events = new EventRing(this.core);
    this.punts = new PuntRing(this.core);
    const workerData: WorkerOptions = {
      ...birth,
      memory,
      control: this.control.buffer,
      eventFd: this.#eventFd,
      epollFd: this.#epollFd,
      seed: randomInt(SEED_LIMIT),
    };
    this.#worker = new Worker(new URL('./worker.js', import.meta.url), { workerData, name: 'dataplane' });
    this.#exited = new Promise((resolve) => this.#worker.once('exit', () => resolve()));
    this.#listen(listener);
  }

  /** Resolves when the worker breathes; rejects when it fails before that. */
  static async start(birth: Birth, listener: WorkerListener): Promise<WorkerThread> {
    const worker = new WorkerThread(birth, listener);
    try {
      await worker.#ready();
      worker.#born = true;
      return worker;
    } catch (error) {
      await worker.stop();
      throw error;
    }
  }

  /** Asks it to end and waits until it has. The descriptors it worked on stay open. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.commands.close();
    this.control.requestStop();
    this.#wake();
    const patience = setTimeout(() => void this.#worker.terminate(), STOP_PATIENCE_MS);
    await this.#exited;
    clearTimeout(patience);
    close(this.#eventFd);
    close(this.#epollFd);
  }

  /** Silent for `patienceMs` at two calls in a row: one alone may be the whole process having been suspended. */
  isHung(nowMs: number, patienceMs: number): boolean {
    const wasSuspect = this.#suspect;
    this.#suspect = this.control.heartbeatAgeMs(nowMs) > patienceMs;
    return wasSuspect && this.#suspect;
  }

  /** Ends it by force; the listener is told of its death. */
  terminate(): void {
    void this.#worker.terminate();
  }

  #wake(): void {
    write(this.#eventFd, WAKE, WAKE.length); // a full counter (EAGAIN) wakes as well
  }

  #ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#worker.on('message', (message: WorkerMessage) => {
        if (message.type === 'ready') resolve();
        if (message.type === 'trap') reject(deathError(message));
      });
      this.#worker.once('error', reject);
      this.#worker.once('exit', () =>
        reject(new OverlaydError('OVL_WORKER', 'the data plane worker ended at its start')),
      );
    });
  }

  #listen(listener: WorkerListener): void {
    let reason: Error | undefined;
    this.#worker.on('message', (message: WorkerMessage) => {
      if (message.type === 'events') {
        this.control.answerDoorbell();
        listener.onEvents(this);
      } else if (message.type === 'tap-gone') {
        listener.onTapGone(this, message.port);
      } else if (message.type === 'runs-refused') {
        listener.onRunsRefused(this, message.errno);
      } else if (message.type === 'trap') {
        reason = deathError(message);
      }
    });
    this.#worker.on('error', (error) => {
      reason = error;
    });
    this.#worker.once('exit', () => {
      if (!this.#born || this.#stopping) return;
      listener.onDeath(
        this,
        reason ?? new OverlaydError('OVL_WORKER', 'the data plane worker ended by itself'),
      );
    });
  }
}

const WAKE = new Uint8Array(BigUint64Array.of(1n).buffer);

function deathError(message: WorkerMessage & { type: 'trap' }): OverlaydError {
  return new OverlaydError('OVL_WORKER_TRAP', `a data plane worker trapped: ${message.message}`, {
    details: { stack: message.stack },
  });
}
