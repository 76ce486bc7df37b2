/** Routes on which the kernel cuts no runs (UDP_SEGMENT): a run goes as lone datagrams, and nothing of it is lost (checklist 3.16). */
import t from 'tap';
import { EAGAIN, EINVAL, EIO, EMSGSIZE } from '../../../agent/io/libc.ts';
import { SingleSends } from '../../../agent/dataplane/single-sends.ts';
import { mac } from '../../model/bytes.ts';
import { MAC_B, pattern, udp, vnet } from '../../model/frame.ts';
import { Harness } from '../../model/harness.ts';

const NET = 3;
const PEER = 7;
const FD = 5;
const HEADERS = 8 + 42;

/** A kernel that refuses runs with `refusal`, and what else it is told to. */
class Kernel {
  readonly #h: Harness;
  readonly sent: Uint8Array[] = [];
  calls = 0;
  errno = 0;
  refusal = EIO;
  /** For a lone datagram, by how many came before it: its error, or 0. */
  failOf: (place: number, bytes: number) => number = () => 0;
  #seen = 0;

  constructor(h: Harness) {
    this.#h = h;
  }

  send(fd: number, at: number, count: number): number {
    this.calls += 1;
    if (fd !== FD) throw new RangeError(`descriptor ${fd}`);
    for (let i = 0; i < count; i++) {
      this.errno = this.#take(at + i * 64);
      if (this.errno !== 0) return i === 0 ? -1 : i;
    }
    return count;
  }

  #take(at: number): number {
    const { view, bytes } = this.#h.core;
    const word = (offset: number): number => Number(view.getBigUint64(offset, true));
    if (word(at + 40) > 0) return this.refusal;
    const iovec = word(at + 16);
    const data = word(iovec);
    const length = word(iovec + 8);
    const error = this.failOf(this.#seen, length);
    if (error !== EAGAIN) this.#seen += 1;
    if (error === 0) this.sent.push(bytes.slice(data, data + length));
    return error;
  }
}

interface Bench {
  readonly h: Harness;
  readonly kernel: Kernel;
  readonly singles: SingleSends;
  readonly refused: number[];
  /** Queues small datagrams of one flow, of these sizes; returns what has to arrive. */
  readonly queue: (sizes: readonly number[]) => Uint8Array[];
}

function bench(waits = 0): Bench {
  const h = new Harness();
  h.network(NET, 9);
  h.port(0, NET);
  h.peer(PEER, '192.0.2.7');
  h.fdb(NET, mac(MAC_B), PEER);
  const kernel = new Kernel(h);
  const refused: number[] = [];
  let left = waits;
  const singles = new SingleSends({
    core: h.core,
    base: 0,
    send: (fd, at, count) => kernel.send(fd, at, count),
    errno: () => kernel.errno,
    waitWritable: () => left-- > 0,
    onRefused: (errno) => refused.push(errno),
  });
  const queue = (sizes: readonly number[]): Uint8Array[] => {
    h.reset();
    for (const size of sizes) h.tap(0, vnet(), udp({ version: 4, payload: pattern(size) }).frame);
    return h.datagrams().map(({ bytes }) => bytes);
  };
  return { h, kernel, singles, refused, queue };
}

/** Where the only message of a bench stands. */
function tableOf(h: Harness): number {
  const [message, ...others] = h.messages();
  if (message === undefined || others.length > 0) throw new Error('not one message');
  return message.table;
}

