/** One host with Paths to many peers, each behind a link of its own MTU; virtual time, one seed. Answers take a millisecond. */
import { clearAnswer } from '../../../proto/pmtu/messages.ts';
import type { PathStatus } from '../../../proto/pmtu/paths.ts';
import { Paths } from '../../../proto/pmtu/paths.ts';
import { SeededRng } from '../../../proto/rng.ts';
import type { Address } from '../../../proto/env.ts';

const LINK_BYTES = 1500;
const HEADERS = 28;
const ROUND_TRIP_MS = 1;
const LOOK_MS = 500;

interface Answer {
  readonly atMs: number;
  readonly from: Address;
  readonly bytes: Uint8Array;
}

export class Crowd {
  readonly paths: Paths;
  readonly mtus = new Map<string, number>();
  /** What goes to each peer in half a second, bytes. */
  traffic: number;
  sent = 0;
  now = 0;
  readonly #answers: Answer[] = [];
  #lookMs = 0;

  constructor(options: { readonly seed: number; readonly peers: number; readonly traffic: number }) {
    this.paths = new Paths({ rng: new SeededRng(options.seed), seal: () => undefined });
    this.traffic = options.traffic;
    for (let i = 0; i < options.peers; i++) this.add(`p${i}`);
  }

  add(name: string): void {
    const { size } = this.mtus;
    this.mtus.set(name, LINK_BYTES);
    const addr = { ip: `198.18.${size >> 8}.${size & 255}`, port: 4789 };
    this.paths.setPeer(this.now, name, { addr, linkBytes: LINK_BYTES, isSealed: false });
  }

  get(name: string): PathStatus {
    const path = this.paths.path(name);
    if (path === undefined) throw new Error(`no path to ${name}`);
    return path;
  }

  /** All peers' paths are such. */
  areAll(is: (path: PathStatus, mtu: number) => boolean): boolean {
    return [...this.mtus].every(([name, mtu]) => is(this.get(name), mtu));
  }

  /** Runs for so long, or until `done`; returns how long it took. */
  run(ms: number, done: () => boolean = () => false): number {
    const start = this.now;
    const end = start + ms;
    while (this.now < end && !done()) {
      const next = Math.min(this.paths.nextDeadline(), this.#lookMs, this.#answers[0]?.atMs ?? end, end);
      this.now = Math.max(this.now, next);
      this.#step();
    }
    return this.now - start;
  }

  #step(): void {
    while ((this.#answers[0]?.atMs ?? Infinity) <= this.now) {
      const { bytes, from } = this.#answers.shift() as Answer;
      this.paths.handleDatagram(this.now, bytes, bytes.length, from);
    }
    if (this.now >= this.#lookMs) {
      this.#lookMs = this.now + LOOK_MS;
      for (const name of this.mtus.keys()) this.paths.noteTraffic(this.now, name, this.traffic);
    }
    this.paths.handleDeadline(this.now);
    for (let out = this.paths.pollTransmit(); out !== undefined; out = this.paths.pollTransmit()) {
      if (out.probe === undefined) continue;
      this.sent += 1;
      const { bytes, probe, to } = out;
      if (bytes.length + HEADERS > (this.mtus.get(probe.peer) ?? 0)) continue;
      const answer = clearAnswer(bytes.length, probe.token);
      this.#answers.push({ atMs: this.now + ROUND_TRIP_MS, from: to, bytes: answer });
    }
  }
}
