/** Networks on one host over a data path that only remembers; state, reconciler and files are real. */
import type { Test } from 'tap';
import { monotonicMs, wallMs } from '../../../agent/clock.ts';
import type { RunConfig } from '../../../agent/config/run-config.ts';
import { TapMtus } from '../../../agent/control/tap-mtus.ts';
import { Reconciler } from '../../../agent/control/reconciler.ts';
import type {
  Dataplane,
  DataplaneEvent,
  OpenedTap,
  TableChange,
  TapSpec,
} from '../../../agent/dataplane/dataplane.ts';
import { OverlaydError } from '../../../agent/errors.ts';
import { NO_DESCRIPTORS } from '../../../agent/io/descriptor-store.ts';
import type { DescriptorStore } from '../../../agent/io/descriptor-store.ts';
import { ConfiguredNetworks } from '../../../agent/networks/configured-networks.ts';
import { NetworkDefinitions } from '../../../agent/networks/definitions.ts';
import { HostPorts } from '../../../agent/networks/host-ports.ts';
import { JoinedNetworks } from '../../../agent/networks/joined.ts';
import { LocalFiles } from '../../../agent/networks/local-files.ts';
import { LocalNetworks } from '../../../agent/networks/local-networks.ts';
import { NetworkFile } from '../../../agent/networks/network-file.ts';
import { TABLE } from '../../../proto/state/interface.ts';
import { State } from '../../../proto/state/state.ts';
import { toHex } from '../../../proto/state/bytes.ts';
import { decodeEndpoint } from '../../../proto/state/values/endpoint.ts';
import { encodeInterest, interestKey } from '../../../proto/state/values/interest.ts';
import { encodeNetwork, networkKey } from '../../../proto/state/values/network.ts';
import { SeededRng } from '../../../proto/rng.ts';
import { fakeSigner, fakeVerifier } from '../../proto/state/fake-identity.ts';
import { recordingLog, type Line } from '../recording-log.ts';

export class FakeDataplane {
  readonly limits = { ports: 8, networks: 4 };
  readonly open = new Map<number, TapSpec>();
  /** Known as there before. */
  readonly existing = new Set<string>();
  readonly taps = new Map<number, OpenedTap>();
  readonly networks = new Map<number, number>();
  readonly removed: string[] = [];
  /** MTUs that were set, by port. */
  readonly mtus = new Map<number, number>();
  /** Names of TAPs that take none. */
  readonly stubborn = new Set<string>();
  /** Names of TAPs that are in containers, out of reach. */
  readonly away = new Set<string>();
  failWith: Error | undefined;
  /** Of this TAP alone. */
  failFor: string | undefined;
  /** The next time that this TAP is closed. */
  failCloseOf: string | undefined;
  readonly #listeners: ((event: DataplaneEvent) => void)[] = [];

  apply(changes: readonly TableChange[]): void {
    for (const change of changes) {
      if (change.op === 'network-put') this.networks.set(change.network, change.vni);
      if (change.op === 'network-del') this.networks.delete(change.network);
    }
  }

  openPort(spec: TapSpec): OpenedTap {
    const { name, mtu } = spec;
    if (this.failWith !== undefined && (this.failFor ?? name) === name) throw this.failWith;
    this.open.set(spec.port, spec);
    const opened = { name, mtu, offload: true, udpOffload: true, existed: this.existing.has(name) };
    this.taps.set(spec.port, opened);
    return opened;
  }

  async closePort(port: number, removeTap: boolean): Promise<void> {
    const spec = this.open.get(port);
    this.open.delete(port);
    this.taps.delete(port);
    if (spec !== undefined && spec.name === this.failCloseOf) {
      this.failCloseOf = undefined;
      throw new OverlaydError('OVL_TAP_BUSY', `TAP ${spec.name} is in use`);
    }
    if (removeTap && spec !== undefined) this.removed.push(spec.name);
    await Promise.resolve();
  }

  setTapMtu(port: number, mtu: number): void {
    const name = this.open.get(port)?.name ?? CONFIGURED.tap;
    if (this.away.has(name)) throw new OverlaydError('OVL_CAPABILITY', 'this process lacks CAP_SYS_ADMIN');
    if (this.stubborn.has(name)) throw new OverlaydError('OVL_LINK', `cannot set the MTU of ${name}`);
    this.mtus.set(port, mtu);
  }

  onEvent(listener: (event: DataplaneEvent) => void): void {
    this.#listeners.push(listener);
  }