for (const refusal of [EIO, EINVAL]) {
  void t.test(`${refusal}: a run that the kernel does not cut goes as lone datagrams`, async (sub) => {
    const { h, kernel, singles, refused, queue } = bench();
    kernel.refusal = refusal;
    const wanted = queue([...Array.from({ length: 20 }, () => 100), 30]);
    const table = tableOf(h);
    sub.notOk(singles.isNeeded(0));
    sub.ok(singles.sendRefused(0, FD, table, 0, refusal));
    sub.strictSame(kernel.sent, wanted);
    sub.equal(wanted.length, 21);
    sub.equal(kernel.calls, 1, 'in one call');
    sub.strictSame(refused, [refusal]);
    sub.equal(h.counter('sent'), 21);
    sub.equal(h.drops('send-failed'), 0);

    sub.ok(singles.isNeeded(29_999));
    const next = queue([50, 50]);
    sub.ok(singles.sendKnown(29_999, FD, tableOf(h), 0), 'it is not tried again so soon');
    sub.strictSame(kernel.sent.slice(21), next);
    queue([50]);
    sub.notOk(singles.sendKnown(29_999, FD, tableOf(h), 0), 'a lone datagram goes as ever');
    queue([50, 50]);
    sub.notOk(singles.sendKnown(30_000, FD, tableOf(h), 0), 'but later');
    sub.notOk(singles.isNeeded(30_000));
    h.peer(8, '192.0.2.8');
    h.fdb(NET, mac(MAC_B), 8);
    queue([50, 50]);
    sub.notOk(singles.sendKnown(1, FD, tableOf(h), 0), 'runs to others are tried');
    sub.equal(h.imbalance(), 0);
  });
}

void t.test('what is refused for another reason is left to the caller', async (sub) => {
  const { h, kernel, singles, refused, queue } = bench();
  queue([100, 100]);
  sub.notOk(singles.sendRefused(0, FD, tableOf(h), 0, EMSGSIZE));
  sub.equal(kernel.calls, 0);
  queue([100]);
  sub.notOk(singles.sendRefused(0, FD, tableOf(h), 0, EIO), 'a lone datagram is no run');
  // As older kernels say of segments that are too long for the path.
  kernel.failOf = () => EMSGSIZE;
  queue([100, 100]);
  sub.notOk(singles.sendRefused(0, FD, tableOf(h), 0, EINVAL));
  kernel.failOf = (_place, bytes) => (bytes > 100 + HEADERS - 1 ? EMSGSIZE : 0);
  queue([100, 100, 30]);
  sub.ok(singles.sendRefused(0, FD, tableOf(h), 0, EINVAL), 'what passes is sent');
  sub.equal(kernel.sent.length, 1);
  sub.equal(h.drops('send-failed'), 2);
  sub.notOk(singles.isNeeded(0), 'and nothing is concluded from it');
  sub.strictSame(refused, []);
  sub.equal(h.imbalance(), 0);
});

void t.test('of a run that was sent in part the rest is accounted for', async (sub) => {
  const { h, kernel, singles, queue } = bench(1);
  // Full once, waited for; then full for good at the last two.
  kernel.failOf = (place) => (place === 3 && kernel.calls === 1 ? EAGAIN : place >= 8 ? EAGAIN : 0);
  const sizes = Array.from({ length: 10 }, () => 60);
  queue(sizes);
  sub.ok(singles.sendRefused(0, FD, tableOf(h), 0, EIO));
  sub.equal(kernel.sent.length, 8);
  sub.equal(h.counter('sent'), 8);
  sub.equal(h.counter('to-tunnel'), 8);
  sub.equal(h.drops('send-busy'), 2);
  sub.equal(h.imbalance(), 0);
  queue(sizes);
  kernel.failOf = () => EAGAIN;
  sub.ok(singles.sendKnown(1, FD, tableOf(h), 0));
  sub.equal(h.drops('send-busy'), 12, 'or all of it');
  sub.equal(h.counter('to-tunnel-bytes'), 8 * (60 + HEADERS));
  sub.equal(h.imbalance(), 0);
  sub.equal(h.core.exports.spreadRun(9, 0), 0);
  h.core.exports.singleFailed(9, 0, 0, 1);
  h.core.exports.singleFailed(tableOf(h), 0, 99, 1);
  sub.equal(h.imbalance(), 0);
});
