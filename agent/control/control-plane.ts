import type { Address } from '../../proto/env.ts';
import { TABLE } from '../../proto/state/interface.ts';
import type { StateChange, StateNode } from '../../proto/state/interface.ts';
import type { Swim } from '../../proto/swim/swim.ts';
import type { RestoredEndpoint } from '../../proto/view/endpoints.ts';
import type { StaticPeer } from '../../proto/view/rows.ts';
import { monotonicMs, wallMs } from '../clock.ts';
import { formatHostPort, ipFamily } from '../config/address.ts';
import type { RunConfig, Seed } from '../config/run-config.ts';
import type { Dataplane } from '../dataplane/dataplane.ts';
import type { Log } from '../log.ts';
import { OverlaydError } from '../errors.ts';
import type { GossipEncryption, JoinResult } from '../status.ts';
import { Cluster } from './cluster.ts';
import type { EndpointFile } from './endpoint-file.ts';
import type { GossipKeys } from './gossip-keys.ts';
import { KeyringControl } from './keyring-control.ts';
import type { Notices } from './notices.ts';
import type { PinFile } from './pin-file.ts';
import type { Identities } from '../../proto/state/identities.ts';
import type { NotReady } from '../readiness.ts';
import type { KnownPeers } from './known-peers.ts';
import { Reconciler } from './reconciler.ts';
import { SeedKeeper, resolveSeeds } from './seeds.ts';

/**
 * Everything on the main thread that decides: cluster, reconciler, seeds, and the endpoint list on disk.
 *
 * It holds the order in which these are brought up and taken down; each of them knows only what it is given.
 */

const SNAPSHOT_INTERVAL_MS = 2_000;
const LEAVE_DEADLINE_MS = 2_000;

export interface ControlPlaneOptions {
  readonly config: RunConfig;
  readonly swim: Swim;
  readonly state: StateNode;
  readonly dataplane: Dataplane;
  readonly endpoints: EndpointFile;
  readonly pins: PinFile;
  readonly identities: Identities;
  /** A look at words and records that may have changed. */
  readonly onTick: () => void;
  readonly known: KnownPeers;
  readonly staticPeers: readonly StaticPeer[];
  /** Largest UDP payload to a peer, bytes. */
  readonly maxPayload: number;
  /** undefined: gossip goes in clear. */
  readonly keys: GossipKeys | undefined;
  readonly onFailure: (error: Error) => void;
  readonly notices: Notices;
  readonly log: Log;
}

export class ControlPlane {
  readonly swim: Swim;
  readonly reconciler: Reconciler;
  readonly #cluster: Cluster;
  readonly #seeds: SeedKeeper;
  readonly #endpoints: EndpointFile;
  readonly #pins: PinFile;
  readonly #identities: Identities;
  readonly #onTick: () => void;
  readonly #known: KnownPeers;
  readonly #state: StateNode;
  readonly #snapshots: NodeJS.Timeout;
  /** What an earlier run has left; not written over before it has been said again. */
  #restored: readonly RestoredEndpoint[] | undefined;
  readonly #family: 4 | 6;
  readonly #keyring: KeyringControl | undefined;
  #onClusterChange: (changes: readonly StateChange[]) => void = () => undefined;

