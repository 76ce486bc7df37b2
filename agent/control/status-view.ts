import type { Member, SwimNode } from '../../proto/swim/interface.ts';
import type { TunnelStatus } from '../../proto/tunnel/interface.ts';
import { TABLE, type StateNode } from '../../proto/state/interface.ts';
import { vniOfKeyHex } from '../../proto/state/values/interest.ts';
import { macText } from '../../proto/state/values/mac.ts';
import { toHex } from '../../proto/state/bytes.ts';
import type { ResolvedNetwork } from '../../proto/networks/resolve.ts';
import { refusal } from '../../proto/state/version-gate.ts';
import { decodeMeta } from '../../proto/swim/meta.ts';
import { STATE_VERSIONS, commonVersion } from '../../proto/versions.ts';
import type { RunConfig } from '../config/run-config.ts';
import type { Dataplane, DataplaneCounters } from '../dataplane/dataplane.ts';
import type { AddressPools } from '../ipam/address-pools.ts';
import { conflictsOf } from '../networks/conflicts.ts';
import { definitionOf } from '../networks/definitions.ts';
import type { NetworkDefinitions } from '../networks/definitions.ts';
import type { JoinedNetwork } from '../networks/joined.ts';
import type {
  DaemonMetrics,
  FdbEntry,
  Frames,
  GossipEncryption,
  NetworkDetail,
  NetworkSummary,
  Peer,
  Status,
} from '../status.ts';
import type { NotReady } from '../readiness.ts';
import type { PathKeeper } from './path-keeper.ts';
import type { Reconciler } from './reconciler.ts';

/** What people and programs see of a running daemon, put together from its parts. Reads only. */
export interface StatusParts {
  readonly config: RunConfig;
  readonly version: string;
  readonly swim: SwimNode;
  readonly state: StateNode;
  readonly dataplane: Dataplane;
  readonly reconciler: Reconciler;
  readonly definitions: NetworkDefinitions;
  readonly addresses: Pick<AddressPools, 'totals'>;
  readonly joined: () => readonly JoinedNetwork[];
  /** Sealed sessions; none without an encrypted network. */
  readonly sessions: () => readonly TunnelStatus[];
  /** Of all sessions since the start, also of those that are gone. */
  readonly rekeys: () => number;
  /** What is known of the path to a host. */
  readonly paths: Pick<PathKeeper, 'path' | 'counters'>;
  readonly notReady: () => NotReady | undefined;
  readonly gossipEncryption: () => GossipEncryption;
  /** This host's own key. */
  readonly identity: () => Pick<Status, 'identity' | 'revoked'>;
  readonly startedAtMs: number;
  readonly now: () => number;
}

export class StatusView {
  readonly #parts: StatusParts;

  constructor(parts: StatusParts) {
    this.#parts = parts;
  }

