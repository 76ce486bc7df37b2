import type { Address } from '../env.ts';
import { ipToBytes } from '../memberlist/address.ts';
import type { MemberImage } from './member-image.ts';

/** Settings of a member. Times in ms; the defaults are memberlist's LAN profile (gossip.md 3). */
export interface SwimTimers {
  readonly tcpTimeoutMs: number;
  readonly probeIntervalMs: number;
  readonly probeTimeoutMs: number;
  readonly gossipIntervalMs: number;
  /** How long the dead and the left are still gossiped to, and kept in the list. */
  readonly gossipToTheDeadMs: number;
  readonly pushPullIntervalMs: number;
  /** A dead name may move to another address after this long. */
  readonly reclaimMs: number;
  /** A leave is done after this long even if nobody could be told. */
  readonly leaveTimeoutMs: number;
}

export interface SwimLimits {
  readonly indirectChecks: number;
  readonly retransmitMult: number;
  readonly suspicionMult: number;
  readonly suspicionMaxMult: number;
  readonly awarenessMax: number;
  readonly gossipNodes: number;
  /** Size of a UDP packet that we build, all headers of ours included. */
  readonly packetBytes: number;
  /** Names held at most: a flood of invented members ends here. */
  readonly maxMembers: number;
  /** Streams accepted at once. */
  readonly maxStreams: number;
  /**
   * False makes a plain SWIM member, to measure what Lifeguard is worth: suspicions last the minimum, our own health
   * (stalls included) counts for nothing, and who is pinged does not hear that it is suspected.
   */
  readonly lifeguard: boolean;
}

/** Lowest, highest and current version of what the layer above speaks through memberlist. */
export type VersionRange = readonly [min: number, max: number, current: number];

export interface SwimOptions extends Partial<SwimTimers>, Partial<SwimLimits> {
  /** Unique in the cluster and stable over restarts. */
  readonly name: string;
  /** Where others reach us, UDP and TCP. */
  readonly addr: Address;
  /** At most 512 bytes. */
  readonly meta?: Uint8Array;
  /** Tried until one answers, and again whenever none of them is alive. */
  readonly seeds?: readonly Address[];
  /** Members known from the start, as after a join; shared by all who are given it. */
  readonly image?: MemberImage;
  /** Cluster label of memberlist ≥ 0.3; none by default. */
  readonly label?: string;
  /** LZW on what we send, where that is shorter; what comes compressed is always read. Off by default. */
  readonly compress?: boolean;
  /** Pinned delegate versions. By default any are spoken: see versions.ts. */
  readonly delegateVersion?: VersionRange;
  /** Whether a member with this meta understands the delegate's messages; all do by default. */
  readonly takesUserData?: (meta: Uint8Array) => boolean;
}

export type SwimSettings = Required<Omit<SwimOptions, 'label' | 'image'>> & {
  readonly label: Uint8Array;
  readonly isDelegateVersionPinned: boolean;
};

export const MAX_META_BYTES = 512;

const LAN: SwimTimers & SwimLimits = {
  tcpTimeoutMs: 10_000,
  probeIntervalMs: 1000,
  probeTimeoutMs: 500,
  gossipIntervalMs: 200,
  gossipToTheDeadMs: 30_000,
  pushPullIntervalMs: 30_000,
  reclaimMs: 30_000,
  leaveTimeoutMs: 5000,
  indirectChecks: 3,
  retransmitMult: 4,
  suspicionMult: 4,
  suspicionMaxMult: 6,
  awarenessMax: 8,
  gossipNodes: 3,
  packetBytes: 1400,
  maxMembers: 16_384,
  maxStreams: 128,
  lifeguard: true,
};

/** Fills in defaults. Throws RangeError for what no other member would accept. */
export function settingsOf(options: SwimOptions): SwimSettings {
  const { name, addr, meta = new Uint8Array(0), label = '' } = options;
  if (name === '' || name.length > 255) throw new RangeError('a node name has 1 to 255 characters');
  if (ipToBytes(addr.ip) === undefined) throw new RangeError(`"${addr.ip}" is no IP address`);
  if (!(addr.port >= 1 && addr.port <= 65_535)) throw new RangeError('a gossip port is 1 to 65535');
  checkMeta(meta);
  const labelBytes = Uint8Array.from(label, (character) => character.charCodeAt(0));
  if (labelBytes.length > 255) throw new RangeError('a label has 255 bytes at most');
  return {
    ...LAN,
    seeds: [],
    compress: false,
    delegateVersion: [0, 255, 0],
    isDelegateVersionPinned: options.delegateVersion !== undefined,
    takesUserData: () => true,
    ...options,
    ...(options.lifeguard === false && { awarenessMax: 1, suspicionMaxMult: 1 }),
    meta,
    label: labelBytes,
  };
}

export function checkMeta(meta: Uint8Array): void {
  if (meta.length > MAX_META_BYTES) throw new RangeError(`meta has ${MAX_META_BYTES} bytes at most`);
}
