/**
 * What a running daemon shows of itself: the JSON of the admin API and of `-o json`, and the view behind it.
 *
 * The schemas are the one definition: the API serves them, OpenAPI is generated from them, the client checks against
 * them, the types are inferred from them. Additive changes only: a field keeps its name and meaning. An absent field
 * is unknown; nothing is made up. Arrays are sorted by their first field.
 */
import { z } from 'zod';
import type { RunConfig } from './config/run-config.ts';
import type { Finding } from './doctor/finding.ts';
import type { AddressCollision, HostRange, Reclaimed } from './ipam/interface.ts';
import type { NetworkSpec } from './networks/interface.ts';
import type { NotReady } from './readiness.ts';

const count = z.int().min(0);
const countsByName = z.record(z.string(), count);

/** Frames by direction, as the data path saw them: TAP is the containers' side, tunnel the underlay's. */
export const framesSchema = z.object({
  fromTap: count,
  toTap: count,
  fromTunnel: count,
  toTunnel: count,
});
export type Frames = z.infer<typeof framesSchema>;

export const networkSummarySchema = z.object({
  name: z.string(),
  vni: z.int(),
  /** Absent on a host that knows the network but does not take part in it. */
  tap: z.string().optional(),
  mtu: z.int().optional(),
  subnet: z.string().optional(),
  /** The second family; a network with IPv6 alone, in a configuration, has it as `subnet`. */
  subnet6: z.string().optional(),
  encrypted: z.boolean(),
  /** 32 hex digits, the same on every host. Absent from daemons before made networks, as the next two. */
  id: z.string().optional(),
  /** Nobody wants a way out of it. */
  internal: z.boolean().optional(),
  /** `conflict`: hosts defined it, or its numbers, twice; `networks inspect` says what and the cure. */
  status: z.enum(['ok', 'conflict']).optional(),
  /** Other hosts that take part in it. */
  peers: count,
  /** Forwarding entries, local and remote. Absent where this host takes no part: it hears of none. */
  macs: count.optional(),
});
export type NetworkSummary = z.infer<typeof networkSummarySchema>;

export const networkUseSchema = z.object({
  host: z.string(),
  /** Not known of hosts that have it in their configuration, unless this host has it too. */
  endpoints: count.optional(),
  /** Of the first few. */
  names: z.array(z.string()),
  /** A TAP was put on it by hand. */
  attached: z.boolean(),
  /** Cannot be reached: what it said last. */
  away: z.boolean(),
});
export type NetworkUse = z.infer<typeof networkUseSchema>;

export const networkConflictSchema = z.object({
  reason: z.enum(['same-name', 'same-vni', 'same-subnet']),
  /** What is the matter, and the cure. */
  message: z.string(),
  hint: z.string(),
});
export type NetworkConflictEntry = z.infer<typeof networkConflictSchema>;

export const networkDetailSchema = networkSummarySchema.extend({
  gateway: z.string().optional(),
  gateway6: z.string().optional(),
  labels: z.record(z.string(), z.string()).optional(),
  /** The host that made it; absent where it is in configurations only. */
  createdBy: z.string().optional(),
  /** Hosts that have it in their configuration, sorted. */
  configuredOn: z.array(z.string()).optional(),
  /** Hosts that take part in it, this one among them. */
  uses: z.array(networkUseSchema).optional(),
  conflicts: z.array(networkConflictSchema).optional(),
  /** Addresses that Docker on this host may give out. */
  ipRange: z.string().optional(),
  /** Names of the other hosts that take part, sorted. */
  members: z.array(z.string()),
  /** Plain VXLAN endpoints that speak no gossip. */
  staticPeers: z.array(z.object({ ip: z.string(), macs: z.array(z.string()) })),
});
export type NetworkDetail = z.infer<typeof networkDetailSchema>;

export const networkRemovalSchema = z.object({
  name: z.string(),
  id: z.string(),
  /** Hosts whose endpoints on it were cut. */
  cut: z.array(networkUseSchema),
});
export type NetworkRemoval = z.infer<typeof networkRemovalSchema>;