  private constructor(
    options: ControlPlaneOptions,
    cluster: Cluster,
    reconciler: Reconciler,
    keyring: KeyringControl | undefined,
  ) {
    const { config, swim, log } = options;
    this.swim = swim;
    this.reconciler = reconciler;
    this.#cluster = cluster;
    this.#keyring = keyring;
    this.#endpoints = options.endpoints;
    this.#restored = options.endpoints.read();
    this.#pins = options.pins;
    this.#identities = options.identities;
    this.#onTick = options.onTick;
    this.#known = options.known;
    this.#state = options.state;
    this.#family = ipFamily(config.advertiseAddr);
    this.#seeds = new SeedKeeper({
      seeds: config.join,
      family: this.#family,
      setSeeds: (addresses) => {
        swim.setSeeds(
          monotonicMs(),
          addresses.filter((address) => !isSame(address, swim.self.addr)),
        );
        cluster.touch();
      },
      log,
    });
    this.#snapshots = setInterval(() => {
      this.#snapshot();
    }, SNAPSHOT_INTERVAL_MS);
    const others = options.known.addresses.filter((address) => !isSame(address, swim.self.addr));
    swim.setKnown(monotonicMs(), others);
    cluster.touch();
  }

  /** Binds the gossip port and starts to take part. Throws OverlaydError when the port is taken. */
  static async open(options: ControlPlaneOptions): Promise<ControlPlane> {
    const { config, swim, state, dataplane, log } = options;
    const { advertiseAddr: bindAddr, gossipPort } = config;
    const cluster = await Cluster.open({
      bindAddr,
      gossipPort,
      swim,
      state,
      onFailure: options.onFailure,
      notices: options.notices,
      log,
    });
    const reconciler = new Reconciler(
      {
        self: config.nodeName,
        networks: config.networks.map(({ vni, encrypted }, network) => ({
          network,
          vni,
          suppress: true,
          sealed: encrypted,
        })),
        staticPeers: options.staticPeers,
        maxPayload: options.maxPayload,
        notices: options.notices,
        log,
      },
      state,
      dataplane,
      () => {
        cluster.touch();
      },
    );
    const onChange = (): void => {
      cluster.touch();
    };
    const { keys } = options;
    const keyring = keys && new KeyringControl({ keys, swim, state, onChange, log });
    cluster.onChanges((changes) => {
      reconciler.handleChanges(changes);
      if (!changes.some((change) => change.scope === 0)) return;
      if (changes.some(({ scope, table }) => scope === 0 && table === TABLE.keyring)) keyring?.touch();
      control.#onClusterChange(changes);
    });
    const control = new ControlPlane(options, cluster, reconciler, keyring);
    return control;
  }

  /** Says again what an earlier run had on the networks that are joined by now. */
  restoreEndpoints(): void {
    this.reconciler.restore(this.#restored ?? []);
    this.#restored = undefined;
  }

  /** Records of the cluster itself changed: hosts, networks, who takes part. */
  onClusterChange(listener: (changes: readonly StateChange[]) => void): void {
    this.#onClusterChange = listener;
  }

  /** Hosts that ask for addresses, and answers to them. */
  onRangeMessages(listener: (from: string, bytes: Uint8Array) => void): void {
    this.#cluster.onRangeMessages(listener);
  }

  /** One packet to a member, if it is known. */
  send(to: string, bytes: Uint8Array): void {
    this.#cluster.send(to, bytes);
  }

  /** Records were written: they are to be sent. */
  touch(): void {
    this.#cluster.touch();
  }

  /** Throws OverlaydError where gossip goes in clear. */
  keyring(): KeyringControl {
    if (this.#keyring !== undefined) return this.#keyring;
    throw new OverlaydError('OVL_NO_KEYRING', 'this host has no keyring: its gossip goes in clear', {
      hint: 'Start overlayd with --keyring FILE (and --gossip-encryption transition while other hosts have none).',
    });
  }

  gossipEncryption(): GossipEncryption {
    return this.#keyring?.summary() ?? { mode: 'off' };
  }

  /** A new gossip key for all; false: rotation is off; undefined: gossip goes in clear. */
  renewGossipKey(): boolean | undefined {
    return this.#keyring?.renew();
  }

  /** Alone by intent (no seeds), or somebody else is alive: what this host knows is what there is to know. */
  isSettled(): boolean {
    if (this.#seeds.seeds.length === 0) return true;
    return this.swim
      .members()
      .some((member) => member.name !== this.swim.self.name && member.state === 'alive');
  }

  notReady(): Exclude<NotReady, 'revoked'> | undefined {
    if (this.swim.self.state === 'left') return 'left';
    return this.isSettled() ? undefined : 'alone';
  }

  setSeeds(seeds: readonly Seed[]): void {
    this.#seeds.setSeeds(seeds);
  }

  setGossipRekeyInterval(intervalMs: number): void {
    this.#keyring?.setInterval(intervalMs);
  }

  /** Joins by hand; each address is tried once. */
  async join(seeds: readonly Seed[]): Promise<JoinResult> {
    const { addresses, errors } = await resolveSeeds(seeds, this.#family);
    if (this.swim.self.state === 'left') {
      // To the others all that we had is gone with us: it is to be said again.
      this.#state.renew(monotonicMs());
      this.#seeds.open();
    }
    const results = await this.#cluster.join(addresses);
    const failures = results.flatMap((error, index) => {
      const { ip, port } = addresses[index] as Address;
      return error === undefined ? [] : [{ addr: formatHostPort(ip, port), error }];
    });
    return {
      joined: results.length - failures.length,
      errors: [...errors, ...failures].sort((a, b) => (a.addr < b.addr ? -1 : 1)),
    };
  }

  /** Says good-bye and stays away until somebody joins by hand. */
  leave(): Promise<void> {
    this.#seeds.close();
    return this.#cluster.leave(LEAVE_DEADLINE_MS);
  }

  #snapshot(): void {
    this.#onTick();
    if (this.#restored === undefined) this.#endpoints.write(this.reconciler.announced());
    this.#pins.write(this.#identities.version, this.#identities.pins());
    if (this.swim.self.state !== 'left') {
      this.#known.note(wallMs(), this.swim.members(), this.swim.self.name);
    }
  }

  async close(): Promise<void> {
    this.#seeds.close();
    clearInterval(this.#snapshots);
    this.#keyring?.close();
    this.#snapshot();
    this.reconciler.close();
    await this.#cluster.close();
  }
}

function isSame(a: Address, b: Address): boolean {
  return a.ip === b.ip && a.port === b.port;
}
