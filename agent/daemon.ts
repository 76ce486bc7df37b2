import { headersOf } from '../proto/pmtu/paths.ts';
import { CAPABILITY, encodeMeta, isOverlaydMeta } from '../proto/swim/meta.ts';
import type { SealingDeps } from '../proto/swim/sealing.ts';
import { Swim } from '../proto/swim/swim.ts';
import type { IdentityList } from '../proto/state/identities.ts';
import { State } from '../proto/state/state.ts';
import { refusal } from '../proto/state/version-gate.ts';
import type { TunnelStatus } from '../proto/tunnel/interface.ts';
import { STATE_VERSIONS, TUNNEL_VERSIONS } from '../proto/versions.ts';
import { startApi } from './api/server.ts';
import { monotonicMs, wallMs } from './clock.ts';
import { formatHostPort, parseHostPort } from './config/address.ts';
import { readIdentitiesFile } from './config/identities-file.ts';
import type { NetworkConfig, RunConfig, Seed } from './config/run-config.ts';
import { SEAL_BYTES } from './config/underlay.ts';
import { announceHost } from './control/announce.ts';
import { ControlPlane } from './control/control-plane.ts';
import type { DataPathWatch } from './control/data-path-watch.ts';
import { diagnose } from './control/diagnosis.ts';
import { EndpointFile } from './control/endpoint-file.ts';
import { nextEpoch } from './control/epoch.ts';
import { openGossipKeys } from './control/gossip-keys.ts';
import { Notices } from './control/notices.ts';
import { openDataPathWatch } from './control/open-data-path-watch.ts';
import { openTunnels } from './control/open-tunnels.ts';
import { KnownPeers } from './control/known-peers.ts';
import { IdentityControl } from './control/identity-control.ts';
import { loadIdentity } from './control/identity-file.ts';
import { openPaths, openTapMtus } from './control/open-paths.ts';
import type { PathKeeper } from './control/path-keeper.ts';
import { PinFile } from './control/pin-file.ts';
import { RevocationFile } from './control/revocation-file.ts';
import { makeFolder, stateFolderError } from './control/state-file.ts';
import { StatusView } from './control/status-view.ts';
import type { TapMtus } from './control/tap-mtus.ts';
import type { TunnelKeeper } from './control/tunnel-keeper.ts';
import { verifier } from './crypto/ed25519.ts';
import type { Dataplane, DataplaneOptions, OpenedTap } from './dataplane/dataplane.ts';
import { openDataplane } from './dataplane/supervisor.ts';
import { openDocker } from './docker/docker.ts';
import { systemRng } from './entropy.ts';
import { OverlaydError } from './errors.ts';
import type { DescriptorStore } from './io/descriptor-store.ts';
import { lockFolder } from './io/folder-lock.ts';
import type { Log } from './log.ts';
import { createMetrics } from './metrics/registry.ts';
import { startMetrics } from './metrics/server.ts';
import type { MetricsServer } from './metrics/server.ts';
import type { AddressPools } from './ipam/address-pools.ts';
import { openAddresses } from './ipam/open-addresses.ts';
import { MAC_QUOTA, openNetworks } from './networks/open-networks.ts';
import type { OpenNetworks } from './networks/open-networks.ts';
import type { NotReady } from './readiness.ts';
import { Reloader } from './reload.ts';
import { staticPeersOf } from './static-peers.ts';
import type { Daemon, DaemonView, StartupReport } from './status.ts';
import { VERSION } from './version.ts';

/**
 * One host's daemon, put together: data path, control plane, admin API, metrics.
 *
 * Start order is from what others may hold (TAPs, ports) to what shows it. If a step fails, the steps before it are
 * undone in reverse, and the caller sees the first error.
 */

type Undo = () => Promise<void>;

/** `descriptors`: what an earlier run has left open. Throws OverlaydError; nothing is left behind then. */
export async function startDaemon(
  config: RunConfig,
  descriptors: DescriptorStore,
  log: Log,
): Promise<Daemon> {
  const undo: Undo[] = [];
  try {
    return await start(config, descriptors, log, undo);
  } catch (error) {
    for (const step of undo.toReversed()) await step().catch(() => undefined);
    throw error;
  }
}