  status(): Status {
    const { config, version, dataplane } = this.#parts;
    const { counters, drops } = dataplane.counters();
    const notReady = this.#parts.notReady();
    return {
      node: config.nodeName,
      version,
      ready: notReady === undefined,
      ...(notReady !== undefined && { notReady }),
      uptimeSeconds: Math.round((this.#parts.now() - this.#parts.startedAtMs) / 1_000),
      advertiseAddr: config.advertiseAddr,
      dataPathAddr: config.dataPathAddr,
      gossipPort: config.gossipPort,
      dataPort: config.dataPort,
      io: dataplane.ioDescription.startsWith('dgram') ? 'dgram' : 'batch',
      workers: config.workers,
      ...(this.#parts.joined().some(({ encrypted }) => encrypted)
        ? { sealing: dataplane.cipherDescription }
        : {}),
      peers: this.#membersByState(),
      networks: this.networks(),
      frames: framesOf(counters, ''),
      drops: { ...drops },
      gossipEncryption: this.#parts.gossipEncryption(),
      ...this.#parts.identity(),
    };
  }

  peers(): Peer[] {
    const networks = this.#networksByOwner();
    const sessions = new Map(this.#parts.sessions().map((session) => [session.peer, session]));
    return this.#others()
      .map((member) => this.#peer(member, networks.get(member.name) ?? [], sessions.get(member.name)))
      .sort((a, b) => compareText(a.name, b.name));
  }

  /** Those that we take part in, and those that we know of. */
  networks(): NetworkSummary[] {
    const macs = this.#macsByVni();
    const rows = this.#parts.joined().map((joined) => this.#summaryOfJoined(joined, macs));
    const known = new Set(rows.map(({ name, id }) => `${name} ${id}`));
    const { networks, apart } = this.#parts.definitions.resolution;
    for (const network of [...networks, ...apart]) {
      const summary = this.#summary(network);
      if (!known.has(`${summary.name} ${summary.id}`)) rows.push(summary);
    }
    return rows.sort((a, b) => compareText(a.name, b.name) || compareText(a.id ?? '', b.id ?? ''));
  }

  network(nameOrId: string): NetworkDetail | undefined {
    const { definitions, config } = this.#parts;
    const joined = this.#parts.joined().find(({ name, id }) => name === nameOrId || id === nameOrId);
    const resolved = (joined && this.#resolvedOf(joined)) ?? definitions.resolve(nameOrId);
    if (joined === undefined && resolved === undefined) return undefined;
    const macs = this.#macsByVni();
    const here = joined ?? this.#parts.joined().find((own) => this.#resolvedOf(own) === resolved);
    const summary = here === undefined ? this.#summary(resolved!) : this.#summaryOfJoined(here, macs);
    const { name, vni } = summary;
    return {
      ...summary,
      ...(resolved === undefined ? gatewayOf(here?.gateway) : this.#definition(resolved)),
      ...(here?.ipRange === undefined ? {} : { ipRange: here.ipRange }),
      members: this.#participants(vni, resolved),
      staticPeers: config.staticPeers
        .filter((peer) => peer.network === name)
        .map(({ ip, macs: its }) => ({ ip, macs: [...its] }))
        .sort((a, b) => compareText(a.ip, b.ip)),
    };
  }

  #definition(
    network: ResolvedNetwork,
  ): Omit<NetworkDetail, keyof NetworkSummary | 'members' | 'staticPeers'> {
    const { definitions } = this.#parts;
    const { gateway, gateway6, labels, createdBy } = definitionOf(network);
    return {
      ...gatewayOf(gateway ?? gateway6),
      ...(gateway !== undefined && gateway6 !== undefined && { gateway6 }),
      labels: { ...labels },
      ...(createdBy !== '' && { createdBy }),
      configuredOn: [...network.definers],
      uses: definitions.usesOf(network),
      conflicts: conflictsOf(network, definitions.resolution),
    };
  }

  #summaryOfJoined(joined: JoinedNetwork, macs: ReadonlyMap<number, number>): NetworkSummary {
    const { name, vni, tap, mtu, subnet, encrypted } = joined;
    const resolved = this.#resolvedOf(joined);
    const rest = resolved && this.#summary(resolved);
    return {
      ...(rest ?? { id: joined.id, internal: false, status: 'conflict' as const }),
      name,
      vni,
      ...(tap === undefined ? {} : { tap }),
      mtu,
      ...(subnet === undefined ? {} : { subnet }),
      encrypted,
      peers: this.#participants(vni, resolved).length,
      macs: macs.get(vni) ?? 0,
    };
  }

  /** The definition that a network of ours is by; undefined: another one of this name stands. */
  #resolvedOf({ id }: JoinedNetwork): ResolvedNetwork | undefined {
    return this.#parts.definitions.resolve(id);
  }

  #summary(network: ResolvedNetwork): NetworkSummary {
    const { id, name, vni, mtu, subnet, subnet6, encrypted, internal } = definitionOf(network);
    const isBad = conflictsOf(network, this.#parts.definitions.resolution).length > 0;
    return {
      name,
      vni,
      mtu,
      ...(subnet === undefined && subnet6 === undefined ? {} : { subnet: subnet ?? subnet6! }),
      ...(subnet !== undefined && subnet6 !== undefined && { subnet6 }),
      encrypted,
      id,
      internal,
      status: isBad ? 'conflict' : 'ok',
      peers: this.#participants(vni, network).length,
    };
  }

  /** Endpoints by the cluster's state, and what was learnt from static peers. */
  fdb(name?: string): FdbEntry[] {
    const { config, reconciler, dataplane } = this.#parts;
    const joined = this.#parts.joined();
    const names = new Map(joined.map((network) => [network.vni, network.name]));
    const byIndex = new Map(joined.map((network) => [network.index, network]));
    const entries: FdbEntry[] = [];
    for (const { vni, mac, owner, ips, name: label } of reconciler.view.endpoints()) {
      const network = names.get(vni);
      if (network === undefined || (name !== undefined && name !== network)) continue;
      const local = owner === config.nodeName;
      const vtep = local ? config.dataPathAddr : reconciler.view.vtep(owner)?.ip;
      entries.push({
        network,
        vni,
        mac: macText(mac),
        ips: [...ips],
        owner,
        ...(vtep === undefined ? {} : { vtep }),
        local,
        ...(label === '' ? {} : { name: label }),
      });
    }
    const seen = new Set(entries.map((entry) => `${entry.vni} ${entry.mac}`));
    for (const row of dataplane.fdb()) {
      const network = byIndex.get(row.network);
      if (network === undefined || row.local || (name !== undefined && name !== network.name)) continue;
      const mac = macText(row.mac);
      const vtep = reconciler.view.peerRow(row.destination)?.addr;
      if (seen.has(`${network.vni} ${mac}`) || vtep === undefined) continue;
      entries.push({ network: network.name, vni: network.vni, mac, ips: [], vtep, local: false });
    }
    return entries.sort((a, b) => compareText(a.network, b.network) || compareText(a.mac, b.mac));
  }

  metrics(): DaemonMetrics {
    const { dataplane, swim, state } = this.#parts;
    const { counters, drops }: DataplaneCounters = dataplane.counters();
    const peers = this.peers();
    const rtts = peers.flatMap(({ name, rttMs }) =>
      rttMs === undefined ? [] : [[name, rttMs / 1_000] as const],
    );
    const mtus = peers.flatMap(({ name, pathMtu }) =>
      pathMtu === undefined ? [] : [[name, pathMtu] as const],
    );
    const losses = peers.flatMap(({ name, loss }) => (loss === undefined ? [] : [[name, loss] as const]));
    const macs = this.#macsByVni();
    const sessions = this.#parts.sessions();
    return {
      frames: framesOf(counters, ''),
      bytes: framesOf(counters, '-bytes'),
      verdicts: {
        sent: counters['sent'] ?? 0,
        delivered: counters['delivered'] ?? 0,
        answered: counters['answered'] ?? 0,
        punted: counters['punted'] ?? 0,
      },
      drops,
      fdbEntries: Object.fromEntries(this.#parts.joined().map((n) => [n.name, macs.get(n.vni) ?? 0])),
      addresses: this.#parts.addresses.totals(),
      members: this.#membersByState(),
      peerRttSeconds: Object.fromEntries(rtts),
      pathMtuBytes: Object.fromEntries(mtus),
      pathProbes: this.#parts.paths.counters(),
      peerLossRatio: Object.fromEntries(losses),
      fitted: { shrunk: counters['shrunk'] ?? 0, told: counters['too-big-told'] ?? 0 },
      sealedSessions: sessions.filter(({ ageMs }) => ageMs !== undefined).length,
      rekeys: this.#parts.rekeys(),
      gossip: swim.counters().counts,
      state: state.counters(),
      tableRepairs: this.#parts.reconciler.repairs,
      loopStallSeconds: dataplane.takeStallSeconds(),
    };
  }

  #others(): Member[] {
    const { swim } = this.#parts;
    return swim.members().filter((member) => member.name !== swim.self.name);
  }

  #peer(member: Member, networks: readonly string[], session: TunnelStatus | undefined): Peer {
    const vtep = this.#parts.reconciler.view.vtep(member.name);
    const path = this.#parts.paths.path(member.name);
    const rttMs = path?.rttMs ?? member.rttMs;
    const reachable = member.state === 'alive' || member.state === 'suspect';
    return {
      name: member.name,
      addr: member.addr.ip,
      ...(vtep === undefined ? {} : { dataPathAddr: vtep.ip }),
      state: member.state,
      sealed: session?.ageMs !== undefined,
      ...(session === undefined ? {} : { session: sessionOf(session) }),
      ...(rttMs === undefined ? {} : { rttMs: Math.round(rttMs * 1_000) / 1_000 }),
      ...(path?.proven === undefined ? {} : { pathMtu: path.proven }),
      ...(path?.proven === undefined || path.loss === undefined
        ? {}
        : { loss: Math.round(path.loss * 1_000) / 1_000 }),
      ...(reachable && vtep !== undefined ? { path: 'direct' as const } : {}),
      ...versionsOf(member, session),
      networks: [...networks].sort(compareText),
    };
  }

  /** Names of the networks that each host takes part in. */
  #networksByOwner(): Map<string, string[]> {
    const { state, definitions } = this.#parts;
    const { networks, apart } = definitions.resolution;
    const names = new Map([...apart, ...networks].map(({ value }) => [value.vni, value.name]));
    for (const network of this.#parts.joined()) names.set(network.vni, network.name);
    const found = new Map<string, string[]>();
    for (const { owner, key } of state.records(0, TABLE.interest)) {
      const vni = vniOfKeyHex(toHex(key));
      if (vni === undefined) continue;
      const name = names.get(vni) ?? `vni-${vni}`;
      const of = found.get(owner);
      if (of === undefined) found.set(owner, [name]);
      else of.push(name);
    }
    return found;
  }

  /** Other live hosts that take part in a network, sorted; not those that mean another one by its VNI. */
  #participants(vni: number, network: ResolvedNetwork | undefined): string[] {
    const { state, swim, definitions } = this.#parts;
    const strangers = network === undefined ? new Set<string>() : definitions.strangersTo(network);
    return state
      .interested(vni)
      .filter((name) => name !== swim.self.name && !strangers.has(name))
      .sort(compareText);
  }

  #membersByState(): Status['peers'] {
    const counts = { alive: 0, suspect: 0, dead: 0, left: 0 };
    for (const member of this.#others()) counts[member.state]++;
    return counts;
  }

  #macsByVni(): Map<number, number> {
    const counts = new Map<number, number>();
    for (const entry of this.fdb()) counts.set(entry.vni, (counts.get(entry.vni) ?? 0) + 1);
    return counts;
  }
}

