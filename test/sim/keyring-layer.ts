/** A State and a Rotation on a simulated member, glued as the agent glues them; keys and plan survive on a virtual disk. */
import { aesGcm, hkdf, sha256 } from '../../agent/crypto/aes-gcm.ts';
import { RotationDriver } from '../../proto/keyring/rotation-driver.ts';
import { Rotation } from '../../proto/keyring/rotation.ts';
import { restoreKeyring } from '../../proto/keyring/saved-ring.ts';
import type { SavedRing } from '../../proto/keyring/saved-ring.ts';
import type { SecretKey } from '../../proto/keyring/secret-key.ts';
import type { SeededRng } from '../../proto/rng.ts';
import { TABLE } from '../../proto/state/interface.ts';
import { feedState, sendState } from '../../proto/state/over-swim.ts';
import { State } from '../../proto/state/state.ts';
import type { SwimEvent } from '../../proto/swim/interface.ts';
import { announcedKeys, encodeMeta } from '../../proto/swim/meta.ts';
import type { SealingMode } from '../../proto/swim/sealing.ts';
import type { Swim } from '../../proto/swim/swim.ts';
import type { SimLayer, SimNode } from './sim-node.ts';
import type { Simulation } from './simulation.ts';
import { fakeSigner, fakeVerifier } from '../proto/state/fake-identity.ts';

const WALL_MS = 1_700_000_000_000;
const SEEDS = ['10.0.0.1', '10.0.0.2'].map((ip) => ({ ip, port: 7946 }));

/** What a host has beside its memory; a test may change it between two lives. */
export interface Disk {
  file: readonly SecretKey[];
  saved: SavedRing | undefined;
  mode: SealingMode | 'off';
}

export class KeyringLayer implements SimLayer {
  readonly state: State;
  readonly rotation: Rotation;
  #driver: RotationDriver | undefined;
  #swim: Swim | undefined;
  readonly #disk: Disk;
  #isDue = false;

  constructor(
    name: string,
    epoch: bigint,
    rng: SeededRng,
    wall: () => number,
    intervalMs: number,
    disk: Disk,
  ) {
    this.#disk = disk;
    this.state = new State(
      { node: name, epoch },
      { rng, wall, signer: fakeSigner(name), verifier: fakeVerifier },
    );
    const keyring = restoreKeyring(disk.file, disk.saved);
    const crypto = { aead: aesGcm, sha256, hkdf };
    const { saved } = disk;
    this.rotation = new Rotation(keyring, { self: name, intervalMs, rng: rng.fork('keys'), crypto, saved });
  }

  get delegate(): State['delegate'] {
    return this.state.delegate;
  }

  handleEvent(now: number, event: SwimEvent, swim: Swim): void {
    this.#attach(now, swim);
    feedState(now, this.state, event);
  }

  handleDeadline(now: number): void {
    if (this.state.nextDeadline() <= now) this.state.handleDeadline(now);
    if (this.#driver !== undefined && this.#driver.nextDeadline() <= now) this.#driver.run(now);
  }

  nextDeadline(): number {
    return Math.min(this.state.nextDeadline(), this.#driver?.nextDeadline() ?? Infinity);
  }

  pump(now: number, swim: Swim): void {
    this.#attach(now, swim);
    for (let c = this.state.pollChange(); c !== undefined; c = this.state.pollChange())
      if (c.table === TABLE.keyring) this.#isDue = true;
    if (this.#isDue) this.#driver?.run(now);
    this.#isDue = false;
    sendState(now, this.state, swim);
  }

  /** As the operator's verbs do. */
  command(run: (rotation: Rotation) => void): void {
    run(this.rotation);
    this.#driver?.run(this.#now);
  }

  /** As `overlayd revoke` does. */
  renew(): boolean {
    return this.#driver?.renew(this.#now) ?? false;
  }

  #now = 0;

  #attach(now: number, swim: Swim): void {
    this.#now = now;
    if (this.#swim === swim || this.#disk.mode === 'off') return;
    this.#swim = swim;
    const onRing = (later: number): void => {
      this.#disk.saved = this.rotation.saved(later);
    };
    this.#driver = new RotationDriver({ rotation: this.rotation, swim, state: this.state, onRing });
    this.#driver.run(now);
  }
}

/** One host more: n1 at 10.0.0.1 and so on, all join n1 and n2. Wall clocks are an hour apart from host to host. */
export function addKeyHost(sim: Simulation, disk: Disk, intervalMs = Infinity): SimNode {
  const i = sim.nodes.length + 1;
  const ip = `10.0.0.${i}`;
  let layerNow: KeyringLayer | undefined;
  return sim.addNode({
    name: `n${i}`,
    ip,
    seeds: SEEDS,
    meta: encodeMeta({ stateProtocolMin: 1, stateProtocolMax: 1, epoch: BigInt(WALL_MS) }),
    layer: ({ name, rng, now }) => {
      const wall = (): number => WALL_MS + i * 3_600_000 + sim.now;
      const epoch = BigInt(WALL_MS + Math.floor(now));
      layerNow = new KeyringLayer(name, epoch, rng, wall, intervalMs, disk);
      return layerNow;
    },
    sealing: () => {
      const { keyring } = layerNow!.rotation;
      return disk.mode === 'off' ? undefined : { aead: aesGcm, keyring, mode: disk.mode, announcedKeys };
    },
  });
}

/** The layer of a running node. */
export function keyLayerOf(node: SimNode): KeyringLayer {
  if (!(node.layer instanceof KeyringLayer)) throw new Error(`${node.name} is not running`);
  return node.layer;
}

export function primaryOf(node: SimNode): string {
  return keyLayerOf(node).rotation.keyring.primary.fingerprint;
}

/** Packets and streams that a node could not open since its start. */
export function undecryptable(node: SimNode): number {
  const { counts } = node.swim.counters();
  const reasons = [
    'packet-undecryptable',
    'packet-muted',
    'stream-undecryptable',
    'stream-muted',
    'stream-clear',
  ];
  return reasons.reduce((sum, reason) => sum + (counts.get(`drop:${reason}`) ?? 0), 0);
}