async function start(
  config: RunConfig,
  descriptors: DescriptorStore,
  log: Log,
  undo: Undo[],
): Promise<Daemon> {
  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<Error>((resolve) => {
    fail = resolve;
  });
  const unlock = claimStateDir(config.stateDir);
  undo.push(() => Promise.resolve(unlock()));
  // Before anything is touched: a file that cannot be read must not leave a host half up.
  const keys = openGossipKeys(config, log);
  const listed = listedIn(config);
  const tapMtus = openTapMtus(config, log);
  const dataplane = await openDataplane({ ...dataplaneOptions(config, tapMtus), descriptors }, log);
  // TAPs that were not there before must not be left by a failed start; those that containers may hang on must stay.
  undo.push(() => dataplane.stop([...dataplane.taps.values()].every((tap) => !tap.existed)));
  dataplane.onEvent((event) => {
    if (event.type === 'failed') fail(event.error);
  });

  // Before anybody hears of this host: a port that is taken must not look to others as if it had died.
  const metricSet = createMetrics();
  const openMetrics = async ({ metricsAddr }: RunConfig): Promise<MetricsServer | undefined> =>
    metricsAddr === undefined ? undefined : startMetrics(() => shown.view, metricsAddr, metricSet, log);
  const shown: { view?: DaemonView } = {};
  const metrics = await openMetrics(config);
  undo.push(async () => metrics?.close());

  const endpoints = new EndpointFile(config.stateDir, log);
  const known = new KnownPeers(config.stateDir, wallMs(), log);
  const epoch = nextEpoch(config.stateDir, wallMs());
  const identity = await loadIdentity(config.stateDir);
  const pins = new PinFile(config.stateDir, log);
  const revocations = new RevocationFile(config.stateDir, log);
  const state = new State(
    { node: config.nodeName, epoch },
    {
      rng: systemRng(),
      wall: wallMs,
      signer: identity.signer,
      verifier,
      identities: { listed, pins: pins.read() },
      revocations: revocations.read(),
    },
  );
  const notices = new Notices();
  announceHost(monotonicMs(), config, dataplane.taps, state);
  let tunnels: TunnelKeeper | undefined;
  /** As it runs, after reloads. */
  const live = { config };
  const running = (): RunConfig => live.config;
  const swim = createSwim(config, state, epoch, keys?.sealing);
  const identities = new IdentityControl({
    self: config.nodeName,
    selfKey: identity.signer.publicKey,
    state,
    swim,
    file: revocations,
    renewGossipKey: () => control.renewGossipKey(),
    onChange: () => control.touch(),
    notices,
    log,
  });
  const control: ControlPlane = await ControlPlane.open({
    config,
    swim,
    keys,
    state,
    dataplane,
    endpoints,
    pins,
    identities: state.identities,
    onTick: () => identities.tick(),
    known,
    staticPeers: staticPeersOf(config),
    maxPayload: config.underlayMtu - headersOf(config.dataPathAddr),
    onFailure: fail,
    notices,
    log,
  });
  undo.push(() => control.close());
  let networksHere: () => readonly SealableNetwork[] = () => config.networks;
  const startSealing = (): boolean => {
    if (keys === undefined) return false;
    tunnels ??= openTunnels({
      config,
      rekeyMs: () => running().rekeyMs,
      state,
      view: control.reconciler.view,
      dataplane,
      keyring: keys.sealing.keyring,
      staticKeys: identity.tunnelKeys,
      sealedVnis: () => sealedVnis(networksHere()),
      log,
    });
    return true;
  };
  undo.push(() => Promise.resolve(tunnels?.close()));
  if (isAnySealed(config)) startSealing();

  const watch = openDataPathWatch({ config, control, dataplane, keyring: keys?.sealing.keyring, log });
  undo.push(() => Promise.resolve(watch.close()));

  const { reconciler } = control;
  const paths = openPaths({ config, reconciler, dataplane, tunnels: () => tunnels, tapMtus, log });
  undo.push(() => Promise.resolve(paths.close()));

  const networks = await openNetworks({
    config,
    state,
    control,
    dataplane,
    descriptors,
    tapMtus,
    paths,
    startSealing,
    log,
  });
  undo.push(() => Promise.resolve(networks.close()));
  networksHere = () => networks.joined.list();
  tunnels?.refresh();
  control.restoreEndpoints();
  const { definitions, configured } = networks;
  const isConfigured = (name: string): boolean => configured.has(name);
  const addresses = openAddresses({ config, state, control, definitions, isConfigured, epoch, log });
  undo.push(() => Promise.resolve(addresses.close()));
  control.onClusterChange((changes) => {
    addresses.handleChanges(changes);
    networks.definitions.touch();
    tunnels?.refresh();
    identities.tell();
  });
  const docker = await openDocker({
    plugin: config.dockerPlugin,
    socket: config.dockerSocket,
    scope: config.dockerScope,
    stateDir: config.stateDir,
    sealingProblem: keys === undefined ? 'this host has no keyring' : undefined,
    networks: networks.local,
    addresses,
    tapNetwork: (name) => networks.joined.list().find(({ tap }) => tap === name)?.name,
    log,
  });
  undo.push(() => docker.close());
  dropForgotten(descriptors, networks, log);
  const sessions = (): readonly TunnelStatus[] => tunnels?.sessions() ?? [];
  const rekeys = (): number => tunnels?.rekeys() ?? 0;
  const view = viewOf({
    config,
    running,
    state,
    control,
    identities,
    dataplane,
    networks,
    addresses,
    sessions,
    rekeys,
    paths,
    watch,
    notices,
  });
  shown.view = view;
  const api = await startApi(view, config.socket, log);
  undo.push(() => api.close());
  const onTaken = (next: RunConfig): void => {
    live.config = next;
  };
  const reloader = new Reloader(
    { control, identities, tunnels: () => tunnels, networks: configured, openMetrics, onTaken, log },
    config,
    metrics,
  );
  return {
    ...view,
    failed,
    report: () => ({
      ...reportOf(running(), control, dataplane, (name) => configured.tapOf(name)),
      dockerDriver: docker.driver,
    }),
    config: running,
    reload: (next) => reloader.apply(next),
    stop: async ({ removeTaps }) => {
      // First, while all that its calls need is there.
      await docker.close();
      await control.leave();
      addresses.close();
      networks.close();
      paths.close();
      tunnels?.close();
      watch.close();
      await api.close();
      await reloader.close();
      await control.close();
      await dataplane.stop(removeTaps);
      unlock();
    },
  };
}

