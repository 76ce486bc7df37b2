/** Replicated state on every host of a campaign: it starts converged like its members, and endpoints appear on it. */
import { below } from '../../proto/rng.ts';
import { macKeyHex } from '../../proto/state/values/mac.ts';
import { decodeMeta, encodeMeta } from '../../proto/swim/meta.ts';
import { cheapAead } from './cheap-aead.ts';
import { WALL_MS } from './sim-node.ts';
import type { LifeOfNode, SimNode } from './sim-node.ts';
import type { Simulation } from './simulation.ts';
import { VNI } from './state-layer.ts';
import { StormLayer, stormLayerOf } from './storm-host.ts';

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

export class Crowd {
  readonly #sim: Simulation;
  readonly #delays: number[] = [];
  /** When each endpoint appeared, by its key. */
  readonly #appearedMs = new Map<string, number>();
  /** Who has not seen which endpoint yet. */
  readonly #waiting = new Map<string, Set<string>>();

  constructor(sim: Simulation) {
    this.#sim = sim;
  }

  layer(life: LifeOfNode): StormLayer {
    const options = { seeds: [], key: undefined, aead: cheapAead, rotateMs: Infinity };
    const layer = new StormLayer(life, this.#sim, options);
    layer.onEndpoint = (scope, keyHex) => {
      if (scope === VNI) this.#saw(life.name, keyHex);
    };
    if (life.life > 1) this.#sim.after(1, () => this.#introduce(life.name));
    return layer;
  }

  /** The states of all are told of each other, and given time to exchange what they have. */
  warmUp(): void {
    for (const { name } of this.#sim.nodes) this.#introduce(name);
    this.#sim.run(WARM_MS);
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

  /** Over all writes, at all hosts that ran then and since. */
  visible(): Visible | undefined {
    const never = [...this.#waiting.values()].flatMap((names) => Array.from(names, () => Infinity));
    const delays = [...this.#delays, ...never].sort((a, b) => a - b);
    const at = (share: number): number => delays[Math.ceil(delays.length * share) - 1] ?? NaN;
    return delays.length === 0 ? undefined : { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
  }

  /** All that run hold the same. */
  agrees(): boolean {
    const states = this.#sim.nodes.filter((node) => node.isRunning).map((node) => stormLayerOf(node).state);
    return new Set(states.map((state) => `${state.root(0)} ${state.root(VNI)}`)).size === 1;
  }

  /** An image tells of no joins: so the state of a host is told of the members that it starts with. */
  #introduce(name: string): void {
    const node = this.#sim.nodes.find((other) => other.name === name);
    node?.do((swim, now) => {
      const { state } = stormLayerOf(node);
      for (const member of swim.members()) {
        if (member.state === 'alive')
          state.handleMemberAlive(now, member.name, decodeMeta(member.meta)?.epoch);
      }
    });
  }

  #write(writer: SimNode, running: readonly SimNode[], mac: number): void {
    const keyHex = macKeyHex(mac);
    this.#appearedMs.set(keyHex, this.#sim.now);
    const others = running.filter((node) => node !== writer).map(({ name }) => name);
    this.#waiting.set(keyHex, new Set(others));
    writer.do((_swim, now) => stormLayerOf(writer).control.announcer.handleMacLearned(now, VNI, mac));
    // It dies with its writer, and is no news to who was not there.
    const gone = (name: string): boolean =>
      this.#sim.nodes.find((node) => node.name === name)?.isRunning !== true;
    this.#sim.after(GIVE_UP_MS, () => {
      const waiting = this.#waiting.get(keyHex);
      if (gone(writer.name)) waiting?.clear();
      for (const name of waiting ?? []) if (gone(name)) waiting?.delete(name);
    });
  }

  #saw(name: string, keyHex: string): void {
    if (this.#waiting.get(keyHex)?.delete(name) !== true) return;
    this.#delays.push(this.#sim.now - (this.#appearedMs.get(keyHex) ?? NaN));
  }
}

const GIVE_UP_MS = 5000;
