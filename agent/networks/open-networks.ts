/** The parts of networks on this host, put together. */
import type { State } from '../../proto/state/state.ts';
import { ipFamily } from '../config/address.ts';
import type { RunConfig } from '../config/run-config.ts';
import { defaultTapMtu } from '../config/underlay.ts';
import type { ControlPlane } from '../control/control-plane.ts';
import type { PathKeeper } from '../control/path-keeper.ts';
import type { TapMtus } from '../control/tap-mtus.ts';
import type { Dataplane } from '../dataplane/dataplane.ts';
import { OverlaydError } from '../errors.ts';
import type { DescriptorStore } from '../io/descriptor-store.ts';
import type { Log } from '../log.ts';
import { ConfiguredNetworks } from './configured-networks.ts';
import { NetworkDefinitions } from './definitions.ts';
import { HostPorts } from './host-ports.ts';
import { JoinedNetworks } from './joined.ts';
import { LocalFiles } from './local-files.ts';
import { LocalNetworks } from './local-networks.ts';
import { NetworkFile } from './network-file.ts';

/** Local MACs that one TAP may have: far above what a host runs, far below what would hurt the others. */
export const MAC_QUOTA = 8_192;

export interface NetworkParts {
  readonly config: RunConfig;
  readonly state: State;
  readonly control: ControlPlane;
  readonly dataplane: Dataplane;
  readonly descriptors: DescriptorStore;
  readonly tapMtus: TapMtus;
  readonly paths: Pick<PathKeeper, 'takenBy'>;
  /** Sessions are wanted from now on; false: there are no keys to make them with. */
  readonly startSealing: () => boolean;
  readonly log: Log;
}

export interface OpenNetworks {
  readonly definitions: NetworkDefinitions;
  readonly joined: JoinedNetworks;
  readonly local: LocalNetworks;
  readonly configured: ConfiguredNetworks;
  close(): void;
}

/** Takes up what earlier runs have left. */
export async function openNetworks(parts: NetworkParts): Promise<OpenNetworks> {
  const { config, state, control, dataplane, descriptors, tapMtus, paths, log } = parts;
  const family = ipFamily(config.dataPathAddr);
  const largestMtu = (encrypted: boolean): number => defaultTapMtu(config.underlayMtu, family, encrypted);
  const wrote = (): void => control.touch();
  const definitions = new NetworkDefinitions({
    self: config.nodeName,
    state,
    limits: { largestMtu, hasKeyring: config.keyringFile !== undefined },
    file: new NetworkFile(config.stateDir, log),
    isAway: (host) => control.swim.member(host)?.state === 'dead',
    wrote,
    log,
  });
  const { reconciler } = control;
  const joined = new JoinedNetworks({
    config,
    state,
    reconciler,
    tapMtus,
    pathsOf: (index) => paths.takenBy(index),
    largestMtu,
    prepareSealing: (network) => prepareSealing(network, parts),
    networksMax: dataplane.limits.networks,
  });
  const ports = new HostPorts({
    dataplane,
    firstPort: config.networks.length,
    workers: config.workers,
    descriptors,
    log,
  });
  tapMtus.onChange((network, mtu) => ports.setMtu(network, mtu));
  const local = new LocalNetworks({
    definitions,
    joined,
    files: new LocalFiles(config.stateDir, log),
    ports,
    dataplane,
    reconciler,
    wrote,
    joinAll: config.joinAll,
    macQuota: MAC_QUOTA,
    log,
  });
  const configured = new ConfiguredNetworks({
    networks: config.networks,
    joined,
    local,
    ports,
    dataplane,
    reconciler,
    state,
    wrote: () => {
      definitions.touch();
      wrote();
    },
    macQuota: MAC_QUOTA,
    log,
  });
  const close = (): void => {
    local.close();
    definitions.close();
  };
  try {
    await local.start();
  } catch (error) {
    close();
    throw error;
  }
  return { definitions, joined, local, configured, close };
}

/** What cannot be sealed must not run at all: in clear it would be what nobody asked for. */
function prepareSealing(network: string, { config, startSealing }: NetworkParts): void {
  if (config.workers > 1) {
    throw new OverlaydError(
      'OVL_WORKERS_SEALED',
      `network "${network}" is encrypted, and there are ${config.workers} workers`,
      {
        hint: 'Encrypted networks run on one: take --workers away.',
      },
    );
  }
  if (startSealing()) return;
  throw new OverlaydError(
    'OVL_KEYRING_MISSING',
    `network "${network}" is encrypted, and this host has no keyring`,
    {
      hint: 'Start overlayd with --keyring FILE, with a key that all hosts have.',
    },
  );
}
