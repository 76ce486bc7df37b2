/**
 * Follows Docker: which container has which MAC, addresses and name on our networks, told to whoever keeps the endpoint
 * records, and taken back when the container goes.
 *
 * Level-triggered: an event only says which network is to be read again. After each (re)connection everything is. While
 * Docker is away nothing is taken back, since containers may go on without it (live-restore).
 */
import { canonicalMac } from '../../config/address.ts';
import type { MacInfo } from '../../networks/interface.ts';
import type { Log } from '../../log.ts';
import type { DockerApi } from '../client/api.ts';
import type { EventListener } from '../client/events.ts';
import type { Attachment, DockerEvent, DockerNetwork } from '../client/schemas.ts';

/** Events of one container come in bursts; a network is read once for all of them. */
const SETTLE_MS = 25;
/** Networks of ours may change in long rows. */
const REFRESH_MS = 500;
const NETWORK_ACTIONS = new Set(['connect', 'disconnect', 'create', 'destroy', 'remove', 'update']);

export interface WatcherDeps {
  readonly api: Pick<DockerApi, 'network' | 'networks'>;
  /** Name of the network whose TAP this is, if it is one that containers hang on. */
  tapNetwork(interfaceName: string): string | undefined;
  /** Name of the network of ours that a network of our own Docker driver is. */
  driverNetwork(dockerId: string): string | undefined;
  describeMac(network: string, mac: string, info: MacInfo | undefined): void;
  /** Docker's networks were read in full: after a connection, and when one came or went. */
  onNetworks?(networks: readonly DockerNetwork[]): Promise<void>;
  readonly log: Log;
}

/** What was said of one MAC: of an endpoint that is another one now it has to be said again. */
interface Said {
  readonly network: string;
  readonly info: string;
}

interface Watched {
  readonly containers: ReadonlySet<string>;
  readonly macs: ReadonlyMap<string, Said>;
}

export class DockerWatcher implements EventListener {
  readonly #deps: WatcherDeps;
  /** By Docker's network ID. */
  readonly #watched = new Map<string, Watched>();
  readonly #dirty = new Set<string>();
  #relist = false;
  #timer: NodeJS.Timeout | undefined;
  /** One reading after the other: an older answer must not undo a newer one. */
  #reading: Promise<void> = Promise.resolve();
  #closed = false;
  #isConnected = false;

  constructor(deps: WatcherDeps) {
    this.#deps = deps;
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  async connected(): Promise<void> {
    await this.#inTurn(() => this.#readAll());
    this.#isConnected = true;
  }

  disconnected(): void {
    this.#isConnected = false;
  }

  event(event: DockerEvent): void {
    if (event.Type === 'network' && NETWORK_ACTIONS.has(event.Action)) {
      if (event.Action === 'connect' || event.Action === 'disconnect') this.#dirty.add(event.Actor.ID);
      else this.#relist = true;
    } else if (event.Type === 'container' && ['start', 'rename', 'die'].includes(event.Action)) {
      for (const [id, { containers }] of this.#watched) {
        if (containers.has(event.Actor.ID)) this.#dirty.add(id);
      }
    } else return;
    this.#arm();
  }

  /** Networks of ours came or went: what stood on them is to be read again. */
  refresh(): void {
    this.#relist = true;
    if (this.#isConnected) this.#arm(REFRESH_MS);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #arm(waitMs = SETTLE_MS): void {
    if (this.#closed || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => void this.#work(), waitMs);
  }

  async #work(): Promise<void> {
    this.#timer = undefined;
    try {
      await this.#inTurn(() => this.#readDirty());
    } catch (error) {
      // The stream ends too when Docker is gone, and all is read again after it.
      this.#deps.log.debug({ err: error }, 'a Docker network could not be read');
    }
  }

  #inTurn(read: () => Promise<void>): Promise<void> {
    const done = this.#reading.then(read);
    this.#reading = done.catch(() => undefined);
    return done;
  }

  async #readDirty(): Promise<void> {
    if (this.#relist) await this.#readAll();
    for (const id of this.#dirty) {
      this.#dirty.delete(id);
      if (!this.#isOurs(await this.#deps.api.network(id), id)) this.#forget(id);
    }
  }

  async #readAll(): Promise<void> {
    this.#relist = false;
    const networks = await this.#deps.api.networks();
    await this.#deps.onNetworks?.(networks);
    const ours = networks.filter((network) => this.#overlayOf(network) !== undefined);
    for (const { Id } of ours) {
      if (!this.#isOurs(await this.#deps.api.network(Id), Id)) this.#forget(Id);
    }
    const ids = new Set(ours.map(({ Id }) => Id));
    for (const id of this.#watched.keys()) if (!ids.has(id)) this.#forget(id);
  }

  #overlayOf(network: DockerNetwork): string | undefined {
    if (network.Driver !== 'macvlan') return this.#deps.driverNetwork(network.Id);
    return this.#deps.tapNetwork(network.Options['parent'] ?? '');
  }

  /** Says what changed on it; false when it is none of ours (any more). */
  #isOurs(network: DockerNetwork | undefined, id: string): boolean {
    const overlay = network && this.#overlayOf(network);
    if (network === undefined || overlay === undefined) return false;
    const macs = new Map<string, Said>();
    const before = this.#watched.get(id)?.macs ?? new Map<string, Said>();
    for (const attachment of Object.values(network.Containers)) {
      const mac = canonicalMac(attachment.MacAddress);
      if (mac === undefined) continue;
      const info = infoOf(attachment);
      const said = { network: overlay, info: JSON.stringify([attachment.EndpointID, info]) };
      macs.set(mac, said);
      const last = before.get(mac);
      if (last?.network === said.network && last.info === said.info) continue;
      this.#deps.describeMac(overlay, mac, info);
    }
    for (const [mac, last] of before) {
      if (macs.get(mac)?.network !== last.network) this.#deps.describeMac(last.network, mac, undefined);
    }
    this.#watched.set(id, { containers: new Set(Object.keys(network.Containers)), macs });
    return true;
  }

  #forget(id: string): void {
    for (const [mac, { network }] of this.#watched.get(id)?.macs ?? []) {
      this.#deps.describeMac(network, mac, undefined);
    }
    this.#watched.delete(id);
  }
}

function infoOf({ Name: name, IPv4Address, IPv6Address }: Attachment): MacInfo {
  const ips = [IPv4Address, IPv6Address].flatMap((address) => address.split('/')[0] || []);
  return name === '' ? { ips } : { ips, name };
}
