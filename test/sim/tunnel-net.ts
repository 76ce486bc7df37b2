import type { Address } from '../../proto/env.ts';
import type { SeededRng } from '../../proto/rng.ts';
import type { Timer } from '../../proto/swim/timer-heap.ts';
import type { TunnelTiming } from '../../proto/tunnel/options.ts';
import type { TunnelPsk } from '../../proto/tunnel/psk.ts';
import { TunnelHost, agree } from '../proto/tunnel/host.ts';
import type { Receiver } from './network.ts';
import type { Simulation } from './simulation.ts';

/** Hosts with tunnels on the virtual network, all peers of each other: crash, start, move, clocks that are wrong. */
export class TunnelNode {
  readonly name: string;
  readonly number: number;
  addr: Address;
  /** Undefined while it is down. */
  host: TunnelHost | undefined;
  /** What its wall clock is off by. */
  skewMs = 0;
  readonly #net: TunnelNet;
  #runs = 0;
  #timer: Timer | undefined;

  constructor(net: TunnelNet, number: number) {
    this.#net = net;
    this.number = number;
    this.name = `n${number}`;
    this.addr = { ip: `10.0.0.${number}`, port: 4789 };
  }

  start(): void {
    const { sim, timing } = this.#net;
    this.#runs += 1;
    this.host = new TunnelHost({
      name: this.name,
      addr: this.addr,
      seed: sim.rng.fork(`${this.name} ${this.#runs}`).u32(),
      staticByte: this.number,
      nowMs: sim.now,
      wallMs: 1_800_000_000_000 + sim.now + this.skewMs,
      timing,
    });
    this.#listen();
    this.host.tunnels.setPsks(sim.now, this.#net.psksOf(this));
    for (const other of this.#net.nodes) if (other !== this) this.#learn(other);
    this.flush();
  }

  crash(): void {
    this.#net.sim.network.unlisten(this.addr);
    this.#timer?.cancel();
    this.host = undefined;
  }

  /** Another address, that the others hear of later. */
  move(ip: string): void {
    this.#net.sim.network.unlisten(this.addr);
    this.addr = { ip, port: 4789 };
    this.#listen();
  }

  learnAddress(other: TunnelNode): void {
    this.#learn(other);
    this.flush();
  }

  setPsks(): void {
    this.host?.tunnels.setPsks(this.#net.sim.now, this.#net.psksOf(this));
    this.flush();
  }

  send(to: TunnelNode, text: string): void {
    const datagram = this.host?.seal(this.#net.sim.now, to.name, text);
    if (datagram !== undefined) this.#net.sim.network.send(this.addr, to.addr, datagram);
    this.flush();
  }

  flush(): void {
    const { host } = this;
    if (host === undefined) return;
    const { sim } = this.#net;
    for (const { to, bytes } of host.poll()) {
      this.#net.onTransmit?.(this, to, bytes);
      sim.network.send(this.addr, to, bytes);
    }
    this.#timer?.cancel();
    const at = host.tunnels.nextDeadline();
    if (at === Infinity) return;
    this.#timer = sim.timers.at(Math.max(at, sim.now), (now) => {
      host.tunnels.handleDeadline(now);
      this.flush();
    });
  }

  #learn(other: TunnelNode): void {
    const staticKey = this.#net.staticKeyOf(other);
    this.host?.tunnels.setPeer(this.#net.sim.now, other.name, { staticKey, addr: other.addr });
  }

  #listen(): void {
    const { host } = this;
    const nothing = (): void => undefined;
    const receiver: Receiver = {
      onDatagram: (bytes, from) => {
        host?.handle(this.#net.sim.now, bytes, from);
        this.flush();
      },
      onStreamOpen: nothing,
      onStreamConnect: nothing,
      onStreamData: nothing,
      onStreamEnd: nothing,
    };
    this.#net.sim.network.listen(this.addr, receiver);
  }
}

export interface TunnelNetOptions {
  readonly count: number;
  readonly timing?: Partial<TunnelTiming>;
  readonly psks: readonly TunnelPsk[];
}

export class TunnelNet {
  readonly sim: Simulation;
  readonly nodes: readonly TunnelNode[];
  readonly timing: Partial<TunnelTiming>;
  /** What a node holds, where it is not what all hold. */
  readonly ownPsks = new Map<TunnelNode, readonly TunnelPsk[]>();
  onTransmit: ((from: TunnelNode, to: Address, bytes: Uint8Array) => void) | undefined;
  psks: readonly TunnelPsk[];
  readonly #rng: SeededRng;

  constructor(sim: Simulation, { count, timing = {}, psks }: TunnelNetOptions) {
    this.sim = sim;
    this.timing = timing;
    this.psks = psks;
    this.#rng = sim.rng.fork('tunnels');
    this.nodes = Array.from({ length: count }, (_, i) => new TunnelNode(this, i + 1));
  }

  get rng(): SeededRng {
    return this.#rng;
  }

  psksOf(node: TunnelNode): readonly TunnelPsk[] {
    return this.ownPsks.get(node) ?? this.psks;
  }

  staticKeyOf(node: TunnelNode): Uint8Array {
    return (
      node.host ?? new TunnelHost({ name: node.name, addr: node.addr, seed: 0, staticByte: node.number })
    ).staticKeys.publicKey;
  }

  /** Traffic between all pairs, both ways, for ever. */
  talk(everyMs: number): void {
    for (const node of this.nodes) {
      for (const other of this.nodes) if (node !== other) node.send(other, `${node.name} to ${other.name}`);
    }
    this.sim.after(everyMs, () => this.talk(everyMs));
  }

  /** Every pair of running hosts is on one session. */
  allAgree(): boolean {
    const hosts = this.nodes.flatMap(({ host }) => host ?? []);
    return hosts.every((a) => hosts.every((b) => a === b || agree(a, b)));
  }
}
