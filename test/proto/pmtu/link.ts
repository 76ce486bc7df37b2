/** Two hosts with Paths and a link between them that loses, delays, narrows and dies as told; virtual time, one seed. */
import { Paths, headersOf } from '../../../proto/pmtu/paths.ts';
import type { PathStatus, PathTransmit, PathsOptions, ProbeSeal } from '../../../proto/pmtu/paths.ts';
import { SeededRng } from '../../../proto/rng.ts';
import type { Address } from '../../../proto/env.ts';

export interface LinkOptions {
  readonly seed?: number;
  /** What packets from A to B may have; nothing comes back that is larger, nothing tells. */
  readonly mtu: number;
  readonly linkBytes?: number;
  readonly loss?: number;
  readonly delayMs?: number;
  readonly jitterMs?: number;
  readonly addrs?: readonly [string, string];
  readonly seals?: readonly [ProbeSeal, ProbeSeal];
  readonly probesPerSecond?: number;
}

interface Flight {
  readonly atMs: number;
  readonly to: Paths;
  readonly from: Address;
  readonly bytes: Uint8Array;
}

const HEAD = 64;

export class Link {
  readonly a: Paths;
  readonly b: Paths;
  readonly addrs: readonly [Address, Address];
  mtu: number;
  loss: number;
  isUp = true;
  /** There is traffic from A to B. */
  isBusy = false;
  /** Packets that A sent, and their bytes; the largest answer of B. */
  readonly sent = { packets: 0, bytes: 0, largestAnswer: 0 };
  now = 0;
  readonly #delayMs: number;
  readonly #jitterMs: number;
  readonly #rng: SeededRng;
  #flights: Flight[] = [];
  #nextLookMs = 0;

  constructor(options: LinkOptions) {
    const { seed = 1, mtu, loss = 0, delayMs = 0.5, jitterMs = 0, linkBytes = 1500, seals } = options;
    const [first = '192.0.2.1', second = '192.0.2.2'] = options.addrs ?? [];
    this.addrs = [
      { ip: first, port: 4789 },
      { ip: second, port: 4789 },
    ];
    this.mtu = mtu;
    this.loss = loss;
    this.#delayMs = delayMs;
    this.#jitterMs = jitterMs;
    this.#rng = new SeededRng(seed);
    const of = (name: string, side: 0 | 1): PathsOptions => ({
      rng: this.#rng.fork(name),
      seal: () => seals?.[side],
      ...(options.probesPerSecond === undefined ? {} : { probesPerSecond: options.probesPerSecond }),
    });
    this.a = new Paths(of('a', 0));
    this.b = new Paths(of('b', 1));
    const isSealed = seals !== undefined;
    this.a.setPeer(0, 'b', { addr: this.addrs[1], linkBytes, isSealed });
    this.b.setPeer(0, 'a', { addr: this.addrs[0], linkBytes, isSealed });
    this.#pump();
  }

  get path(): PathStatus {
    const path = this.a.path('b');
    if (path === undefined) throw new Error('no path');
    return path;
  }

  /** Runs for so long, or until `done`; returns how long it took. */
  run(ms: number, done: () => boolean = () => false): number {
    const start = this.now;
    const end = start + ms;
    while (this.now < end && !done()) {
      const next = Math.min(
        end,
        this.a.nextDeadline(),
        this.b.nextDeadline(),
        this.#nextLookMs,
        ...this.#flights.map(({ atMs }) => atMs),
      );
      this.now = Math.max(this.now, next);
      this.#step();
    }
    return this.now - start;
  }

  #step(): void {
    const { now } = this;
    const arrived = this.#flights.filter(({ atMs }) => atMs <= now);
    this.#flights = this.#flights.filter(({ atMs }) => atMs > now);
    for (const { to, from, bytes } of arrived)
      to.handleDatagram(now, bytes.subarray(0, HEAD), bytes.length, from);
    if (now >= this.#nextLookMs) {
      this.#nextLookMs = now + 500;
      if (this.isBusy) this.a.noteTraffic(now, 'b', 10_000);
    }
    this.a.handleDeadline(now);
    this.b.handleDeadline(now);
    this.#pump();
  }

  #pump(): void {
    for (let out = this.a.pollTransmit(); out !== undefined; out = this.a.pollTransmit()) {
      this.sent.packets += 1;
      this.sent.bytes += out.bytes.length + headersOf(out.to.ip);
      this.#send(out, this.b, this.addrs[0]);
    }
    for (let out = this.b.pollTransmit(); out !== undefined; out = this.b.pollTransmit()) {
      if (out.probe === undefined)
        this.sent.largestAnswer = Math.max(this.sent.largestAnswer, out.bytes.length);
      this.#send(out, this.a, this.addrs[1]);
    }
  }

  #send({ to, bytes }: PathTransmit, paths: Paths, from: Address): void {
    const wasLost = this.#rng.float() < this.loss;
    if (!this.isUp || wasLost || bytes.length + headersOf(to.ip) > this.mtu) return;
    const atMs = this.now + this.#delayMs + this.#rng.float() * this.#jitterMs;
    this.#flights.push({ atMs, to: paths, from, bytes });
  }
}
