import type { Socket } from 'node:dgram';
import { Paths, headersOf } from '../../proto/pmtu/paths.ts';
import type { PathStatus, ProbeSeal } from '../../proto/pmtu/paths.ts';
import type { ForwardingView } from '../../proto/view/forwarding.ts';
import { monotonicMs } from '../clock.ts';
import { ipFamily } from '../config/address.ts';
import type { Dataplane, DataplaneEvent } from '../dataplane/dataplane.ts';
import { systemRng } from '../entropy.ts';
import { numericSocket, sendDatagram } from '../io/numeric-socket.ts';
import { transmitSocket } from '../io/udp.ts';
import type { Log } from '../log.ts';
import { DeadlineTimer } from './deadline-timer.ts';
import type { TapMtus } from './tap-mtus.ts';

/**
 * The paths to the other hosts of our networks, kept known: the protocol object (proto/pmtu) between the cluster's state,
 * which says who is a peer, and the data path, whose peer rows say what fits.
 *
 * Probes go out from a socket of their own with DF set, to the peers' data port; what comes back comes to our data port,
 * where the data path hands over its head. Hosts that share no network with us, and static peers, are not probed.
 */
export interface PathKeeperOptions {
  readonly view: Pick<ForwardingView, 'participants' | 'vtep' | 'peerRow'>;
  readonly setMaxPayload: (peer: number, maxPayload: number) => void;
  readonly dataplane: Pick<Dataplane, 'onEvent' | 'peerCounters' | 'counters'>;
  readonly dataPathAddr: string;
  /** What the underlay interface takes, bytes. */
  readonly underlayMtu: number;
  /** Undefined where nothing is sealed. */
  readonly seal: () => ProbeSeal | undefined;
  readonly tapMtus: TapMtus;
  readonly log: Log;
}

/** How often peers, traffic and rows are compared. */
const LOOK_MS = 500;

type Participants = ReturnType<ForwardingView['participants']> extends Iterable<infer T> ? T : never;

interface Known {
  readonly peer: number;
  /** Bytes sent to it when it was looked at last. */
  sent: number;
  /** What was said of it last. */
  mtu: number;
}

