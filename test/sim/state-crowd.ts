/** Replicated state on every host of a campaign: it starts converged like its members, and endpoints appear on it. */
import { TABLE } from '../../proto/state/interface.ts';
import { below } from '../../proto/rng.ts';
import { macKeyHex } from '../../proto/state/values/mac.ts';
import { encodeMeta } from '../../proto/swim/meta.ts';
import { WALL_MS } from './sim-node.ts';
import type { LifeOfNode, SimNode } from './sim-node.ts';
import type { Simulation } from './simulation.ts';
import { StateLayer, VNI, agree, layerOf, learn } from './state-layer.ts';

export interface Visible {
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Infinity: some host never saw it. */
  readonly maxMs: number;
}

const EPOCH = BigInt(WALL_MS);
const FIRST_MAC = 0x02_00_00_00_00_01;
/** Greetings, and the marker that ends the settling of each log. */
const WARM_MS = 45_000;
export const CROWD_META = encodeMeta({ stateProtocolMin: 1, stateProtocolMax: 1, epoch: EPOCH });

/** A restarted host has a new epoch; to be told to others by its next meta only, as nobody changes it here. */
export function crowdLayer({ name, ip, rng, now, wall }: LifeOfNode, sim: Simulation): StateLayer {
  return new StateLayer(name, ip, EPOCH + BigInt(Math.floor(now)), rng, sim, {}, { wall });
}

export class Crowd {
  readonly #sim: Simulation;
  readonly #delays: number[] = [];
  #missing = 0;

  /** An image tells of no joins: so the states are told of each other, and given time to exchange what they have. */
  constructor(sim: Simulation) {
    this.#sim = sim;
    for (const node of sim.nodes) {
      node.do((_swim, now) => {
        const { state } = layerOf(node);
        for (const { name } of sim.nodes) state.handleMemberAlive(now, name, EPOCH);
      });
    }
    sim.run(WARM_MS);
  }

  /** So many endpoints, evenly over that time. */
  write(count: number, overMs: number): void {
    const rng = this.#sim.rng.fork('writes');
    for (let i = 0; i < count; i++) {
      this.#sim.after((i * overMs) / count, () => {
        const running = this.#sim.nodes.filter((node) => node.isRunning && !node.isPaused);
        const writer = running[below(rng, running.length)];
        if (writer !== undefined) this.#write(writer, running, FIRST_MAC + i);
      });
    }
  }

  /** Over all writes, at all hosts that ran then. */
  visible(): Visible | undefined {
    const delays = [...this.#delays, ...Array.from({ length: this.#missing }, () => Infinity)];
    delays.sort((a, b) => a - b);
    const at = (share: number): number => delays[Math.ceil(delays.length * share) - 1] ?? NaN;
    return delays.length === 0 ? undefined : { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
  }

  /** All that run hold the same. */
  agrees(): boolean {
    return agree(this.#sim.nodes.filter((node) => node.isRunning));
  }

  #write(writer: SimNode, running: readonly SimNode[], mac: number): void {
    const began = this.#sim.now;
    const keyHex = macKeyHex(mac);
    for (const node of running) {
      if (node === writer) continue;
      this.#missing += 1;
      const layer = layerOf(node);
      const before = layer.onChange;
      layer.onChange = (change) => {
        before?.(change);
        if (change.table !== TABLE.endpoint || change.scope !== VNI || change.keyHex !== keyHex) return;
        this.#delays.push(this.#sim.now - began);
        this.#missing -= 1;
        layer.onChange = before;
      };
    }
    learn(writer, mac);
  }
}