/** Two that write the same identity and epoch would be one host in two places. Throws OverlaydError. */
function claimStateDir(folder: string): () => void {
  let unlock: (() => void) | undefined;
  try {
    makeFolder(folder);
    unlock = lockFolder(folder);
  } catch (cause) {
    throw stateFolderError(`state in ${folder}`, cause);
  }
  if (unlock !== undefined) return unlock;
  throw new OverlaydError('OVL_STATE_DIR_TAKEN', `another overlayd runs with the state in ${folder}`, {
    hint: 'Stop it first, or give this one its own --state-dir.',
  });
}

/** Endpoints whose network is not known yet take theirs later; what is no endpoint's nobody will. */
function dropForgotten(descriptors: DescriptorStore, { local }: OpenNetworks, log: Log): void {
  const wanted = new Set(local.endpoints().map(({ ifName }) => ifName));
  const names = descriptors.dropRest((name) => wanted.has(name));
  if (names.length > 0)
    log.info({ tap: names.join(',') }, 'TAPs that an earlier run left open belong to no endpoint; closed');
}

/** Throws OverlaydError. */
function listedIn({ identitiesFile }: RunConfig): IdentityList | undefined {
  return identitiesFile === undefined ? undefined : readIdentitiesFile(identitiesFile);
}

type SealableNetwork = Pick<NetworkConfig, 'vni' | 'encrypted'>;

function sealedVnis(networks: readonly SealableNetwork[]): readonly number[] {
  return networks.flatMap(({ vni, encrypted }) => (encrypted ? [vni] : []));
}

function isAnySealed({ networks }: RunConfig): boolean {
  return networks.some(({ encrypted }) => encrypted);
}

function createSwim(config: RunConfig, state: State, epoch: bigint, sealing: SealingDeps | undefined): Swim {
  const vtep = { ip: config.dataPathAddr, port: config.dataPort };
  const versions = { stateProtocolMin: STATE_VERSIONS.min, stateProtocolMax: STATE_VERSIONS.max };
  const capabilities = config.wireVersion > TUNNEL_VERSIONS.min && { capabilities: CAPABILITY.echo };
  const keys = sealing && { keys: sealing.keyring.fingerprints };
  return new Swim(
    {
      name: config.nodeName,
      addr: { ip: config.advertiseAddr, port: config.gossipPort },
      meta: encodeMeta({ ...versions, epoch, vtep, ...capabilities, ...keys }),
      // Serf would log each state message that it cannot read.
      takesUserData: (meta) => isOverlaydMeta(meta) && refusal(STATE_VERSIONS, meta) === undefined,
    },
    { rng: systemRng(), delegate: state.delegate, sealing },
  );
}

interface ViewParts {
  readonly config: RunConfig;
  /** As it is after reloads. */
  readonly running: () => RunConfig;
  readonly state: State;
  readonly control: ControlPlane;
  readonly identities: IdentityControl;
  readonly dataplane: Dataplane;
  readonly networks: OpenNetworks;
  readonly addresses: AddressPools;
  readonly sessions: () => readonly TunnelStatus[];
  readonly rekeys: () => number;
  readonly paths: PathKeeper;
  readonly watch: DataPathWatch;
  readonly notices: Notices;
}