export class PathKeeper {
  readonly #options: PathKeeperOptions;
  readonly #paths: Paths;
  readonly #socket: Socket;
  readonly #known = new Map<string, Known>();
  #networks: readonly Participants[] = [];
  #wanted: ReadonlyMap<string, boolean> = new Map();
  #refused = 0;
  readonly #look: NodeJS.Timeout;
  readonly #timer = new DeadlineTimer(() => {
    this.#paths.handleDeadline(monotonicMs());
    this.#settle();
  });
  #closed = false;

  /** Throws OverlaydError when there is no socket to be had. */
  constructor(options: PathKeeperOptions) {
    this.#options = options;
    this.#paths = new Paths({ rng: systemRng(), seal: options.seal });
    this.#socket = numericSocket(ipFamily(options.dataPathAddr));
    this.#socket.on('error', () => undefined);
    this.#socket.bind({ fd: transmitSocket(options.dataPathAddr) });
    options.dataplane.onEvent((event) => this.#handle(event));
    this.#look = setInterval(() => this.#refresh(), LOOK_MS);
    this.#refresh();
  }

  /** What is known of the path to a host; undefined when it shares no network with us. */
  path(name: string): PathStatus | undefined {
    return this.#paths.path(name);
  }

  /** What the paths to the hosts of a network of ours, by index, take; undefined: it is being found out. */
  takenBy(network: number): (number | undefined)[] {
    for (const { own, owners } of this.#options.view.participants()) {
      if (own.network !== network) continue;
      return Array.from(owners, (name) => {
        const path = this.#paths.path(name);
        return path?.state === 'complete' ? path.proven : undefined;
      });
    }
    return [];
  }

  counters(): ReadonlyMap<string, number> {
    return this.#paths.counters();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#look);
    this.#timer.stop();
    this.#socket.close();
  }

  #refresh(): void {
    if (this.#closed) return;
    const now = monotonicMs();
    this.#comparePeers(now);
    const isRefused = this.#isSendingRefused();
    for (const [name, known] of this.#known) this.#noteTraffic(now, name, known, isRefused);
    this.#settle();
    this.#writeRows();
    this.#options.tapMtus.look(now, this.#pathsOfNetworks());
  }

  #comparePeers(now: number): void {
    const { view, underlayMtu } = this.#options;
    const wanted = this.#whoTakesPart();
    for (const name of this.#known.keys()) if (!wanted.has(name)) this.#forget(name);
    for (const [name, isSealed] of wanted) {
      const vtep = view.vtep(name);
      if (vtep?.peer === undefined) {
        this.#forget(name);
        continue;
      }
      const { ip, port, peer } = vtep;
      if (this.#known.get(name)?.peer !== peer) this.#known.set(name, { peer, sent: 0, mtu: underlayMtu });
      this.#paths.setPeer(now, name, { addr: { ip, port }, linkBytes: underlayMtu, isSealed });
    }
  }

  /** The hosts that share a network with us, and whether a sealed one. Many networks seldom change: then it is as it was. */
  #whoTakesPart(): ReadonlyMap<string, boolean> {
    const networks = [...this.#options.view.participants()];
    const before = this.#networks;
    const isSame = ({ own, owners }: Participants, i: number): boolean =>
      before[i]?.own === own && before[i].owners === owners;
    if (networks.length === before.length && networks.every(isSame)) return this.#wanted;
    const wanted = new Map<string, boolean>();
    for (const { own, owners } of networks) {
      for (const name of owners) wanted.set(name, own.sealed || wanted.get(name) === true);
    }
    this.#networks = networks;
    this.#wanted = wanted;
    return wanted;
  }

  #forget(name: string): void {
    this.#known.delete(name);
    this.#paths.removePeer(name);
  }

  #noteTraffic(now: number, name: string, known: Known, isRefused: boolean): void {
    const { txBytes } = this.#options.dataplane.peerCounters(known.peer);
    // What our own kernel refused is not counted as sent: it may be what is large.
    this.#paths.noteTraffic(now, name, isRefused ? Infinity : txBytes - known.sent);
    known.sent = txBytes;
  }

  /** Whether the kernel refused to send anything since the last call. */
  #isSendingRefused(): boolean {
    const refused = this.#options.dataplane.counters().drops['send-failed'] ?? 0;
    const isMore = refused > this.#refused;
    this.#refused = refused;
    return isMore;
  }

  #handle(event: DataplaneEvent): void {
    if (event.type !== 'probe' || this.#closed) return;
    this.#paths.handleDatagram(monotonicMs(), event.bytes, event.length, event);
    this.#settle();
  }

  #settle(): void {
    if (this.#closed) return;
    for (let out = this.#paths.pollTransmit(); out !== undefined; out = this.#paths.pollTransmit()) {
      const { to, bytes, probe } = out;
      sendDatagram(this.#socket, bytes, to, (error) => {
        if (probe === undefined || error === null || !('code' in error) || error.code !== 'EMSGSIZE') return;
        this.#paths.handleTooLong(probe.peer, probe.token);
      });
    }
    let isChanged = false;
    for (let name = this.#paths.pollChange(); name !== undefined; name = this.#paths.pollChange()) {
      isChanged = true;
      this.#tell(name);
    }
    if (isChanged) this.#writeRows();
    this.#timer.arm(this.#paths.nextDeadline());
  }

  #tell(name: string): void {
    const known = this.#known.get(name);
    const path = this.#paths.path(name);
    if (known === undefined || path === undefined || path.mtu === known.mtu) return;
    const words = path.mtu < known.mtu ? 'takes less than was thought' : 'takes more than was thought';
    this.#options.log.info({ peer: name, mtu: path.mtu, before: known.mtu }, `the path to a peer ${words}`);
    known.mtu = path.mtu;
  }

  /** Level-triggered: a row that was made anew begins with what the link takes. Names at one address share a row. */
  #writeRows(): void {
    const { view, setMaxPayload } = this.#options;
    const wanted = new Map<number, number>();
    for (const [name, { peer }] of this.#known) {
      const path = this.#paths.path(name);
      const row = view.peerRow(peer);
      if (path === undefined || row === undefined) continue;
      const payload = path.mtu - headersOf(row.addr);
      wanted.set(peer, Math.min(payload, wanted.get(peer) ?? Infinity));
    }
    for (const [peer, payload] of wanted) {
      if (view.peerRow(peer)?.maxPayload !== payload) setMaxPayload(peer, payload);
    }
  }

  /** By the data path's index of a network: what is proven of the paths to its hosts; undefined: not yet. */
  *#pathsOfNetworks(): Generator<{ readonly network: number; readonly proven: (number | undefined)[] }> {
    for (const { own, owners } of this.#networks) {
      if (!this.#options.tapMtus.has(own.network)) continue;
      const proven = Array.from(owners, (name) => this.#paths.path(name)?.proven);
      yield { network: own.network, proven };
    }
  }
}
