/**
 * What control asks of the data path, whichever I/O is under it (FFI batches in a worker, or node:dgram).
 *
 * Tables change by rows, idempotently; indexes (network, port, peer) are the caller's small integers. Nothing here is
 * called per packet. Local learning comes back as events.
 */
import type { RowChange } from '../../proto/view/rows.ts';
import type { DescriptorStore } from '../io/descriptor-store.ts';
import type { NewSession } from './sessions.ts';

/** A TAP as it stands after opening. */
export interface OpenedTap {
  readonly name: string;
  readonly mtu: number;
  /** TCP segmentation and checksum offload are on. */
  readonly offload: boolean;
  /** UDP segmentation offload is on (Linux 6.2 and newer). */
  readonly udpOffload: boolean;
  /** The TAP was there before us: a restart, or made by hand. */
  readonly existed: boolean;
}

/** What a port may send from: the one MAC, 48 bits, and at most eight addresses, textual. */
export interface PortBinding {
  readonly mac: number;
  readonly ips: readonly string[];
}

export interface TapSpec {
  readonly network: number;
  /** The caller's small integer, free while no TAP has it. */
  readonly port: number;
  readonly name: string;
  readonly mtu: number;
  /** Largest number of local MACs learnt behind this port. */
  readonly macQuota: number;
  /** Keep the TAP (and so the containers' interfaces) when the process ends. */
  readonly persist: boolean;
  /**
   * Containers hang on it as macvlan children: what they send to each other through it comes back out of it (vepa mode,
   * T4), and super-frames are limited at the children. Off for the interface of one container, which must not get its
   * own broadcasts back, and which whoever puts it there brings up.
   */
  readonly reflect: boolean;
  /** Bytes that sealing puts around a datagram of its network; none by default. */
  readonly sealBytes?: number;
  /**
   * Given: frames from another MAC or address, claims on one by ARP or neighbour discovery, router advertisements and
   * DHCP servers' answers are dropped (`guard-mac`, `guard-ip`, `guard-ra`, `guard-dhcp`); the TAP gets the MAC, too.
   */
  readonly binding?: PortBinding;
  /** Losing it is losing the data path, as with the TAPs of the options. */
  readonly isNeeded?: boolean;
  /** Path of the network namespace that the TAP has been moved to, after a restart; for ports that do not reflect. */
  readonly netns?: string;
}

export interface DataplaneOptions {
  readonly io: 'batch' | 'dgram';
  readonly workers: number;
  /** Underlay address to bind, textual IPv4 or IPv6. */
  readonly dataPathAddr: string;
  readonly dataPort: number;
  /** TAPs that are there from the start: losing one is losing the data path. */
  readonly taps: readonly TapSpec[];
  /** Holds the descriptors of persistent TAPs that do not reflect, for the next run. */
  readonly descriptors?: DescriptorStore;
}

/** Table rows as the view emits them. MACs are numbers (48 bits), IPs textual; a row put twice is there once. */
export type TableChange = RowChange;

export type DataplaneEvent =
  /** A local MAC appeared, or moved here from peer `from` (undefined: it was unknown). */
  | {
      readonly type: 'mac-learned';
      readonly network: number;
      readonly port: number;
      readonly mac: number;
      readonly from: number | undefined;
    }
  | { readonly type: 'mac-expired'; readonly network: number; readonly port: number; readonly mac: number }
  | {
      readonly type: 'ip-learned';
      readonly network: number;
      readonly port: number;
      readonly mac: number;
      readonly ip: string;
    }
  | { readonly type: 'command-failed'; readonly op: string }
  /** A handshake message came on the data port, from the address of a member. */
  | { readonly type: 'handshake'; readonly ip: string; readonly port: number; readonly bytes: Uint8Array }
  /** A path probe or an answer to one of ours came (proto/pmtu): its head, and the length that it had. */
  | {
      readonly type: 'probe';
      readonly ip: string;
      readonly port: number;
      readonly bytes: Uint8Array;
      readonly length: number;
    }
  /** The first datagram came on a session. */
  | { readonly type: 'session-heard'; readonly localIndex: number }
  /** Sessions that died with a worker: they are to be made anew. */
  | { readonly type: 'sessions-lost'; readonly localIndexes: readonly number[] }
  /** The interface of a port from `openPort` was deleted under us; the port waits for closePort. */
  | { readonly type: 'tap-gone'; readonly port: number; readonly name: string }
  /** A worker could not be started again, or a TAP of the options was deleted; the data path is down. */
  | { readonly type: 'failed'; readonly error: Error };

