import type { Socket } from 'node:dgram';
import type { Address } from '../../proto/env.ts';
import type { ProbeSeal } from '../../proto/pmtu/paths.ts';
import { isEcho } from '../../proto/tunnel/echo.ts';
import type { SessionEvent, TunnelStatus } from '../../proto/tunnel/interface.ts';
import type { TunnelPsk } from '../../proto/tunnel/psk.ts';
import type { Tunnels } from '../../proto/tunnel/tunnels.ts';
import { monotonicMs } from '../clock.ts';
import { ipFamily } from '../config/address.ts';
import type { Dataplane, DataplaneEvent } from '../dataplane/dataplane.ts';
import { numericSocket, sendDatagram } from '../io/numeric-socket.ts';
import type { Log } from '../log.ts';
import { DeadlineTimer } from './deadline-timer.ts';

/**
 * The sealed sessions of this host, running: the protocol object (proto/tunnel) between the cluster's state, which says
 * who is a peer, and the data path, which seals and opens.
 *
 * Handshake messages go out from a socket of their own, to the peers' data port; what comes back comes to our data port,
 * where the data path hands it over. Whom we have no session with gets nothing, and nothing of it is let in: what fails
 * here fails closed.
 */
export interface TunnelPeers {
  /** Names of the hosts that take part in one of our sealed networks. */
  wanted(): Iterable<string>;
  /** Where a host takes datagrams, and its number in the data path's tables. */
  vtep(
    name: string,
  ): { readonly ip: string; readonly port: number; readonly peer: number | undefined } | undefined;
  /** Its Ed25519 identity in hex; undefined while that is unknown, or when it is revoked. */
  identity(name: string): string | undefined;
  /** The X25519 key of an identity; undefined when it has none. Dear: asked once for each identity. */
  staticKey(identity: string): Uint8Array | undefined;
}

export interface TunnelKeeperOptions {
  readonly tunnels: Tunnels;
  readonly peers: TunnelPeers;
  readonly dataplane: Dataplane;
  readonly dataPathAddr: string;
  /** Of the cluster keys that are held, the preferred first; called when `version` has changed. */
  readonly psks: () => readonly TunnelPsk[];
  readonly keyVersion: () => number;
  readonly log: Log;
}

/** How often peers, keys and counters are compared with what the sessions go by. */
const LOOK_MS = 1_000;

interface Known extends Address {
  readonly peer: number;
  readonly identity: string;
  readonly staticKey: Uint8Array;
}