export const hostRangeSchema = z.object({
  host: z.string(),
  family: z.union([z.literal(4), z.literal(6)]),
  cidrs: z.array(z.string()),
  /** Of these, what Docker's own IPAM on that host hands out from. */
  docker: z.array(z.string()),
  /** Hosts that keep a copy, and take over after --range-lease. */
  guardians: z.array(z.string()),
  /** Blocks on their way to another host. */
  moving: z.array(z.object({ cidr: z.string(), to: z.string() })),
  /** Free addresses: exact of this host, `>=N` of others. */
  free: z.string(),
});
export const addressCollisionSchema = z.object({
  address: z.string(),
  /** Hosts that say they have it. */
  hosts: z.array(z.string()),
  /** In whose range it lies. */
  owner: z.string().optional(),
  /** `duplicate`: two have it; `docker-range`: another host's Docker may hand it out; `foreign`: in another host's range, which
   *  keeps off it; `reclaimed`: handed out here, another host's since. */
  kind: z.enum(['duplicate', 'docker-range', 'foreign', 'reclaimed']),
});
export const networkRangesSchema = z.object({
  network: z.string(),
  ranges: z.array(hostRangeSchema),
  collisions: z.array(addressCollisionSchema),
});
export type NetworkRanges = z.infer<typeof networkRangesSchema>;
export const dockerRangeSchema = z.object({ ipRange: z.string() });
export const reclaimedSchema = z.object({
  network: z.string(),
  /** Taken over: none where it was refused. */
  cidrs: z.array(z.string()),
  /** Why not, beside others where it was done. */
  refused: z.object({ code: z.string(), message: z.string(), hint: z.string().optional() }).optional(),
});
export type ReclaimedRanges = z.infer<typeof reclaimedSchema>;

export const memberStates = ['alive', 'suspect', 'dead', 'left'] as const;
export const memberStateSchema = z.enum(memberStates);

export const gossipEncryptionSchema = z.object({
  /** `transition`: clear gossip is taken too, and sent to who has no key. */
  mode: z.enum(['off', 'transition', 'required']),
  /** Fingerprint of the key that seals. */
  primary: z.string().optional(),
  keys: count.optional(),
  /** The key that is to seal, once `waitingFor` hold it. */
  next: z.string().optional(),
  waitingFor: z.array(z.string()).optional(),
});
export type GossipEncryption = z.infer<typeof gossipEncryptionSchema>;

export const keyringEntrySchema = z.object({
  fingerprint: z.string(),
  bits: z.int(),
  /** `file`: the operator's file; `hand`: keyring add; `rotated`: made by the cluster. */
  origin: z.enum(['file', 'hand', 'rotated']),
  /** `primary` seals; `next` shall, once all hold it; `held` opens what comes; `leaving` goes when nobody seals with it. */
  state: z.enum(['primary', 'next', 'held', 'leaving']),
  /** Live hosts that do not hold it, sorted. */
  missing: z.array(z.string()),
  /** Other hosts, live or gone for less than a day, that seal with it, sorted. */
  primaryOf: z.array(z.string()),
});
export type KeyringEntry = z.infer<typeof keyringEntrySchema>;

/** Whose word makes a key void, and since when. */
export const revokedSchema = z.object({
  by: z.string(),
  /** ISO 8601, by the clock of that host. */
  at: z.string(),
  /** `revoked`: the name stays with the key; `forgotten`: the next key that is seen takes the name. */
  as: z.enum(['revoked', 'forgotten']),
});

export const identitySchema = z.object({
  name: z.string(),
  /** Of its key, in canonical form. */
  fingerprint: z.string(),
  /** Ed25519 public key, base64. */
  key: z.string(),
  /** `file`: the operator's list; `first-sight`: seen first; `revocation`: only from words about it; `seen`: came, and is refused. */
  known: z.enum(['self', 'file', 'first-sight', 'revocation', 'seen']),
  /** `pinned`: speaks for the name; `revoked`: counts for nobody; `refused`: another key has the name, or the list has neither. */
  state: z.enum(['pinned', 'revoked', 'refused']),
  /** May revoke others where the operator's list names admins. */
  admin: z.boolean().optional(),
  revoked: revokedSchema.optional(),
  /** What hosts that are themselves revoked say of it; not obeyed. */
  disputed: z.array(revokedSchema).optional(),
});
export type Identity = z.infer<typeof identitySchema>;

export const revokeResultSchema = z.object({
  identity: identitySchema,
  /** `rotating`: the cluster takes a new gossip key; `kept`: rotation is off; `clear`: gossip is not sealed. */
  gossipKey: z.enum(['rotating', 'kept', 'clear']),
});
export type RevokeResult = z.infer<typeof revokeResultSchema>;

export const statusSchema = z.object({
  node: z.string(),
  version: z.string(),
  ready: z.boolean(),
  /** Why it is not: no other host was found yet, or this one has left, or is revoked. Absent when ready. */
  notReady: z.enum(['alone', 'left', 'revoked']).optional(),
  uptimeSeconds: z.number().min(0),
  advertiseAddr: z.string(),
  dataPathAddr: z.string(),
  gossipPort: z.int(),
  dataPort: z.int(),
  /** Which I/O path is in use: `batch` or `dgram`. */
  io: z.enum(['batch', 'dgram']),
  workers: z.int(),
  /** How encrypted networks are sealed here; absent without any. */
  sealing: z.string().optional(),
  /** Other hosts by state; this one is not counted. */
  peers: z.object({ alive: count, suspect: count, dead: count, left: count }),
  networks: z.array(networkSummarySchema),
  frames: framesSchema,
  /** Dropped frames and datagrams by reason. */
  drops: countsByName,
  /** Absent from daemons before sealing. */
  gossipEncryption: gossipEncryptionSchema.optional(),
  /** Fingerprint of this host's key; absent from daemons before revocation. */
  identity: z.string().optional(),
  /** The others do not take this host for a member any more. */
  revoked: revokedSchema.optional(),
});
export type Status = z.infer<typeof statusSchema>;

