import { toHex } from '../../proto/state/bytes.ts';
import { TABLE } from '../../proto/state/interface.ts';
import type { SimNode } from './sim-node.ts';
import { VNI } from './state-layer.ts';
import { stormLayerOf } from './storm-host.ts';
import { serialOf } from './truth.ts';
import type { Truth } from './truth.ts';

/**
 * What must hold all along, whatever goes wrong (gossip.md 7.10): nobody holds what its owner did not say, what was seen
 * deleted never comes back, nothing goes backwards, a host knows its own words, and no member is wrong about itself.
 */
interface Seen {
  serial: number;
  /** Seen deleted, by the owner's word and not because the owner was away. */
  isGone: boolean;
}

/** Of one life of one replica. */
interface Memory {
  readonly layer: unknown;
  incarnation: number;
  readonly seen: Map<string, Seen>;
}

export class Invariants {
  readonly #truth: Truth;
  readonly #memories = new Map<SimNode, Memory>();

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  /** What does not hold, in words; undefined when all is well. */
  check(nodes: readonly SimNode[]): string | undefined {
    for (const node of nodes) {
      const broken = node.isRunning ? this.#ofNode(node) : undefined;
      if (broken !== undefined) return `${node.name}: ${broken}`;
    }
    return undefined;
  }

  #ofNode(node: SimNode): string | undefined {
    const layer = stormLayerOf(node);
    let memory = this.#memories.get(node);
    if (memory?.layer !== layer) {
      memory = { layer, incarnation: 0, seen: new Map() };
      this.#memories.set(node, memory);
    }
    const { self } = node.swim;
    if (self.state !== 'alive') return `holds itself ${self.state}`;
    if (self.incarnation < memory.incarnation) return 'its incarnation went backwards';
    memory.incarnation = self.incarnation;
    const own = new Map<string, number>();
    const visible = new Map<string, number>();
    for (const { owner, key, value } of layer.state.records(VNI, TABLE.service)) {
      const keyHex = toHex(key);
      const serial = serialOf(value);
      if (serial === undefined || !this.#truth.wasSaid(owner, keyHex, serial))
        return `${owner} never said ${toHex(value)} of ${keyHex}`;
      visible.set(`${owner} ${keyHex}`, serial);
      if (owner === node.name) own.set(keyHex, serial);
    }
    const live = this.#truth.liveOf(node.name);
    if (own.size !== live.size) return `has ${own.size} of its own ${live.size} records`;
    for (const [keyHex, serial] of live)
      if (own.get(keyHex) !== serial) return `its own ${keyHex} is ${own.get(keyHex)}, not ${serial}`;
    const interested = new Set(layer.state.interested(VNI));
    const isHere = (owner: string): boolean =>
      interested.has(owner) && node.swim.member(owner)?.state === 'alive';
    return this.#compare(memory.seen, visible, isHere);
  }

  #compare(
    seen: Map<string, Seen>,
    visible: ReadonlyMap<string, number>,
    isHere: (owner: string) => boolean,
  ): string | undefined {
    for (const [name, serial] of visible) {
      const before = seen.get(name);
      if (before !== undefined && before.isGone && serial <= before.serial)
        return `${name} ${serial} came back after it was seen deleted`;
      if (before !== undefined && serial < before.serial)
        return `${name} went from ${before.serial} back to ${serial}`;
      if (before === undefined) seen.set(name, { serial, isGone: false });
      else Object.assign(before, { serial, isGone: false });
    }
    for (const [name, before] of seen) {
      if (visible.has(name)) continue;
      const [owner = '', keyHex = ''] = name.split(' ');
      // Hidden with an owner that is away, it may come back as it was.
      if (isHere(owner) && !this.#truth.isLive(owner, keyHex, before.serial)) before.isGone = true;
    }
    return undefined;
  }
}