function viewOf(parts: ViewParts): DaemonView {
  const { config, control, identities, dataplane, addresses, watch, notices } = parts;
  const { definitions, joined, local } = parts.networks;
  const notReady = (): NotReady | undefined => {
    return identities.revokedSelf() === undefined ? control.notReady() : 'revoked';
  };
  const view = new StatusView({
    ...parts,
    definitions,
    joined: () => joined.list(),
    get config() {
      return parts.running();
    },
    version: VERSION,
    swim: control.swim,
    reconciler: control.reconciler,
    gossipEncryption: () => control.gossipEncryption(),
    identity: () => {
      const revoked = identities.revokedSelf();
      return { identity: identities.fingerprint, ...(revoked !== undefined && { revoked }) };
    },
    notReady,
    startedAtMs: monotonicMs(),
    now: monotonicMs,
  });
  return {
    status: () => view.status(),
    peers: () => view.peers(),
    networks: () => view.networks(),
    network: (name) => view.network(name),
    fdb: (name) => view.fdb(name),
    doctor: () =>
      diagnose({
        config: parts.running(),
        view,
        swim: control.swim,
        state: parts.state,
        reconciler: control.reconciler,
        dataplane,
        conflicts: () => definitions.resolution.conflicts,
        keys: () => (config.gossipEncryption === 'off' ? [] : control.keyring().list()),
        echoes: () => watch.status(),
        notices,
      }),
    metrics: () => view.metrics(),
    notReady,
    heartbeatAgeMs: () => dataplane.heartbeatAgeMs(),
    join: (seeds) => control.join(seeds.map((address) => seedOf(address, config.gossipPort))),
    networkCreate: async (spec) => view.network((await local.create(spec)).id)!,
    networkRemove: (nameOrId, force) => local.removeNetwork(nameOrId, force),
    networkAttach: async (nameOrId, tap) => view.network((await local.attach(nameOrId, tap)).id)!,
    async networkDetach(nameOrId, force) {
      await local.detach(nameOrId, force);
      return view.network(nameOrId)!;
    },
    ranges: (nameOrId) => addresses.ranges(nameOrId),
    collisions: (nameOrId) => addresses.collisions(nameOrId),
    dockerRange: (nameOrId, size, family) => addresses.dockerRange(nameOrId, { size, family }),
    reclaim: (host) => addresses.reclaim(host),
    leave: () => control.leave(),
    keyring: () => control.keyring().list(),
    keyringAdd: (key) => control.keyring().add(key),
    keyringUse: (fingerprint) => control.keyring().use(fingerprint),
    keyringRemove: (fingerprint) => control.keyring().remove(fingerprint),
    identities: () => identities.list(),
    revoke: (request) => identities.revoke(request),
    identityForget: (name) => identities.forget(name),
  };
}

function seedOf(text: string, defaultPort: number): Seed {
  const seed = parseHostPort(text, defaultPort);
  if (seed !== undefined) return seed;
  throw new OverlaydError('OVL_ADDRESS_INVALID', `${JSON.stringify(text)} is no HOST[:PORT]`, {
    exitCode: 2,
  });
}

function dataplaneOptions(config: RunConfig, tapMtus: TapMtus): DataplaneOptions {
  return {
    io: config.io ?? 'batch',
    workers: config.workers,
    dataPathAddr: config.dataPathAddr,
    dataPort: config.dataPort,
    taps: config.networks.map(({ tap, encrypted }, index) => {
      const sealBytes = encrypted ? SEAL_BYTES : 0;
      const mtu = tapMtus.mtu(index);
      const port = { network: index, port: index, name: tap, mtu, macQuota: MAC_QUOTA };
      return { ...port, persist: true, reflect: true, sealBytes };
    }),
  };
}

function reportOf(
  config: RunConfig,
  control: ControlPlane,
  dataplane: Dataplane,
  tapOf: (name: string) => OpenedTap | undefined,
): Omit<StartupReport, 'dockerDriver'> {
  const { metricsAddr } = config;
  return {
    node: config.nodeName,
    version: VERSION,
    advertiseAddr: config.advertiseAddr,
    dataPathAddr: config.dataPathAddr,
    gossipPort: config.gossipPort,
    dataPort: config.dataPort,
    io: dataplane.ioDescription,
    workers: config.workers,
    sealing: isAnySealed(config) ? dataplane.cipherDescription : undefined,
    socket: config.socket,
    metricsAddr: metricsAddr === undefined ? undefined : formatHostPort(metricsAddr.host, metricsAddr.port),
    seeds: config.join.map(({ host, port }) => formatHostPort(host, port)),
    gossipEncryption: control.gossipEncryption(),
    networks: config.networks.map(({ name, vni, tap, mtu, subnet, gateway, ipRange, encrypted }) => {
      const opened = tapOf(name);
      const tapExisted = opened?.existed ?? false;
      return { name, vni, tap, tapExisted, mtu: opened?.mtu ?? mtu, subnet, gateway, ipRange, encrypted };
    }),
  };
}
