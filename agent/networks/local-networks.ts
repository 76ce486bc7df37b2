/**
 * Networks of the cluster and what of them is on this host: the implementation of interface.ts.
 *
 * Definitions are the cluster's (definitions.ts); a network is joined here (joined.ts) while a TAP (attachments.ts) or an
 * endpoint (local-endpoints.ts) is on it. This file holds these together, and follows what the cluster decides.
 */
import { meaningsBy } from '../../proto/networks/meaning.ts';
import { parseMac } from '../../proto/state/values/mac.ts';
import { canonicalMac } from '../config/address.ts';
import type { Reconciler } from '../control/reconciler.ts';
import type { Dataplane, OpenedTap } from '../dataplane/dataplane.ts';
import { OverlaydError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { NetworkRemoval } from '../status.ts';
import { Attachments, tapFor } from './attachments.ts';
import type { NetworkDefinitions } from './definitions.ts';
import { definitionOf } from './definitions.ts';
import type { HostPorts } from './host-ports.ts';
import type { EndpointSpec, MacInfo, NetworkDefinition, Networks, NetworkSpec } from './interface.ts';
import type { JoinedNetwork, JoinedNetworks } from './joined.ts';
import { LocalEndpoints, checkedEndpoint } from './local-endpoints.ts';
import type { LocalFiles } from './local-files.ts';
import { Turns } from './turns.ts';

export interface LocalOptions {
  readonly definitions: NetworkDefinitions;
  readonly joined: JoinedNetworks;
  readonly files: LocalFiles;
  readonly ports: HostPorts;
  readonly dataplane: Pick<Dataplane, 'onEvent'>;
  readonly reconciler: Pick<Reconciler, 'say' | 'takeBack' | 'setMeaning' | 'locals'>;
  /** Records were written. */
  readonly wrote: () => void;
  /** Put a TAP on every network. */
  readonly joinAll: boolean;
  readonly macQuota: number;
  readonly log: Log;
  /** Less in tests than RETRY_MS. */
  readonly retryMs?: number;
}

/** How often the cluster is told how many endpoints are on our networks. */
const TELL_MS = 1_000;
/** What could not be cut off or taken up is tried again. */
const RETRY_MS = 5_000;
/** Key of what is told of the whole. */
const FOLLOWING = 'following';

export class LocalNetworks implements Networks {
  readonly #options: LocalOptions;
  readonly #attachments: Attachments;
  readonly #endpoints: LocalEndpoints;
  readonly #turns = new Turns();
  /** Names by describeMac, by network and MAC. */
  readonly #described = new Map<string, string>();
  readonly #teller: NodeJS.Timeout;
  /** What of --join-all, an earlier run or a removed network failed, and was said. */
  #toldOf = new Set<string>();
  #retry: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: LocalOptions) {
    this.#options = options;
    this.#attachments = new Attachments(options);
    this.#endpoints = new LocalEndpoints({
      ...options,
      nameOf: (network, mac) => this.#described.get(`${network} ${mac}`),
    });
    options.dataplane.onEvent((event) => {
      if (event.type === 'tap-gone') this.#tapGone(event.port);
    });
    options.definitions.onChange(() => void this.#followAll());
    this.#teller = setInterval(() => {
      options.joined.announce();
      options.wrote();
    }, TELL_MS);
  }

  /** Takes up what an earlier run has left. What cannot be is said, and kept for later. */
  async start(): Promise<void> {
    const { files } = this.#options;
    this.#attachments.waiting = files.attachments();
    this.#endpoints.waiting = files.endpoints();
    await this.#followAll();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    clearInterval(this.#teller);
  }

  // Definitions

  list(): readonly NetworkDefinition[] {
    return this.#options.definitions.list();
  }

  find(nameOrId: string): NetworkDefinition | undefined {
    return this.#options.definitions.find(nameOrId);
  }

  isGone(id: string): boolean {
    return this.#options.definitions.isGone(id);
  }

  onChange(listener: () => void): void {
    this.#options.definitions.onChange(listener);
  }

  async create(spec: NetworkSpec): Promise<NetworkDefinition> {
    return this.#options.definitions.create(spec);
  }

  async remove(nameOrId: string, { force }: { readonly force: boolean }): Promise<void> {
    await this.removeNetwork(nameOrId, force);
  }

  async removeNetwork(nameOrId: string, force: boolean): Promise<NetworkRemoval> {
    // What is here now, not a second ago.
    this.#options.joined.announce();
    const removal = this.#options.definitions.remove(nameOrId, force);
    await this.#followAll();
    return removal;
  }

  // A TAP for a whole network

  attach(nameOrId: string, wanted?: string): Promise<JoinedNetwork> {
    const { id } = this.#options.definitions.known(nameOrId);
    return this.#turns.take(`network ${id}`, async () => {
      const definition = definitionOf(this.#options.definitions.known(id));
      const { name } = definition;
      const here = this.#joinedAs(id);
      if (here?.tap !== undefined) {
        if (wanted === undefined || wanted === here.tap) return here;
        const message = `network "${name}" is attached already, as ${here.tap}`;
        throw new OverlaydError('OVL_NETWORK_ATTACHED', message, {
          hint: `Use that TAP, or "overlayd networks detach ${name}" first.`,
        });
      }
      return this.#attach(definition, tapFor(definition, wanted), true);
    });
  }

  /** Containers that hang on it lose their interface; refused while they are seen, unless `force`. */
  detach(nameOrId: string, force: boolean): Promise<void> {
    const { id, value } = this.#options.definitions.known(nameOrId);
    return this.#turns.take(`network ${id}`, async () => {
      const here = this.#joinedAs(id);
      if (here === undefined || !this.#attachments.has(here.index)) throw notAttached(value.name, here);
      if (this.#options.joinAll) {
        throw new OverlaydError('OVL_JOIN_ALL', 'this host attaches every network (--join-all)', {
          hint: 'Restart overlayd without --join-all first.',
        });
      }
      if (!force) this.#refuseDetach(here);
      await this.#attachments.close(here.index);
      this.#leaveIfUnused(here.index);
    });
  }

  #refuseDetach({ index, vni, name, tap = '', tapMac }: JoinedNetwork): void {
    const own = new Set(this.#endpoints.on(index).map(({ mac }) => mac));
    const { first } = this.#options.reconciler.locals(vni, own.size + 1, tapMac);
    const other = first.find(({ mac }) => !own.has(mac));
    if (other === undefined) return;
    const which = other.name || other.ips[0] || 'a silent one';
    throw new OverlaydError('OVL_NETWORK_IN_USE', `containers are on ${tap}, such as ${which}`, {
      hint: `Stop them, or "overlayd networks detach ${name} --force": their interfaces go with the TAP.`,
    });
  }

  #attach(definition: NetworkDefinition, tap: string, byHand: boolean): JoinedNetwork {
    const { joined, wrote } = this.#options;
    if (this.usesTap(tap)) {
      throw new OverlaydError('OVL_TAP_BUSY', `TAP ${tap} is used already by overlayd`, {
        hint: 'Give this network another TAP with --tap.',
      });
    }
    const { index } = this.#join(definition);
    try {
      this.#attachments.open(joined.byIndex(index)!, tap, byHand);
    } finally {
      this.#leaveIfUnused(index);
      wrote();
    }
    return joined.byIndex(index)!;
  }

  /** An interface of ours has this name. */
  usesTap(tap: string): boolean {
    const isOfNetwork = this.#options.joined.list().some((network) => network.tap === tap);
    return isOfNetwork || this.#endpoints.withTap(tap) !== undefined;
  }

  // Endpoints

  /** The name of one with an interface of its own in the network of this index. */
  endpointOn(index: number): string | undefined {
    const [first] = this.#endpoints.on(index);
    return first && (first.spec.name ?? first.spec.ifName);
  }

  addEndpoint(given: EndpointSpec): Promise<OpenedTap> {
    return this.#turns.take(`endpoint ${given.id}`, async () => {
      const spec = checkedEndpoint(given);
      const definition = definitionOf(this.#options.definitions.known(spec.network));
      this.#endpoints.waiting = this.#endpoints.waiting.filter(({ id }) => id !== spec.id);
      if (this.#endpoints.get(spec.id) !== undefined) {
        return this.#endpoints.again(this.#joinedAs(definition.id), spec);
      }
      if (this.#attachments.isTap(spec.ifName)) {
        throw new OverlaydError('OVL_TAP_BUSY', `TAP ${spec.ifName} is that of a whole network`, {
          hint: 'Choose another interface name.',
        });
      }
      const network = this.#join(definition);
      try {
        const opened = this.#endpoints.add(network, spec);
        // Joining said that nothing is on it; who removes it meanwhile must be told.
        this.#options.joined.announce(network.index);
        return opened;
      } finally {
        this.#leaveIfUnused(network.index);
        this.#options.wrote();
      }
    });
  }

  removeEndpoint(id: string): Promise<void> {
    return this.#turns.take(`endpoint ${id}`, async () => {
      const spec = this.#endpoints.get(id);
      const network = spec && this.#joinedAs(spec.network);
      await this.#endpoints.remove(id);
      if (network !== undefined) this.#leaveIfUnused(network.index);
      this.#options.wrote();
    });
  }

  endpoints(): readonly EndpointSpec[] {
    return this.#endpoints.specs();
  }

  describeMac(network: string, mac: string, info: MacInfo | undefined): void {
    const definition = this.find(network);
    const here = definition && this.#joinedAs(definition.id);
    const canonical = canonicalMac(mac);
    if (canonical === undefined) return;
    const key = `${definition?.name ?? network} ${canonical}`;
    if (info?.name === undefined) this.#described.delete(key);
    else this.#described.set(key, info.name);
    if (here === undefined) return;
    const { reconciler } = this.#options;
    if (info === undefined) reconciler.takeBack(here.vni, parseMac(canonical));
    else reconciler.say(here.vni, parseMac(canonical), { ips: info.ips, name: info.name ?? '' });
  }

  #tapGone(port: number): void {
    const { log, ports } = this.#options;
    const endpoint = this.#endpoints.gone(port);
    const attached = endpoint === undefined ? this.#attachments.gone(port) : undefined;
    const tap = endpoint ?? attached;
    if (tap === undefined) return;
    if (endpoint !== undefined) log.info({ tap }, 'the interface of an endpoint is gone');
    else {
      const cure = '"overlayd networks detach" and "attach" make it again; then restart its containers';
      log.error({ tap }, `the TAP of a network was deleted: ${cure}`);
    }
    ports
      .close(port, true)
      .catch((err: unknown) => log.warn({ err, tap }, 'a TAP that is gone could not be let go'));
  }

  // What the cluster decides

  /** Never rejects: what fails is told of and tried again, for nobody may be waiting for it. */
  async #followAll(): Promise<void> {
    let isDone = false;
    try {
      isDone = await this.#follow();
      if (isDone) this.#toldOf.delete(FOLLOWING);
    } catch (err) {
      this.#tellOnce(
        FOLLOWING,
        { err },
        'what the cluster says of networks could not be followed; tried again',
      );
    }
    clearTimeout(this.#retry);
    if (!isDone && !this.#isClosed)
      this.#retry = setTimeout(() => void this.#followAll(), this.#options.retryMs ?? RETRY_MS);
  }

  #tellOnce(key: string, fields: object, words: string): void {
    if (!this.#toldOf.has(key)) this.#options.log.error(fields, words);
    this.#toldOf.add(key);
  }

  /**
   * Networks that are gone are cut off here, those with other numbers get them, and what waits for a network gets it; with
   * `joinAll` all are attached. False when something of a network that is gone is still here.
   */
  async #follow(): Promise<boolean> {
    const { definitions, joined, reconciler, wrote } = this.#options;
    const gone: JoinedNetwork[] = [];
    for (const network of joined.list()) {
      if (network.isConfigured) continue;
      const definition = definitions.find(network.id);
      if (definition === undefined) {
        // One of another host's configuration comes and goes with that host.
        if (definitions.isGone(network.id)) gone.push(network);
      } else if (joined.follow(network.index, definition)) this.#renumbered(network.index);
    }
    this.#retake();
    reconciler.setMeaning(meaningsBy(definitions.resolution));
    joined.announce();
    wrote();
    const cut = await Promise.all(gone.map((network) => this.#cut(network)));
    if (this.#options.joinAll) this.#attachAll();
    return cut.every(Boolean);
  }

  #renumbered(index: number): void {
    const network = this.#options.joined.byIndex(index)!;
    this.#options.log.info({ network: network.name, vni: network.vni }, 'network has another VNI now');
    this.#endpoints.sayAgain(network);
  }

  #retake(): void {
    const attachments = this.#attachments.waiting.filter((attachment) =>
      this.#retakeOne(attachment.network, attachment.tap, (network) =>
        this.#attachments.retake(network, attachment),
      ),
    );
    if (attachments.length < this.#attachments.waiting.length) this.#attachments.waiting = attachments;
    this.#endpoints.waiting = this.#endpoints.waiting.filter((spec) => {
      const isWaiting = this.#retakeOne(spec.network, spec.ifName, (network) =>
        this.#endpoints.retake(network, spec),
      );
      return isWaiting || !this.#forgetGone(spec);
    });
  }

  /** The file of an endpoint whose network is gone; false when it could not be removed. */
  #forgetGone({ id, network, ifName: tap }: EndpointSpec): boolean {
    const { definitions, files } = this.#options;
    try {
      if (definitions.isGone(network)) files.removeEndpoint(id);
      return true;
    } catch (err) {
      this.#tellOnce(`file ${id}`, { err, tap }, 'the file of an endpoint could not be removed');
      return false;
    }
  }

  /** True while its network is not known, or cannot be joined. */
  #retakeOne(id: string, tap: string, work: (network: JoinedNetwork) => void): boolean {
    const { definitions, ports, log } = this.#options;
    if (definitions.isGone(id)) {
      log.warn(
        { tap },
        'the network of an interface was removed while this host was away: the interface goes',
      );
      ports
        .sweep(tap)
        .catch((err: unknown) => log.warn({ err, tap }, 'an interface could not be taken away'));
      return false;
    }
    const definition = definitions.find(id);
    if (definition === undefined) return true;
    let network: JoinedNetwork | undefined;
    try {
      network = this.#join(definition);
      work(network);
    } catch (err) {
      this.#tellOnce(`retake ${tap}`, { err, tap }, 'an interface of an earlier run could not be taken up');
    }
    return network === undefined;
  }

  /** Whatever fails, the rest goes; false when something is still here. */
  #cut({ id, index, name, vni }: JoinedNetwork): Promise<boolean> {
    return this.#turns.take(`network ${id}`, async () => {
      const { log, joined } = this.#options;
      if (joined.byIndex(index)?.id !== id) return true;
      const endpoints = this.#endpoints.on(index);
      const tap = this.#attachments.tapOf(index);
      if ((endpoints.length > 0 || tap !== undefined) && !this.#toldOf.has(id)) {
        const fields = { network: name, vni, count: endpoints.length, ...(tap !== undefined && { tap }) };
        log.warn(fields, 'network was removed: its interfaces here go');
        this.#toldOf.add(id);
      }
      let isDone = true;
      for (const { spec } of endpoints)
        isDone = (await this.#cutOne(name, spec.ifName, () => this.removeEndpoint(spec.id))) && isDone;
      if (tap !== undefined)
        isDone = (await this.#cutOne(name, tap, () => this.#attachments.close(index))) && isDone;
      if (isDone) this.#toldOf.delete(id);
      this.#leaveIfUnused(index);
      return isDone;
    });
  }

  async #cutOne(network: string, tap: string, work: () => Promise<void>): Promise<boolean> {
    const key = `cut ${tap}`;
    try {
      await work();
      this.#toldOf.delete(key);
      return true;
    } catch (err) {
      this.#tellOnce(
        key,
        { err, network, tap },
        'an interface of a removed network could not be taken away; tried again',
      );
      return false;
    }
  }

  #attachAll(): void {
    const { definitions } = this.#options;
    for (const definition of definitions.list()) {
      const { id, name, vni } = definition;
      if (this.#joinedAs(id)?.tap !== undefined) continue;
      try {
        this.#attach(definition, tapFor(definition, undefined), false);
        this.#toldOf.delete(id);
      } catch (err) {
        this.#tellOnce(id, { err, network: name, vni }, 'a network cannot be joined (--join-all)');
      }
    }
  }

  // Inside

  #join(definition: NetworkDefinition): JoinedNetwork {
    return this.#joinedAs(definition.id) ?? this.#options.joined.join(definition);
  }

  /** A network of the configuration may be known by another id, where it is a made one too. */
  #joinedAs(id: string): JoinedNetwork | undefined {
    const { definitions, joined } = this.#options;
    const found = joined.get(id);
    if (found !== undefined) return found;
    const resolved = definitions.resolve(id);
    if (resolved === undefined) return undefined;
    const ids = new Set([resolved.id, ...resolved.aliases]);
    return joined.list().find((network) => ids.has(network.id));
  }

  #leaveIfUnused(index: number): void {
    if (this.#attachments.has(index) || this.#endpoints.isOn(index)) return;
    this.#options.joined.leave(index);
    this.#options.wrote();
  }
}

function notAttached(name: string, here: JoinedNetwork | undefined): OverlaydError {
  const isConfigured = here?.isConfigured === true;
  return new OverlaydError('OVL_NETWORK_NOT_ATTACHED', `network "${name}" is not attached here`, {
    hint: isConfigured
      ? 'It is in the configuration: take it out there.'
      : '"overlayd networks ls" shows TAPs.',
  });
}