  emit(event: DataplaneEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  fdb(): [] {
    return [];
  }
}

export interface LocalHost {
  readonly state: State;
  readonly dataplane: FakeDataplane;
  readonly definitions: NetworkDefinitions;
  readonly networks: LocalNetworks;
  readonly configured: ConfiguredNetworks;
  readonly joined: JoinedNetworks;
  readonly tapMtus: TapMtus;
  readonly lines: readonly Line[];
  /** Endpoint records of a VNI: "mac name ip ip". */
  records(vni: number): string[];
  /** VNIs that we say we take part in. */
  interests(): number[];
  close(): void;
}

export const CONFIGURED = {
  name: 'overlay',
  vni: 4_096,
  subnet: '10.42.0.0/16',
  gateway: undefined,
  ipRange: undefined,
  tap: 'tap0',
  mtu: 1_450,
  encrypted: false,
};

/** `folder` is its disk: a second one over the same folder is the next run. */
export async function localHost(
  test: Test,
  folder: string,
  more: {
    readonly joinAll?: boolean;
    readonly seals?: boolean;
    readonly paths?: (number | undefined)[];
    readonly descriptors?: DescriptorStore;
  } = {},
): Promise<LocalHost> {
  const { log, lines } = recordingLog();
  const state = new State(
    { node: 'a', epoch: BigInt(Date.now()) },
    { rng: new SeededRng(1), wall: wallMs, signer: fakeSigner('a'), verifier: fakeVerifier },
  );
  const now = monotonicMs();
  const definition = { ...CONFIGURED, gateway: '' };
  state.put(now, 0, TABLE.interest, interestKey(CONFIGURED.vni), encodeInterest());
  state.put(now, 0, TABLE.network, networkKey(CONFIGURED.name), encodeNetwork(definition));
  const dataplane = new FakeDataplane();
  const path = dataplane as unknown as Dataplane;
  const network = { network: 0, vni: CONFIGURED.vni, suppress: true, sealed: false };
  const options = { self: 'a', networks: [network], staticPeers: [], maxPayload: 1_472, log };
  const wrote = (): void => undefined;
  const reconciler = new Reconciler(options, state, path, wrote);
  const definitions = new NetworkDefinitions({
    self: 'a',
    state,
    limits: { largestMtu: () => 1_450, hasKeyring: true },
    file: new NetworkFile(folder, log),
    isAway: () => false,
    wrote,
    log,
  });
  const tapMtus = new TapMtus({ networks: [CONFIGURED], overhead: () => 50, stateDir: folder, log });
  const ports = new HostPorts({
    dataplane,
    firstPort: 1,
    workers: 1,
    descriptors: more.descriptors ?? NO_DESCRIPTORS,
    log,
  });
  tapMtus.onChange((index, mtu) => ports.setMtu(index, mtu));
  const joined = new JoinedNetworks({
    config: { networks: [CONFIGURED] } as unknown as RunConfig,
    state,
    reconciler,
    tapMtus,
    pathsOf: () => more.paths ?? [],
    largestMtu: () => 1_450,
    prepareSealing: () => {
      if (more.seals !== true) throw new OverlaydError('OVL_KEYRING_MISSING', 'no keyring');
    },
    networksMax: dataplane.limits.networks,
  });
  const networks = new LocalNetworks({
    definitions,
    joined,
    files: new LocalFiles(folder, log),
    ports,
    dataplane,
    reconciler,
    wrote,
    joinAll: more.joinAll ?? false,
    retryMs: 10,

    macQuota: 100,
    log,
  });
  const configured = new ConfiguredNetworks({
    networks: [CONFIGURED],
    joined,
    local: networks,
    ports,
    dataplane,
    reconciler,
    state,
    wrote: () => definitions.touch(),
    macQuota: 100,
    log,
  });
  const close = (): void => {
    networks.close();
    definitions.close();
    reconciler.close();
  };
  test.teardown(close);
  await networks.start();
  return {
    state,
    dataplane,
    definitions,
    networks,
    configured,
    joined,
    tapMtus,
    lines,
    records: (vni) =>
      [...state.records(vni, TABLE.endpoint)]
        .map(({ key, value }) => {
          const { ips, name } = decodeEndpoint(value);
          return [toHex(key), name, ...ips].join(' ');
        })
        .sort(),
    interests: () => [...state.interests()].sort((a, b) => a - b),
    close,
  };
}