/** Keys shared with a host of an encrypted network. */
export const peerSessionSchema = z.object({
  /** established: in use; silent: in use, but nothing comes back; handshake: none yet; idle: no cluster key. */
  state: z.enum(['established', 'silent', 'handshake', 'idle']),
  ageSeconds: z.number().min(0).optional(),
  /** Sessions since the first one. */
  rekeys: count,
  /** Why none stands. */
  error: z.string().optional(),
});

export const peerSchema = z.object({
  name: z.string(),
  addr: z.string(),
  dataPathAddr: z.string().optional(),
  state: memberStateSchema,
  /** A session stands: what goes to it on encrypted networks goes sealed. */
  sealed: z.boolean(),
  /** Absent when no encrypted network is shared. */
  session: peerSessionSchema.optional(),
  rttMs: z.number().min(0).optional(),
  /** Bytes of an underlay IP packet that reach it unfragmented. */
  pathMtu: z.int().optional(),
  /** Share of small path probes that were not answered lately, 0 to 1. */
  loss: z.number().min(0).max(1).optional(),
  path: z.union([z.literal('direct'), z.templateLiteral(['relay:', z.string()])]).optional(),
  /** Versions that both hosts speak: of records, and of the sealed session that stands. */
  protocol: z.object({ state: z.int(), tunnel: z.int().optional() }).optional(),
  /** Why nothing is exchanged with it, though it is a member. */
  incompatible: z.string().optional(),
  networks: z.array(z.string()),
});
export type Peer = z.infer<typeof peerSchema>;

export const fdbEntrySchema = z.object({
  network: z.string(),
  vni: z.int(),
  mac: z.string(),
  ips: z.array(z.string()),
  /** Node name of the host that has it; absent behind a static peer. */
  owner: z.string().optional(),
  /** Underlay address frames to it go to. */
  vtep: z.string().optional(),
  local: z.boolean(),
  /** Of the container, where its host knows it from Docker. */
  name: z.string().optional(),
});
export type FdbEntry = z.infer<typeof fdbEntrySchema>;

export const joinResultSchema = z.object({
  joined: count,
  errors: z.array(z.object({ addr: z.string(), error: z.string() })),
});
export type JoinResult = z.infer<typeof joinResultSchema>;

export const verdicts = ['sent', 'delivered', 'answered', 'punted'] as const;

/** Plain numbers from which `/metrics` is filled at scrape time. Counters are totals since the start of the daemon. */
export interface DaemonMetrics {
  readonly frames: Frames;
  readonly bytes: Frames;
  /** What became of frames that were not dropped: `sent`, `delivered`, `answered`, `punted`. With all drops they
   *  add up to the frames from TAP and tunnel. */
  readonly verdicts: Readonly<Record<(typeof verdicts)[number], number>>;
  /** By reason; every reason the core knows, zero or not. */
  readonly drops: Readonly<Record<string, number>>;
  /** By network name. */
  readonly fdbEntries: Readonly<Record<string, number>>;
  /** Of this host, by network name; without what Docker hands out itself. */
  readonly addresses: readonly { readonly name: string; readonly owned: number; readonly free: number }[];
  readonly members: Readonly<Record<(typeof memberStates)[number], number>>;
  /** By peer name; only peers with a measured value. */
  readonly peerRttSeconds: Readonly<Record<string, number>>;
  readonly pathMtuBytes: Readonly<Record<string, number>>;
  /** The counters of the paths as they are: proto/pmtu/paths.ts lists the keys. */
  readonly pathProbes: ReadonlyMap<string, number>;
  readonly peerLossRatio: Readonly<Record<string, number>>;
  /** Frames larger than their path: made smaller, and refused with word to their sender. */
  readonly fitted: { readonly shrunk: number; readonly told: number };
  readonly sealedSessions: number;
  readonly rekeys: number;
  /** The membership counters as they are: keys `type:in` and `type:out`; `drop:reason` for what was not understood. */
  readonly gossip: ReadonlyMap<string, number>;
  /** The counters of the replicated state as they are: proto/state/state.ts lists the keys. */
  readonly state: ReadonlyMap<string, number>;
  /** Forwarding rows that the auditor found wrong and put right. */
  readonly tableRepairs: number;
  /** Longest gap between two breaths of the packet loop since the last scrape. */
  readonly loopStallSeconds: number;
}