export interface DataplaneCounters {
  /** Names as the core's COUNTER_ constants, lower-case with dashes: `from-tap`, `to-tap-bytes`, … */
  readonly counters: Readonly<Record<string, number>>;
  /** Names as the core's REASON_ constants: `unknown-vni`, … All reasons, zero or not. */
  readonly drops: Readonly<Record<string, number>>;
}

/** One row of the forwarding table as the core has it. */
export interface FdbRow {
  readonly network: number;
  readonly mac: number;
  readonly local: boolean;
  /** Port index when local, else peer index. */
  readonly destination: number;
  /** Learnt by the data path (local traffic or a static peer), not commanded. */
  readonly learned: boolean;
}

export interface Dataplane {
  /** TAPs open now, by port. */
  readonly taps: ReadonlyMap<number, OpenedTap>;
  /** How many ports and networks there may be: indexes are below. */
  readonly limits: { readonly ports: number; readonly networks: number };
  /** The I/O path in use, in a few words for the start-up report: "batch (FFI, TSO, USO, GRO)". */
  readonly ioDescription: string;
  /** How sealed networks are sealed here, in a few words. */
  readonly cipherDescription: string;
  /** Queues rows for every worker, in order. */
  apply(changes: readonly TableChange[]): void;
  /**
   * Opens a TAP and adds its port to every worker. Throws OverlaydError; nothing is left behind then. What workers
   * learnt behind the port, and all that the core counts by port, begins at zero.
   */
  openPort(spec: TapSpec): OpenedTap;
  /** Binds an open port anew, or lets it send from any address. Throws OverlaydError. */
  updateBinding(port: number, binding: PortBinding | undefined): void;
  /**
   * Takes a port from every worker, and closes its descriptors when none of them can use them any more; the interface
   * goes too when it is not persistent, or with `removeTap`. Its local MACs are said to have expired. Counters of frames
   * and drops are sums over all ports and keep what the port had added.
   */
  closePort(port: number, removeTap: boolean): Promise<void>;
  onEvent(listener: (event: DataplaneEvent) => void): void;
  /** Installs a session: it is received on from now. False: no room, or the index is in use. */
  addSession(session: NewSession): boolean;
  /** Its peer is sent by it from now. */
  useSession(localIndex: number): void;
  removeSession(localIndex: number): void;
  /** Datagrams sealed on a session so far, and the highest counter received on it. */
  sessionCounters(localIndex: number): { readonly sealed: number; readonly highest: number };
  /** Gives a TAP another MTU, and so its children: a lower one at once, a higher one only those to come (T6). Throws OverlaydError. */
  setTapMtu(port: number, mtu: number): void;
  counters(): DataplaneCounters;
  /** Walks the core's table; for `fdb`, audits and resynchronisation after lost events. */
  fdb(): FdbRow[];
  peerCounters(peer: number): { rxFrames: number; rxBytes: number; txFrames: number; txBytes: number };
  /** Longest gap between two breaths since the last call, seconds. */
  takeStallSeconds(): number;
  /** Milliseconds since the last heartbeat of the slowest worker. */
  heartbeatAgeMs(): number;
  /** Stops the workers and closes descriptors; TAPs stay when persistent unless `removeTaps`. */
  stop(removeTaps: boolean): Promise<void>;
}