export class TunnelKeeper {
  readonly #options: TunnelKeeperOptions;
  readonly #tunnels: Tunnels;
  readonly #socket: Socket;
  readonly #known = new Map<string, Known>();
  /** Sessions that stand in the data path, with the highest counter received so far. */
  readonly #standing = new Map<number, number>();
  readonly #look: NodeJS.Timeout;
  readonly #timer = new DeadlineTimer(() => {
    this.#tunnels.handleDeadline(monotonicMs());
    this.#settle();
  });
  #keyVersion: number | undefined;
  #closed = false;

  constructor(options: TunnelKeeperOptions) {
    this.#options = options;
    this.#tunnels = options.tunnels;
    this.#socket = numericSocket(ipFamily(options.dataPathAddr));
    // A lost handshake message is said again; the reason is not worth a line each.
    this.#socket.on('error', () => undefined);
    this.#socket.bind({ address: options.dataPathAddr, port: 0 });
    options.dataplane.onEvent((event) => this.#handle(event));
    this.#look = setInterval(() => this.refresh(), LOOK_MS);
    this.refresh();
  }

  /** To be called when state may have changed who is a peer. */
  refresh(): void {
    if (this.#closed) return;
    const now = monotonicMs();
    const { keyVersion, psks } = this.#options;
    if (this.#keyVersion !== keyVersion()) {
      this.#keyVersion = keyVersion();
      this.#tunnels.setPsks(now, psks());
    }
    this.#comparePeers(now);
    this.#noteCounters(now);
    this.#settle();
  }

  /** For path probes: what goes inside the sessions. */
  get seal(): ProbeSeal {
    return this.#tunnels;
  }

  setRekeyInterval(intervalMs: number): void {
    this.#tunnels.setRekeyInterval(intervalMs);
    this.#settle();
  }

  /** Never falls, whoever goes. */
  rekeys(): number {
    return this.#tunnels.counters().get('session:rekey') ?? 0;
  }

  /** By peer name; for status. */
  sessions(): readonly TunnelStatus[] {
    return this.#tunnels.sessions(monotonicMs());
  }

  counters(): ReadonlyMap<string, number> {
    return this.#tunnels.counters();
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#look);
    this.#timer.stop();
    this.#socket.close();
  }

  #comparePeers(now: number): void {
    const { peers } = this.#options;
    const wanted = new Set(peers.wanted());
    for (const name of this.#known.keys()) if (!wanted.has(name)) this.#forget(name);
    for (const name of wanted) {
      const vtep = peers.vtep(name);
      const identity = peers.identity(name);
      if (vtep?.peer === undefined || identity === undefined) this.#forget(name);
      else this.#setPeer(now, name, { ...vtep, peer: vtep.peer }, identity);
    }
  }

  #setPeer(
    now: number,
    name: string,
    { ip, port, peer }: Address & { readonly peer: number },
    identity: string,
  ): void {
    const known = this.#known.get(name);
    const isSame =
      known?.identity === identity && known.ip === ip && known.port === port && known.peer === peer;
    if (isSame) return;
    const staticKey =
      known?.identity === identity ? known.staticKey : this.#options.peers.staticKey(identity);
    // The data path has dropped the sessions of a number that was given up.
    if (staticKey === undefined || (known !== undefined && known.peer !== peer)) this.#forget(name);
    if (staticKey === undefined) return;
    if (!this.#tunnels.setPeer(now, name, { staticKey, addr: { ip, port } })) return;
    this.#known.set(name, { ip, port, peer, identity, staticKey });
  }

  #forget(name: string): void {
    if (!this.#known.delete(name)) return;
    this.#tunnels.removePeer(name);
    this.#settle();
  }

  #noteCounters(now: number): void {
    const { dataplane } = this.#options;
    for (const [localIndex, before] of this.#standing) {
      const { sealed, highest } = dataplane.sessionCounters(localIndex);
      this.#tunnels.noteSent(now, localIndex, sealed);
      if (highest === before) continue;
      this.#standing.set(localIndex, highest);
      this.#tunnels.noteReceived(now, localIndex);
    }
  }

  #handle(event: DataplaneEvent): void {
    const now = monotonicMs();
    switch (event.type) {
      case 'handshake':
        if (isEcho(event.bytes)) return;
        this.#tunnels.handleDatagram(now, event.bytes, event);
        break;
      case 'session-heard':
        this.#tunnels.noteReceived(now, event.localIndex);
        break;
      case 'sessions-lost':
        this.#options.log.warn({}, 'sealed sessions were lost with a data plane worker; making new ones');
        for (const name of this.#known.keys()) this.#forget(name);
        this.#comparePeers(now);
        break;
      default:
        return;
    }
    this.#settle();
  }

  /** Orders first: who is answered may send at once. */
  #settle(): void {
    if (this.#closed) return;
    for (let event = this.#tunnels.pollSession(); event !== undefined; event = this.#tunnels.pollSession()) {
      this.#obey(event);
    }
    for (let out = this.#tunnels.pollTransmit(); out !== undefined; out = this.#tunnels.pollTransmit()) {
      sendDatagram(this.#socket, out.bytes, out.to);
    }
    this.#timer.arm(this.#tunnels.nextDeadline());
  }

  #obey(event: SessionEvent): void {
    const { dataplane, log } = this.#options;
    const { localIndex } = event;
    if (event.type === 'use') {
      dataplane.useSession(localIndex);
      return;
    }
    if (event.type === 'remove') {
      this.#standing.delete(localIndex);
      dataplane.removeSession(localIndex);
      return;
    }
    const peer = this.#known.get(event.peer)?.peer ?? this.#options.peers.vtep(event.peer)?.peer;
    const { remoteIndex, sendKey, receiveKey } = event;
    const keys = { sealKey: sendKey.reveal(), openKey: receiveKey.reveal() };
    if (peer !== undefined && dataplane.addSession({ localIndex, remoteIndex, peer, ...keys })) {
      this.#standing.set(localIndex, 0);
      return;
    }
    log.error(
      { peer: event.peer },
      'no room for a sealed session in the data path: nothing is sent to this peer',
    );
  }
}
