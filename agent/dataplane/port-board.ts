/**
 * Which descriptor a worker is to use for each port, and which it uses: the way descriptors get to and from a worker
 * whose event loop never runs.
 *
 * The main thread writes what it wants, the worker takes it over between two breaths and writes what it holds. A
 * descriptor may be closed when no worker holds it: so the kernel cannot give its number to something else while a
 * worker might still read there. A level, not a queue of orders: a worker that starts late sees the same board.
 * There is one board for each worker place; it outlives the worker.
 */
const GENERATION = 0;
const LIMIT = 1;
const HEADER_WORDS = 2;

export class PortBoard {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #ports: number;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
    this.#ports = (this.#words.length - HEADER_WORDS) / 2;
  }

  static create(ports: number): PortBoard {
    return new PortBoard(new SharedArrayBuffer((HEADER_WORDS + 2 * ports) * 4));
  }

  // ── Main thread ──

  /** The worker is to use `fd` for the port from now; -1: to let go of what it has. */
  want(port: number, fd: number): void {
    Atomics.store(this.#words, HEADER_WORDS + port, fd + 1);
    if (port >= Atomics.load(this.#words, LIMIT)) Atomics.store(this.#words, LIMIT, port + 1);
    Atomics.add(this.#words, GENERATION, 1);
  }

  isHeld(port: number): boolean {
    return Atomics.load(this.#words, this.#heldAt(port)) !== 0;
  }

  /** The worker has ended, and with it everything that it held. */
  releaseAll(): void {
    for (let port = 0; port < this.limit; port++) Atomics.store(this.#words, this.#heldAt(port), 0);
  }

  // ── Worker ──

  /** Differs from what it was when something is wanted anew. */
  get generation(): number {
    return Atomics.load(this.#words, GENERATION);
  }

  /** One above the largest port there ever was. */
  get limit(): number {
    return Atomics.load(this.#words, LIMIT);
  }

  /** The descriptor wanted for a port, or -1. */
  wanted(port: number): number {
    return Atomics.load(this.#words, HEADER_WORDS + port) - 1;
  }

  /** What the worker uses now, or -1. After this call it never touches the former one again. */
  hold(port: number, fd: number): void {
    Atomics.store(this.#words, this.#heldAt(port), fd + 1);
  }

  #heldAt(port: number): number {
    return HEADER_WORDS + this.#ports + port;
  }
}

/** What a loop does when descriptors come and go; never called per packet. */
export interface PortTaker {
  /** The core has the port's row: frames of an unknown port would be dropped. */
  exists(port: number): boolean;
  take(port: number, fd: number): void;
  letGo(port: number, fd: number): void;
}

/** The worker's copy of the board. */
export class PortFollower {
  /** Descriptor of each port, or -1. */
  readonly fdOfPort: Int32Array;
  readonly #board: PortBoard;
  readonly #taker: PortTaker;
  #generation = -1;
  #waiting = false;

  constructor(board: PortBoard, ports: number, taker: PortTaker) {
    this.#board = board;
    this.#taker = taker;
    this.fdOfPort = new Int32Array(ports).fill(-1);
  }

  /** Between two breaths, when nothing is queued that names a port. `isRowNew`: the core has just run commands. */
  follow(isRowNew: boolean): void {
    const { generation } = this.#board;
    if (generation === this.#generation && !(isRowNew && this.#waiting)) return;
    this.#generation = generation;
    this.#waiting = false;
    const { limit } = this.#board;
    for (let port = 0; port < limit; port++) {
      const fd = this.#board.wanted(port);
      if (fd !== this.fdOfPort[port]) this.#change(port, fd);
    }
  }

  #change(port: number, fd: number): void {
    const former = this.fdOfPort[port] as number;
    if (former >= 0) {
      this.fdOfPort[port] = -1;
      this.#taker.letGo(port, former);
      this.#board.hold(port, -1);
    }
    if (fd < 0) return;
    if (!this.#taker.exists(port)) {
      this.#waiting = true;
      return;
    }
    this.#board.hold(port, fd);
    this.fdOfPort[port] = fd;
    this.#taker.take(port, fd);
  }
}