export interface RevokeRequest {
  readonly node: string;
  /** Or the beginning of one: which key of this name. */
  readonly fingerprint?: string | undefined;
  readonly undo?: boolean | undefined;
}

/** What the admin API and the metrics server may ask of a daemon. */
export interface DaemonView {
  status(): Status;
  peers(): Peer[];
  networks(): NetworkSummary[];
  network(name: string): NetworkDetail | undefined;
  /** All networks, or one by name (unknown name: empty). */
  fdb(network?: string): FdbEntry[];
  /** Tries each `HOST[:PORT]` once. */
  join(addresses: readonly string[]): Promise<JoinResult>;
  /** These throw OverlaydError: what is wrong with it, or who uses it. */
  networkCreate(spec: NetworkSpec): Promise<NetworkDetail>;
  networkRemove(nameOrId: string, force: boolean): Promise<NetworkRemoval>;
  /** A TAP of this host for a whole network; its name is chosen when not given. */
  networkAttach(nameOrId: string, tap: string | undefined): Promise<NetworkDetail>;
  networkDetach(nameOrId: string, force: boolean): Promise<NetworkDetail>;
  /** Who has which addresses of a network, by name or id. These four throw OverlaydError. */
  ranges(nameOrId: string): readonly HostRange[];
  collisions(nameOrId: string): readonly AddressCollision[];
  /** A block of this host for Docker's own IPAM, the same ever after; the default family is 4 where the network has it. */
  dockerRange(nameOrId: string, size: number | undefined, family: 4 | 6 | undefined): Promise<string>;
  /** Takes over what a host had that is gone for good. */
  reclaim(host: string): Promise<readonly Reclaimed[]>;
  /** Leaves the cluster; the daemon goes on, alone. */
  leave(): Promise<void>;
  /** Keys that seal gossip. All four throw OverlaydError where there is no keyring; bytes are never given out. */
  keyring(): KeyringEntry[];
  /** Base64. */
  keyringAdd(key: string): KeyringEntry;
  /** A fingerprint or the beginning of one. */
  keyringUse(fingerprint: string): KeyringEntry;
  keyringRemove(fingerprint: string): KeyringEntry;
  /** Examines itself: what is wrong, with cures. */
  doctor(): Promise<Finding[]>;
  /** Keys of hosts: all, sorted by name. */
  identities(): Identity[];
  /** Makes the key of a host void for all, or (`undo`) good again. Throws OverlaydError. */
  revoke(request: RevokeRequest): RevokeResult;
  /** The key is void, and the name takes the next one. Throws OverlaydError. */
  identityForget(name: string): RevokeResult;
  metrics(): DaemonMetrics;
  /** Undefined when ready: TAPs up, sockets bound, and joined or without seeds. */
  notReady(): NotReady | undefined;
  /** Milliseconds since the packet loop last said that it lives. */
  heartbeatAgeMs(): number;
}

export interface StartupNetwork {
  readonly name: string;
  readonly vni: number;
  readonly tap: string;
  readonly tapExisted: boolean;
  readonly mtu: number;
  readonly subnet: string | undefined;
  readonly gateway: string | undefined;
  readonly ipRange: string | undefined;
  readonly encrypted: boolean;
}

/** What the daemon says once, when it is up. */
export interface StartupReport {
  readonly node: string;
  readonly version: string;
  readonly advertiseAddr: string;
  readonly dataPathAddr: string;
  readonly gossipPort: number;
  readonly dataPort: number;
  /** In words: "batch (FFI, TSO, USO, GRO)". */
  readonly io: string;
  readonly workers: number;
  /** In words; undefined without an encrypted network. */
  readonly sealing: string | undefined;
  readonly socket: string;
  /** The Docker driver's name and socket; undefined where there is none. */
  readonly dockerDriver: { readonly name: string; readonly path: string } | undefined;
  /** `IP:PORT`, undefined when off. */
  readonly metricsAddr: string | undefined;
  readonly seeds: readonly string[];
  readonly gossipEncryption: GossipEncryption;
  readonly networks: readonly StartupNetwork[];
}

/** A daemon as `overlayd run` holds it. */
export interface Daemon extends DaemonView {
  report(): StartupReport;
  /** As it is now, after reloads. */
  config(): RunConfig;
  /** Takes over what may change while running, all or nothing; the caller has refused everything else. */
  reload(config: RunConfig): Promise<void>;
  stop(options: { readonly removeTaps: boolean }): Promise<void>;
  /** Resolves when the daemon can no longer do its work (a worker died, a socket failed); never otherwise. */
  readonly failed: Promise<Error>;
}
