/** Boards of ports, and the set of TAPs that a worker reads; eventfds stand for the TAPs. */
import tap from 'tap';
import type { Test } from 'tap';
import {
  EFD_NONBLOCK,
  EPOLL_CLOEXEC,
  close,
  epollCreate,
  eventfd,
  read,
  write,
} from '../../../agent/io/libc.ts';
import { PortBoard, PortFollower } from '../../../agent/dataplane/port-board.ts';
import { TapSet } from '../../../agent/dataplane/tap-set.ts';

const PORTS = 64;
const ONE = new Uint8Array(BigUint64Array.of(1n).buffer);

void tap.test(
  'a worker takes what the board offers, and holds nothing that it was asked to let go',
  async (t) => {
    const board = PortBoard.create(PORTS);
    const rows = new Set<number>();
    const calls: string[] = [];
    const follower = new PortFollower(new PortBoard(board.buffer), PORTS, {
      exists: (port) => rows.has(port),
      take: (port, fd) => calls.push(`take ${port} ${fd}`),
      letGo: (port, fd) => calls.push(`let go ${port} ${fd} ${board.isHeld(port)}`),
    });
    board.want(5, 0);
    board.want(7, 31);
    rows.add(7);
    follower.follow(false);
    t.strictSame(calls.splice(0), ['take 7 31'], 'port 5 has no row yet');
    t.equal(board.isHeld(5), false);
    t.equal(board.isHeld(7), true);
    follower.follow(false);
    rows.add(5);
    follower.follow(false);
    t.strictSame(calls.splice(0), [], 'nothing new is known');
    follower.follow(true);
    t.strictSame(calls.splice(0), ['take 5 0'], 'descriptor 0 is one like others');
    board.want(7, -1);
    t.equal(board.isHeld(7), true, 'until it is told');
    follower.follow(false);
    t.strictSame(calls.splice(0), ['let go 7 31 true']);
    t.equal(board.isHeld(7), false);
    t.equal(follower.fdOfPort[7], -1);
    board.want(5, 44);
    follower.follow(false);
    t.strictSame(calls.splice(0), ['let go 5 0 true', 'take 5 44'], 'another descriptor at once');
    board.releaseAll();
    t.equal(board.isHeld(5), false, 'the worker has ended');
    const next: number[] = [];
    const revived = { exists: () => true, take: (port: number) => next.push(port), letGo: () => undefined };
    new PortFollower(board, PORTS, revived).follow(false);
    t.strictSame(next, [5], 'its successor sees what is wanted');
  },
);

interface Bench {
  readonly set: TapSet;
  readonly fds: number[];
  readonly say: (port: number) => void;
  readonly hush: (port: number) => void;
  readonly active: () => number[];
}

function bench(t: Test, taps: number): Bench {
  const newFd = (): number => eventfd(0, EFD_NONBLOCK);
  const [epollFd, eventFd, receiveFd] = [epollCreate(EPOLL_CLOEXEC), newFd(), newFd()];
  const set = new TapSet(PORTS, { epollFd, eventFd, receiveFd });
  const fds = Array.from({ length: taps }, newFd);
  t.teardown(() => [epollFd, eventFd, receiveFd, ...fds].forEach((fd) => close(fd)));
  fds.forEach((fd, port) => set.add(port, fd));
  return {
    set,
    fds,
    say: (port) => void write(fds[port] ?? -1, ONE, ONE.length),
    hush: (port) => void read(fds[port] ?? -1, new Uint8Array(8), 8),
    active: () => Array.from({ length: set.count }, (_, i) => set.portAt(i)).sort((a, b) => a - b),
  };
}

void tap.test('a few TAPs are all looked at always; none ever rests', async (t) => {
  const { set, say, active } = bench(t, 4);
  t.strictSame(active(), [0, 1, 2, 3]);
  t.equal(set.resting, 0);
  t.equal(set.poll(0), 0);
  say(2);
  t.equal(set.poll(0), 1);
  t.strictSame(
    active().filter((_, index) => set.isReady(index)),
    [2],
  );
  t.notOk(set.isReceiveReady);
  t.notOk(set.isAnyRestingReady);
});

void tap.test('of many TAPs those that speak are active; the others cost nothing', async (t) => {
  const { set, say, hush, active } = bench(t, 40);
  t.equal(set.count, 4);
  t.equal(set.resting, 36);
  t.equal(set.poll(0), 0);
  for (const port of [9, 10, 11]) say(port);
  t.equal(set.poll(0), 1);
  t.ok(set.isAnyRestingReady);
  set.wake();
  t.strictSame(active(), [0, 1, 2, 3, 9, 10, 11]);
  t.equal(set.resting, 33);
  t.ok(set.isCrowded);
  t.ok(set.isReady(set.count - 1), 'what was woken counts as ready');
  set.wake();
  t.equal(set.count, 7, 'what is active is not named again');
  for (const port of [0, 1, 2, 3]) set.rest(indexOf(set, port));
  t.strictSame(active(), [9, 10, 11]);
  hush(9);
  hush(10);
  for (const port of [0, 1]) say(port);
  set.rest(indexOf(set, 11));
  set.wake();
  t.strictSame(active(), [0, 1, 9, 10, 11], 'a TAP that rests with frames waiting is named at once');
  say(5);
  t.equal(set.poll(0) > 0, true);
  t.equal(set.count, 4, 'poll watches a few by themselves and has the rest in the set');
  set.wake();
  t.ok(active().includes(5));
});

void tap.test('a TAP taken away, active or at rest, is never named again', async (t) => {
  const { set, say, active } = bench(t, 12);
  set.remove(0);
  set.remove(8);
  t.equal(set.count + set.resting, 10);
  for (let port = 0; port < 12; port++) say(port);
  set.wake();
  t.strictSame(active(), [1, 2, 3, 4, 5, 6, 7, 9, 10, 11]);
  set.silence(4);
  t.strictSame(active(), [1, 2, 3, 5, 6, 7, 9, 10, 11]);
  set.silence(4);
  set.poll(0);
  set.wake();
  t.notOk(active().includes(4));
  set.remove(4);
  t.equal(set.count + set.resting, 9);
});

function indexOf(set: TapSet, port: number): number {
  for (let index = 0; index < set.count; index++) if (set.portAt(index) === port) return index;
  return -1;
}
