/**
 * The TAPs that a batch worker reads, so that thousands cost no more than those that speak. epoll(7).
 *
 *   active    looked at in every breath, and polled one by one when the worker sleeps
 *   resting   in an epoll set, where one call names those that have frames; these become active
 *
 * A TAP rests when it was found empty while more than a few are active. With a few TAPs in all none ever rests, and
 * nothing here costs a call: reading an empty TAP is cheaper than asking which to read. EPOLLONESHOT: a TAP that was
 * named is silent in the set until it rests again, so being active costs no call either.
 */
import {
  EPOLLIN,
  EPOLLONESHOT,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  POLLIN,
  addressOf,
  epollControlAt,
  epollWaitAt,
  pollAt,
} from '../io/libc.ts';
import { systemError } from '../io/system-error.ts';

/** Reading so many empty TAPs costs about as much as one epoll_wait and the read that it leads to. */
const ACTIVE_MAX = 4;
const WOKEN_AT_ONCE = 64;
const FIXED_POLLFDS = 3;
const EVENT_POLLFD = 0;
const RECEIVE_POLLFD = 1;
const EPOLL_POLLFD = 2;
const POLLFD_WORDS = 2; // i32 fd, i16 events, i16 revents
// struct epoll_event { u32 events; u64 data } is packed on x86-64 alone.
const EVENT_WORDS = process.arch === 'x64' ? 3 : 4;
const EVENT_DATA_WORD = process.arch === 'x64' ? 1 : 2;
const EVENTS_AT = (FIXED_POLLFDS + ACTIVE_MAX) * POLLFD_WORDS;
const CONTROL_AT = EVENTS_AT + WOKEN_AT_ONCE * EVENT_WORDS;
const WORDS = CONTROL_AT + EVENT_WORDS;
const NOWHERE = -1;

export class TapSet {
  readonly #epollFd: number;
  /** pollfds, then events of epoll_wait, then the one of epoll_ctl; the kernel reads and writes there. */
  readonly #words = new Int32Array(new SharedArrayBuffer(WORDS * 4));
  readonly #address: number;
  readonly #fds: Int32Array;
  readonly #active: Int32Array;
  /** Place among the active, by port. */
  readonly #place: Int32Array;
  /** Known to the epoll set, armed or not. */
  readonly #isInEpoll: Uint8Array;
  readonly #isResting: Uint8Array;
  #count = 0;
  #resting = 0;
  #polled = 0;

  constructor(ports: number, descriptors: { epollFd: number; eventFd: number; receiveFd: number }) {
    this.#epollFd = descriptors.epollFd;
    this.#address = addressOf(new Uint8Array(this.#words.buffer));
    this.#fds = new Int32Array(ports).fill(-1);
    this.#active = new Int32Array(ports);
    this.#place = new Int32Array(ports).fill(NOWHERE);
    this.#isInEpoll = new Uint8Array(ports);
    this.#isResting = new Uint8Array(ports);
    this.#watch(EVENT_POLLFD, descriptors.eventFd);
    this.#watch(RECEIVE_POLLFD, descriptors.receiveFd);
  }

  /** Active TAPs. */
  get count(): number {
    return this.#count;
  }

  get resting(): number {
    return this.#resting;
  }

  /** More are active than are polled one by one: each breath looks at all of them, and the empty ones rest. */
  get isCrowded(): boolean {
    return this.#count > ACTIVE_MAX;
  }

  /** Port of the active TAP at `index`. */
  portAt(index: number): number {
    return this.#active[index] as number;
  }

  add(port: number, fd: number): void {
    this.#fds[port] = fd;
    this.#activate(port);
    if (this.isCrowded) this.rest(this.#count - 1);
  }

  /** Never to be read again. */
  remove(port: number): void {
    this.silence(port);
    if (this.#isInEpoll[port] === 1) this.#control(EPOLL_CTL_DEL, port);
    this.#isInEpoll[port] = 0;
    this.#fds[port] = -1;
  }

  /** Not to be looked at any more: its interface is gone, and it would be found ready for ever. */
  silence(port: number): void {
    const index = this.#place[port] as number;
    if (index !== NOWHERE) this.#deactivate(index);
    this.#resting -= this.#isResting[port] as number;
    this.#isResting[port] = 0;
  }

  /** Puts the active TAP at `index` to rest; the last one takes its place. */
  rest(index: number): void {
    const port = this.portAt(index);
    this.#deactivate(index);
    this.#control(this.#isInEpoll[port] === 1 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, port);
    this.#isInEpoll[port] = 1;
    this.#isResting[port] = 1;
    this.#resting++;
  }

  /** Makes resting TAPs that have frames active; some at a time, in the order in which they spoke. */
  wake(): void {
    const count = epollWaitAt(this.#epollFd, this.#address + EVENTS_AT * 4, WOKEN_AT_ONCE, 0);
    for (let i = 0; i < count; i++) {
      const port = this.#words[EVENTS_AT + i * EVENT_WORDS + EVENT_DATA_WORD] as number;
      this.#isResting[port] = 0;
      this.#resting--;
      this.#activate(port);
    }
  }

  /** Sleeps until something is ready; 0: nothing was. */
  poll(timeoutMs: number): number {
    while (this.isCrowded) this.rest(this.#count - 1);
    this.#watch(EPOLL_POLLFD, this.#resting > 0 ? this.#epollFd : -1);
    for (let i = 0; i < this.#count; i++) {
      this.#watch(FIXED_POLLFDS + i, this.#fds[this.portAt(i)] as number);
    }
    this.#polled = this.#count;
    return pollAt(this.#address, FIXED_POLLFDS + this.#count, timeoutMs);
  }

  // What the last poll said. Errors count, so that the next call on the descriptor meets them.

  /** Of the active TAP at `index`; one that was woken since is ready. */
  isReady(index: number): boolean {
    return index >= this.#polled || this.#isNamed(FIXED_POLLFDS + index);
  }

  get isReceiveReady(): boolean {
    return this.#isNamed(RECEIVE_POLLFD);
  }

  get isEventReady(): boolean {
    return this.#isNamed(EVENT_POLLFD);
  }

  get isAnyRestingReady(): boolean {
    return this.#isNamed(EPOLL_POLLFD);
  }

  #isNamed(pollfd: number): boolean {
    return this.#words[pollfd * POLLFD_WORDS + 1] !== POLLIN; // events below, revents above
  }

  #watch(pollfd: number, fd: number): void {
    this.#words[pollfd * POLLFD_WORDS] = fd;
    this.#words[pollfd * POLLFD_WORDS + 1] = POLLIN;
  }

  #activate(port: number): void {
    this.#place[port] = this.#count;
    this.#active[this.#count++] = port;
  }

  #deactivate(index: number): void {
    const last = this.#active[--this.#count] as number;
    this.#place[this.#active[index] as number] = NOWHERE;
    if (index === this.#count) return;
    this.#active[index] = last;
    this.#place[last] = index;
  }

  #control(operation: number, port: number): void {
    this.#words[CONTROL_AT] = EPOLLIN | EPOLLONESHOT;
    this.#words[CONTROL_AT + EVENT_DATA_WORD] = port;
    const fd = this.#fds[port] as number;
    if (epollControlAt(this.#epollFd, operation, fd, this.#address + CONTROL_AT * 4) === 0) return;
    // Of memory alone; what is not in the set would never be read again.
    if (operation !== EPOLL_CTL_DEL) throw systemError('OVL_SOCKET', 'cannot watch a TAP');
  }
}
