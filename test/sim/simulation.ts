import { createHash } from 'node:crypto';
import type { Address, FaultPoint } from '../../proto/env.ts';
import { SeededRng } from '../../proto/rng.ts';
import type { SwimEvent } from '../../proto/swim/interface.ts';
import { TimerHeap } from '../../proto/swim/timer-heap.ts';
import { SimNetwork } from './network.ts';
import { SimNode } from './sim-node.ts';
import type { SimNodeOptions } from './sim-node.ts';

const TRACE_CHUNK = 16_384;

/**
 * A whole cluster in one process and in virtual time (gossip.md 8): one seed, one run.
 *
 *   const sim = new Simulation(7);
 *   const nodes = sim.addNodes(3, { seeds: [{ ip: '10.0.0.1', port: 7946 }] });   // n1 .. n3 at 10.0.0.1 ..
 *   sim.network.faults = { ...GOOD_LINK, loss: 0.05 };
 *   sim.run(10_000);                                   // ten virtual seconds
 *   sim.runUntil(() => condition, 30_000);             // true when it came about in time
 *   nodes[0].crash(); nodes[0].start(); nodes[1].pause(); nodes[1].resume();
 *   sim.traceHash();                                   // equal for equal seeds and scripts
 *
 * See SimNodeOptions.layer for putting something on top of membership, SimNetwork for faults. Forks of `rng` by label
 * keep the draws of one part from shifting those of another.
 */
export class Simulation {
  readonly seed: number;
  readonly rng: SeededRng;
  readonly timers = new TimerHeap();
  readonly network: SimNetwork;
  readonly nodes: SimNode[] = [];
  /** Hears every event of every member. */
  onEvent: ((event: SwimEvent) => void) | undefined;
  /** Share of the questions at fault points (proto/env.ts) that are answered with true. */
  buggify = 0;
  /** Fault points that were walked. */
  readonly faultsHit = new Map<FaultPoint, number>();
  readonly #buggifyRng: SeededRng;
  readonly #trace = createHash('sha256');
  /** Of the trace: a call of the hash for each line would cost more than the line. */
  #untraced = '';
  #now = 0;

  constructor(seed: number) {
    this.seed = seed;
    this.rng = new SeededRng(seed);
    this.#buggifyRng = this.rng.fork('buggify');
    this.network = new SimNetwork(this.timers, this.rng.fork('network'), () => this.#now);
  }

  get now(): number {
    return this.#now;
  }

  addNode(options: SimNodeOptions): SimNode {
    const node = new SimNode(this, options);
    this.nodes.push(node);
    return node;
  }

  /** n1, n2, … at 10.0.0.1, 10.0.0.2, … (up to 10.0.255.250). */
  addNodes(count: number, options: Partial<SimNodeOptions> = {}): SimNode[] {
    return Array.from({ length: count }, () => {
      const i = this.nodes.length + 1;
      return this.addNode({ name: `n${i}`, ip: this.addressOf(i).ip, ...options });
    });
  }

  /** Of the member n`i` of `addNodes`. */
  addressOf(i: number): Address {
    return { ip: `10.0.${Math.floor(i / 251)}.${(i % 251) + (i >= 251 ? 1 : 0)}`, port: 7946 };
  }

  run(ms: number): void {
    this.#runTo(this.#now + ms, () => false);
  }

  /**
   * Runs until `isReached`; false when that did not come within `ms`. It is looked at after every event, or, where a look
   * is dear, every `lookEveryMs`.
   */
  runUntil(isReached: () => boolean, ms: number, lookEveryMs = 0): boolean {
    return isReached() || this.#runTo(this.#now + ms, isReached, lookEveryMs);
  }

  /** For protocol objects. */
  readonly fault = (point: FaultPoint): boolean => {
    if (this.buggify === 0 || this.#buggifyRng.float() >= this.buggify) return false;
    this.faultsHit.set(point, (this.faultsHit.get(point) ?? 0) + 1);
    return true;
  };

  /** A script for later. */
  after(ms: number, run: () => void): void {
    this.timers.at(this.#now + ms, run);
  }

  trace(node: string, event: SwimEvent): void {
    this.onEvent?.(event);
    const detail =
      'member' in event ? `${event.member.name} ${event.member.state} ${event.member.incarnation}` : '';
    this.note(`${node} ${event.type} ${detail}`);
  }

  /** A state change of any layer, for the trace. */
  note(line: string): void {
    this.#untraced += `${this.#now} ${line}\n`;
    if (this.#untraced.length > TRACE_CHUNK) this.#flushTrace();
  }

  /** SHA-256 over all state changes so far. */
  traceHash(): string {
    this.#flushTrace();
    return this.#trace.copy().digest('hex');
  }

  #flushTrace(): void {
    this.#trace.update(this.#untraced);
    this.#untraced = '';
  }

  #runTo(endMs: number, isReached: () => boolean, lookEveryMs = 0): boolean {
    let nextLookMs = this.#now;
    for (;;) {
      const next = this.timers.nextMs();
      if (next > endMs) break;
      this.#now = Math.max(this.#now, next);
      this.timers.runDue(this.#now);
      if (this.#now < nextLookMs) continue;
      nextLookMs = this.#now + lookEveryMs;
      if (isReached()) return true;
    }
    this.#now = endMs;
    return isReached();
  }
}
