/**
 * Takes another configuration over while the daemon runs, all or nothing: everything that can fail is done first and
 * beside what runs (files are read, a listener is bound, or taken back if it comes to nothing); only then is anything changed, by steps that cannot fail.
 * What may change at all is said in config/options.ts.
 */
import type { SecretKey } from '../proto/keyring/secret-key.ts';
import { readIdentitiesFile } from './config/identities-file.ts';
import { readKeyringFile } from './config/keyring-file.ts';
import type { RunConfig } from './config/run-config.ts';
import type { ControlPlane } from './control/control-plane.ts';
import type { IdentityControl } from './control/identity-control.ts';
import type { TunnelKeeper } from './control/tunnel-keeper.ts';
import type { Log } from './log.ts';
import type { MetricsServer } from './metrics/server.ts';
import type { ConfiguredNetworks } from './networks/configured-networks.ts';
import { staticPeersOf } from './static-peers.ts';

export interface ReloadParts {
  readonly control: ControlPlane;
  readonly identities: Pick<IdentityControl, 'setListed'>;
  /** Undefined while nothing is sealed. */
  readonly tunnels: () => TunnelKeeper | undefined;
  readonly networks: Pick<ConfiguredNetworks, 'prepare'>;
  readonly openMetrics: (config: RunConfig) => Promise<MetricsServer | undefined>;
  /** Called when it is certain, before anything is changed. */
  readonly onTaken: (config: RunConfig) => void;
  readonly log: Log;
}

interface Prepared {
  /** Cannot fail. What takes a while goes on when it has returned. */
  readonly commit: () => void | Promise<void>;
  /** Undoes the preparation, when another one failed. */
  readonly cancel?: () => void | Promise<void>;
}

export class Reloader {
  readonly #parts: ReloadParts;
  #config: RunConfig;
  #metrics: MetricsServer | undefined;
  /** Of the keys that the operator's file had when it was read last. */
  #fingerprints: ReadonlySet<string>;

  constructor(parts: ReloadParts, config: RunConfig, metrics: MetricsServer | undefined) {
    this.#parts = parts;
    this.#config = config;
    this.#metrics = metrics;
    this.#fingerprints = fingerprintsOf(keysOf(config));
  }

  /** Throws OverlaydError; then nothing has changed. */
  async apply(next: RunConfig): Promise<void> {
    const prepared: Prepared[] = [];
    try {
      prepared.push(this.#prepareKeys(next));
      prepared.push(this.#prepareIdentities(next));
      prepared.push(await this.#prepareMetrics(next));
      // Last, so that nothing comes between it and the commit.
      prepared.push(this.#parts.networks.prepare(next.networks));
    } catch (error) {
      for (const { cancel } of prepared) await cancel?.();
      throw error;
    }
    // First: what is opened by a commit is opened by that.
    this.#config = next;
    this.#parts.onTaken(next);
    const ends = prepared.map(({ commit }) => commit());
    const { control, tunnels } = this.#parts;
    control.setSeeds(next.join);
    control.reconciler.setStaticPeers(staticPeersOf(next));
    control.setGossipRekeyInterval(next.gossipRekeyMs);
    tunnels()?.setRekeyInterval(next.rekeyMs);
    for (const end of ends) await end;
  }

  async close(): Promise<void> {
    await this.#metrics?.close();
  }

  /** The file is read again, also under the name of before: lines that are new in it are keys for the whole cluster. */
  #prepareKeys(next: RunConfig): Prepared {
    const keys = keysOf(next);
    const { control, log } = this.#parts;
    const added = keys.filter(({ fingerprint }) => !this.#fingerprints.has(fingerprint));
    if (added.length > 0) control.keyring().assertRoomFor(added);
    return {
      commit: () => {
        for (const key of added) {
          const { fingerprint } = control.keyring().hold(key);
          log.info(
            { fingerprint },
            'a key from the keyring file; "overlayd keyring use" makes it the one that seals',
          );
        }
        const there = fingerprintsOf(keys);
        for (const fingerprint of this.#fingerprints)
          if (!there.has(fingerprint))
            log.info(
              { fingerprint },
              'no longer in the keyring file; "overlayd keyring remove" takes it from all hosts',
            );
        this.#fingerprints = there;
      },
    };
  }

  #prepareIdentities({ identitiesFile }: RunConfig): Prepared {
    const listed = identitiesFile === undefined ? undefined : readIdentitiesFile(identitiesFile);
    return { commit: () => this.#parts.identities.setListed(listed) };
  }

  async #prepareMetrics(next: RunConfig): Promise<Prepared> {
    const [now, wanted] = [this.#config.metricsAddr, next.metricsAddr];
    if (now?.host === wanted?.host && now?.port === wanted?.port) return { commit: () => undefined };
    if (now !== undefined && now.port === wanted?.port) return this.#moveMetrics(next);
    const server = await this.#parts.openMetrics(next);
    return {
      commit: () => {
        void this.#metrics?.close();
        this.#metrics = server;
      },
      cancel: () => void server?.close(),
    };
  }

  /** To another address of one port: both cannot be listened on at once, where one is all of them. */
  async #moveMetrics(next: RunConfig): Promise<Prepared> {
    const before = this.#config;
    const back = async (): Promise<void> => {
      try {
        this.#metrics = await this.#parts.openMetrics(before);
      } catch (err) {
        this.#metrics = undefined;
        this.#parts.log.error({ err }, 'metrics are off: their address could not be taken back');
      }
    };
    await this.#metrics?.close();
    let server: MetricsServer | undefined;
    try {
      server = await this.#parts.openMetrics(next);
    } catch (error) {
      await back();
      throw error;
    }
    return {
      commit: () => {
        this.#metrics = server;
      },
      cancel: async () => {
        await server?.close();
        await back();
      },
    };
  }
}

function keysOf({ keyringFile, gossipEncryption }: RunConfig): SecretKey[] {
  return keyringFile === undefined || gossipEncryption === 'off' ? [] : readKeyringFile(keyringFile);
}

const fingerprintsOf = (keys: readonly SecretKey[]): ReadonlySet<string> =>
  new Set(keys.map(({ fingerprint }) => fingerprint));