function gatewayOf(gateway: string | undefined): { gateway?: string } {
  return gateway === undefined ? {} : { gateway };
}

function versionsOf(
  { meta: bytes }: Member,
  session: TunnelStatus | undefined,
): Pick<Peer, 'protocol' | 'incompatible'> {
  const incompatible = refusal(STATE_VERSIONS, bytes);
  if (incompatible !== undefined) return { incompatible };
  const meta = decodeMeta(bytes);
  if (meta === undefined) return {};
  const state = commonVersion(STATE_VERSIONS, { min: meta.stateProtocolMin, max: meta.stateProtocolMax });
  const tunnel = session?.version;
  return state === undefined ? {} : { protocol: { state, ...(tunnel !== undefined && { tunnel }) } };
}

function sessionOf({ state, ageMs, rekeys, lastError }: TunnelStatus): NonNullable<Peer['session']> {
  return {
    state,
    ...(ageMs === undefined ? {} : { ageSeconds: Math.round(ageMs / 1_000) }),
    rekeys,
    ...(lastError === undefined ? {} : { error: lastError }),
  };
}

function framesOf(counters: Readonly<Record<string, number>>, suffix: '' | '-bytes'): Frames {
  const of = (direction: string): number => counters[`${direction}${suffix}`] ?? 0;
  return {
    fromTap: of('from-tap'),
    toTap: of('to-tap'),
    fromTunnel: of('from-tunnel'),
    toTunnel: of('to-tunnel'),
  };
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
