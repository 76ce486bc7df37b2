/**
 * A host of a storm: the whole control plane of state-layer.ts, with a keyring when gossip is sealed, and what the agent
 * keeps on disk (epoch, known keys of others, the ring).
 */
import { hkdf, sha256 } from '../../agent/crypto/aes-gcm.ts';
import { RotationDriver } from '../../proto/keyring/rotation-driver.ts';
import { Rotation } from '../../proto/keyring/rotation.ts';
import { restoreKeyring } from '../../proto/keyring/saved-ring.ts';
import type { SavedRing } from '../../proto/keyring/saved-ring.ts';
import type { SecretKey } from '../../proto/keyring/secret-key.ts';
import type { Aead } from '../../proto/memberlist/sealed-block.ts';
import type { StateNode } from '../../proto/state/interface.ts';
import { TABLE } from '../../proto/state/interface.ts';
import type { State } from '../../proto/state/state.ts';
import type { SwimDelegate, SwimEvent } from '../../proto/swim/interface.ts';
import { announcedKeys, decodeMeta, encodeMeta } from '../../proto/swim/meta.ts';
import type { Swim } from '../../proto/swim/swim.ts';
import type { LifeOfNode, SimLayer, SimNode } from './sim-node.ts';
import type { Simulation } from './simulation.ts';
import { StateLayer } from './state-layer.ts';

export interface StormHostOptions {
  readonly seeds: readonly { readonly ip: string; readonly port: number }[];
  /** The key of every host's file; undefined: gossip in clear. */
  readonly key: SecretKey | undefined;
  readonly aead: Aead;
  /** Between automatic rotations. */
  readonly rotateMs: number;
}

const DISK = { state: 'state', ring: 'ring' } as const;

export class StormLayer implements SimLayer {
  readonly control: StateLayer;
  readonly meta: Uint8Array;
  readonly rotation: Rotation | undefined;
  /** Hears of every change of an endpoint. */
  onEndpoint: ((scope: number, keyHex: string) => void) | undefined;
  readonly #disk: Map<string, unknown>;
  #driver: RotationDriver | undefined;
  #swim: Swim | undefined;
  #areKeysNew = false;
  #announcedEpoch: bigint;

  constructor(life: LifeOfNode, sim: Simulation, { key, aead, rotateMs }: StormHostOptions) {
    const { name, ip, rng, disk, wall } = life;
    const before = disk.get(DISK.state) as State | undefined;
    const epoch = BigInt(Math.max(Math.floor(wall()), before === undefined ? 0 : Number(before.epoch) + 1));
    const pins = before === undefined ? [] : [...before.identities.pins()];
    this.control = new StateLayer(name, ip, epoch, rng, sim, {}, { wall, identities: { pins } });
    this.control.onChange = ({ scope, table, keyHex }) => {
      if (table === TABLE.keyring) this.#areKeysNew = true;
      if (table === TABLE.endpoint) this.onEndpoint?.(scope, keyHex);
    };
    disk.set(DISK.state, this.state);
    this.#disk = disk;
    if (key !== undefined) {
      const saved = disk.get(DISK.ring) as SavedRing | undefined;
      const crypto = { aead, sha256, hkdf };
      const options = { self: name, intervalMs: rotateMs, rng: rng.fork('keys'), crypto, saved };
      this.rotation = new Rotation(restoreKeyring([key], saved), options);
    }
    this.#announcedEpoch = epoch;
    const keys = this.rotation?.keyring.fingerprints;
    this.meta = encodeMeta({ stateProtocolMin: 1, stateProtocolMax: 1, epoch, ...(keys && { keys }) });
  }

  get state(): State {
    return this.control.state;
  }

  get delegate(): SwimDelegate {
    return this.state.delegate;
  }

  handleEvent(now: number, event: SwimEvent, swim: Swim): void {
    this.control.handleEvent(now, event, swim);
  }

  handleDeadline(now: number): void {
    if (this.control.nextDeadline() <= now) this.control.handleDeadline(now);
    if (this.#driver !== undefined && this.#driver.nextDeadline() <= now) this.#driver.run(now);
  }

  nextDeadline(): number {
    return Math.min(this.control.nextDeadline(), this.#driver?.nextDeadline() ?? Infinity);
  }

  pump(now: number, swim: Swim): void {
    this.#attach(now, swim);
    this.control.pump(now, swim);
    if (this.#areKeysNew) this.#driver?.run(now);
    this.#areKeysNew = false;
    // As the agent does it: others must know under which epoch we speak.
    const { epoch } = this.state;
    if (epoch === this.#announcedEpoch) return;
    this.#announcedEpoch = epoch;
    const meta = decodeMeta(swim.self.meta);
    if (meta !== undefined) swim.setMeta(now, encodeMeta({ ...meta, epoch }));
  }

  /** As an operator does it: a new key, to be used by all. */
  useKey(now: number, key: SecretKey): void {
    this.rotation?.add(key);
    this.rotation?.use(key.fingerprint);
    this.#driver?.run(now);
  }

  #attach(now: number, swim: Swim): void {
    if (this.rotation === undefined || this.#swim === swim) return;
    this.#swim = swim;
    const { rotation } = this;
    const state: StateNode = this.state;
    const onRing = (later: number): void => {
      this.#disk.set(DISK.ring, rotation.saved(later));
    };
    this.#driver = new RotationDriver({ rotation, swim, state, onRing });
    this.#driver.run(now);
  }
}

/** One host more: n1 at 10.0.0.1 and so on. */
export function addStormHost(sim: Simulation, options: StormHostOptions): SimNode {
  const i = sim.nodes.length + 1;
  const { seeds, key, aead } = options;
  let layer: StormLayer | undefined;
  return sim.addNode({
    name: `n${i}`,
    ip: `10.0.0.${i}`,
    seeds,
    keepEvents: false,
    layer: (life) => {
      layer = new StormLayer(life, sim, options);
      return layer;
    },
    sealing: () => {
      const keyring = layer?.rotation?.keyring;
      return key === undefined || keyring === undefined
        ? undefined
        : { aead, keyring, mode: 'required', announcedKeys };
    },
  });
}

/** The layer of a running node. */
export function stormLayerOf(node: SimNode): StormLayer {
  if (!(node.layer instanceof StormLayer)) throw new Error(`${node.name} is not running`);
  return node.layer;
}
