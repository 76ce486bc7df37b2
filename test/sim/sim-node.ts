import type { Address } from '../../proto/env.ts';
import type { SeededRng } from '../../proto/rng.ts';
import type { SwimDelegate, SwimEvent } from '../../proto/swim/interface.ts';
import type { SealingDeps } from '../../proto/swim/sealing.ts';
import type { SwimOptions } from '../../proto/swim/options.ts';
import { Swim } from '../../proto/swim/swim.ts';
import type { Timer } from '../../proto/swim/timer-heap.ts';
import type { Receiver } from './network.ts';
import type { Simulation } from './simulation.ts';

/**
 * One host of a simulation: a real `Swim` on the virtual network, and any layer above it.
 *
 * Plugging a layer in (a StateNode, say): give `layer` in the options. It is made anew at every start and restart, gets
 * all events of membership, and is pumped after everything that happened to the node; there it polls its own object and
 * calls `swim.sendUser` and the like. Its deadlines are kept together with Swim's.
 *
 *   new Simulation(seed).addNode({ name: 'a', ip: '10.0.0.1', layer: ({ name, rng, now }) => {
 *     const state = new State(...);
 *     return { delegate: state.delegate, handleEvent(now, event, swim) {...}, pump(now, swim) {...},
 *              handleDeadline: (now) => state.handleDeadline(now), nextDeadline: () => state.nextDeadline() };
 *   }});
 */
export interface SimLayer {
  readonly delegate: SwimDelegate;
  /** What the member says of itself from the start, in place of the node's options. */
  readonly meta?: Uint8Array;
  handleEvent(now: number, event: SwimEvent, swim: Swim): void;
  handleDeadline(now: number): void;
  nextDeadline(): number;
  /** Poll the layer's object until it has nothing more. */
  pump(now: number, swim: Swim): void;
}

/** What a layer is made with at each start. */
export interface LifeOfNode {
  readonly name: string;
  readonly rng: SeededRng;
  readonly now: number;
  readonly life: number;
  /** Where the host is now. */
  readonly ip: string;
  /** What it keeps between lives. */
  readonly disk: Map<string, unknown>;
  /** Its wall clock, ms since 1970. */
  readonly wall: () => number;
}

export const WALL_MS = 1_700_000_000_000;

export interface SimNodeOptions extends Partial<Omit<SwimOptions, 'name' | 'addr'>> {
  readonly name: string;
  readonly ip: string;
  readonly port?: number;
  /** False: `events` stays empty, as long runs of many nodes need. */
  readonly keepEvents?: boolean;
  readonly layer?: (of: LifeOfNode) => SimLayer;
  /** Keys of this node, made anew at every start after the layer; in clear without. */
  readonly sealing?: (of: { life: number }) => SealingDeps | undefined;
}

export class SimNode implements Receiver {
  readonly name: string;
  addr: Address;
  /** How far its wall clock is off. */
  wallOffsetMs = 0;
  readonly disk = new Map<string, unknown>();
  /** Every event since the last (re)start. */
  events: SwimEvent[] = [];
  readonly #sim: Simulation;
  readonly #options: SimNodeOptions;
  #swim: Swim | undefined;
  #layer: SimLayer | undefined;
  #wake: Timer | undefined;
  #wakeMs = Infinity;
  #life = 0;
  #isStopped = false;
  /** What the kernel keeps for a stopped process. */
  #held: (() => void)[] = [];

  constructor(sim: Simulation, options: SimNodeOptions) {
    this.#sim = sim;
    this.#options = options;
    this.name = options.name;
    this.addr = { ip: options.ip, port: options.port ?? 7946 };
    this.start();
  }

  /** Throws while the node is crashed. */
  get swim(): Swim {
    if (this.#swim === undefined) throw new Error(`${this.name} is not running`);
    return this.#swim;
  }

  get layer(): SimLayer | undefined {
    return this.#layer;
  }

  get isPaused(): boolean {
    return this.#isStopped;
  }

  get isRunning(): boolean {
    return this.#swim !== undefined;
  }

  /** First start and every restart: all memory is new, name and address are the same. */
  start(): void {
    const {
      name: _name,
      ip: _ip,
      port: _port,
      keepEvents: _keepEvents,
      layer,
      sealing,
      ...options
    } = this.#options;
    this.#life += 1;
    const rng = this.#sim.rng.fork(`${this.name}/${this.#life}`);
    this.#layer = layer?.({
      name: this.name,
      rng: rng.fork('layer'),
      now: this.#sim.now,
      life: this.#life,
      ip: this.addr.ip,
      disk: this.disk,
      wall: () => WALL_MS + this.#sim.now + this.wallOffsetMs,
    });
    const delegate = this.#layer?.delegate ?? NO_DELEGATE;
    const { fault } = this.#sim;
    const deps = { rng, delegate, sealing: sealing?.({ life: this.#life }), fault };
    const meta = this.#layer?.meta;
    this.#swim = new Swim({ name: this.name, addr: this.addr, ...options, ...(meta && { meta }) }, deps);
    this.events = [];
    this.#sim.network.listen(this.addr, this);
    this.do((swim, now) => swim.handleDeadline(now));
  }

  /** kill -9. */
  crash(): void {
    this.#unwake();
    this.#swim = undefined;
    this.#layer = undefined;
    this.#held = [];
    this.#isStopped = false;
    this.#sim.network.unlisten(this.addr);
  }

  /** Its next life is at another address. */
  moveTo(ip: string): void {
    this.crash();
    this.addr = { ip, port: this.addr.port };
  }

  /** SIGSTOP: nothing runs, what arrives is kept. */
  pause(): void {
    this.#isStopped = true;
    this.#unwake();
  }

  resume(): void {
    this.#isStopped = false;
    const held = this.#held;
    this.#held = [];
    // As an event loop has it: timers come first, and find that they are late; what lay in the socket comes after.
    this.do(this.#runDue);
    for (const run of held) run();
  }

  /** Calls into the member and then does what it asks for. All handles and commands go through here. */
  do(run: (swim: Swim, now: number) => void): void {
    if (this.#isStopped) {
      this.#held.push(() => this.do(run));
      return;
    }
    if (this.#swim === undefined) return;
    run(this.#swim, this.#sim.now);
    this.#pump(this.#swim);
  }

  join(...ips: string[]): void {
    this.do((swim, now) => {
      swim.join(
        now,
        ips.map((ip) => ({ ip, port: 7946 })),
      );
    });
  }

  /** Names held alive (suspects included), sorted, this one included. */
  alive(): string[] {
    const up = this.swim.members().filter(({ state }) => state === 'alive' || state === 'suspect');
    return up.map(({ name }) => name).sort();
  }

  stateOf(name: string): string | undefined {
    return this.swim.member(name)?.state;
  }

  onDatagram(bytes: Uint8Array, from: Address): void {
    this.do((swim, now) => swim.handleDatagram(now, bytes, from));
  }

  onStreamOpen(id: number, from: Address): void {
    this.do((swim, now) => swim.handleStreamOpen(now, id, from));
  }

  onStreamConnect(id: number): void {
    this.do((swim, now) => swim.handleStreamConnect(now, id));
  }

  onStreamData(id: number, bytes: Uint8Array): void {
    this.do((swim, now) => swim.handleStreamData(now, id, bytes));
  }

  onStreamEnd(id: number, error: string | undefined): void {
    this.do((swim, now) => swim.handleStreamEnd(now, id, error));
  }

  #pump(swim: Swim): void {
    const { now } = this.#sim;
    for (let event = swim.pollEvent(); event !== undefined; event = swim.pollEvent()) {
      if (this.#options.keepEvents !== false) this.events.push(event);
      this.#sim.trace(this.name, event);
      this.#layer?.handleEvent(now, event, swim);
    }
    this.#layer?.pump(now, swim);
    for (let out = swim.pollTransmit(); out !== undefined; out = swim.pollTransmit()) {
      this.#sim.network.send(this.addr, out.to, out.bytes);
    }
    this.#pumpStreams(swim);
    const next = Math.min(swim.nextDeadline(), this.#layer?.nextDeadline() ?? Infinity);
    // A wake that comes too early only sets the next one: cheaper than taking it back each time.
    if (next >= this.#wakeMs) return;
    this.#wake?.cancel();
    this.#wakeMs = Math.max(next, now);
    this.#wake = this.#sim.timers.at(this.#wakeMs, this.#onWake);
  }

  readonly #onWake = (): void => {
    this.#wakeMs = Infinity;
    this.do(this.#runDue);
  };

  readonly #runDue = (swim: Swim, now: number): void => {
    if (swim.nextDeadline() <= now) swim.handleDeadline(now);
    if (this.#layer !== undefined && this.#layer.nextDeadline() <= now) this.#layer.handleDeadline(now);
  };

  #unwake(): void {
    this.#wake?.cancel();
    this.#wakeMs = Infinity;
  }

  #pumpStreams(swim: Swim): void {
    const { network } = this.#sim;
    for (let action = swim.pollStream(); action !== undefined; action = swim.pollStream()) {
      switch (action.type) {
        case 'dial':
          network.dial(this, this.addr, action.id, action.to, action.timeoutMs);
          break;
        case 'write':
          network.write(this, action.id, action.bytes);
          break;
        case 'end':
          network.end(this, action.id);
          break;
        default:
          network.close(this, action.id);
      }
    }
  }
}

const NO_BYTES = new Uint8Array(0);
const NO_DELEGATE: SwimDelegate = {
  localState: () => NO_BYTES,
  broadcasts: () => [],
  hasBroadcasts: () => false,
  ackPayload: () => NO_BYTES,
};
