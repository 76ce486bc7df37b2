/**
 * Docker's network driver, the half about containers: each endpoint is a TAP of its own. Its descriptor stays here, its
 * interface is moved into the container by Docker, and back to the host (under its first name, down) when the container
 * leaves.
 *
 * Docker repeats a call whose answer it did not get, so every call may come twice. An endpoint is written down before
 * its TAP is made: what a crash leaves behind is known.
 */
import { canonicalMac, ipFamily } from '../../config/address.ts';
import { OverlaydError } from '../../errors.ts';
import type { NetworkDefinition } from '../../networks/interface.ts';
import type { EndpointRecord, NetworkRecord } from './book.ts';
import type { DriverDeps } from './deps.ts';
import { liveGateway } from './idle-gateway.ts';
import { publishedPorts } from './messages.ts';
import type { Resolver } from './resolver.ts';
import { addressOf } from './subnets.ts';

/** Interface names have 15 characters. */
const IF_PREFIX = 'ovl';
const IF_ID_DIGITS = 12;
/** Whole ranges may be published. */
const PORTS_SHOWN = 8;

interface EndpointKey {
  readonly NetworkID: string;
  readonly EndpointID: string;
}

export class DockerEndpoints {
  readonly #deps: DriverDeps;
  readonly #resolver: Resolver;
  /** CreateEndpoint and DeleteEndpoint of one endpoint, one after the other. */
  readonly #busy = new Map<string, Promise<unknown>>();

  constructor(deps: DriverDeps, resolver: Resolver) {
    this.#deps = deps;
    this.#resolver = resolver;
  }

  /** A call on this endpoint is being worked on. */
  isBusy(endpoint: string): boolean {
    return this.#busy.has(endpoint);
  }

  create(
    request: EndpointKey & {
      readonly Interface: {
        readonly Address: string;
        readonly AddressIPv6: string;
        readonly MacAddress: string;
      };
      readonly Options: Readonly<Record<string, unknown>>;
    },
  ): Promise<object> {
    return this.#inTurn(request.EndpointID, async () => {
      const { book, networks, rng, now } = this.#deps;
      const given = request.Interface.MacAddress === '' ? undefined : readMac(request.Interface.MacAddress);
      const answer = (mac: string): object => (given === undefined ? { Interface: { MacAddress: mac } } : {});
      const before = book.endpoints.get(request.EndpointID);
      if (before !== undefined) {
        await networks.addEndpoint(specOf(before));
        return answer(before.mac);
      }
      const definition = await this.#resolver.resolve(request.NetworkID);
      const ips = [request.Interface.Address, request.Interface.AddressIPv6].flatMap(
        (address) => addressOf(address) || [],
      );
      const mac = given ?? macFor(ips, rng.u32());
      await this.#makeRoom(request, ips);
      const claimed = await this.#claimForeign(book.networks.get(request.NetworkID), definition, ips);
      const endpoint: EndpointRecord = {
        id: request.EndpointID,
        network: request.NetworkID,
        overlay: definition.id,
        ifName: `${IF_PREFIX}${request.EndpointID.slice(0, IF_ID_DIGITS)}`,
        mac,
        ips,
        claimed,
        sinceMs: now(),
      };
      try {
        book.putEndpoint(endpoint);
        await networks.addEndpoint(specOf(endpoint));
      } catch (error) {
        await this.#releaseClaims(endpoint);
        book.deleteEndpoint(endpoint.id);
        throw error;
      }
      this.#sayUnpublished(definition.name, ips, publishedPorts(request.Options));
      return answer(mac);
    });
  }

  join(request: EndpointKey & { readonly SandboxKey: string }): object {
    const { book, networks } = this.#deps;
    const { isLeft: _, ...endpoint } = this.#known(request);
    book.putEndpoint({ ...endpoint, sandbox: request.SandboxKey });
    const definition = networks.find(endpoint.overlay);
    const isInternal =
      definition?.internal === true || book.networks.get(endpoint.network)?.internal === true;
    const gateway = (family: 4 | 6): string => {
      const isThere = endpoint.ips.some((ip) => ipFamily(ip) === family);
      return (isThere && !isInternal && definition && liveGateway(definition, family)) || '';
    };
    return {
      InterfaceName: { SrcName: endpoint.ifName, DstPrefix: 'eth' },
      Gateway: gateway(4),
      GatewayIPv6: gateway(6),
      StaticRoutes: [],
      // Or Docker would give the container a second interface on a bridge of its own.
      DisableGatewayService: true,
    };
  }

  leave(request: EndpointKey): object {
    const { book } = this.#deps;
    const endpoint = book.endpoints.get(request.EndpointID);
    if (endpoint?.sandbox === undefined) return {};
    const { sandbox: _, ...rest } = endpoint;
    book.putEndpoint({ ...rest, isLeft: true });
    return {};
  }

  delete(request: EndpointKey): Promise<object> {
    return this.#inTurn(request.EndpointID, async () => {
      const endpoint = this.#deps.book.endpoints.get(request.EndpointID);
      if (endpoint !== undefined) await this.#remove(endpoint);
      return {};
    });
  }

  /** The endpoint of a Docker network that has this address. */
  withIp(network: string, ip: string): EndpointRecord | undefined {
    return [...this.#deps.book.endpoints.values()].find(
      (endpoint) => endpoint.network === network && endpoint.ips.includes(ip),
    );
  }

  /**
   * Docker gives an address back. It deletes the endpoint before that, so one of an earlier run that has the address still is
   * one whose deletion was lost. False when one of this run has it: then it was refused to whoever gives it back.
   */
  async giveUp(network: string, ip: string): Promise<boolean> {
    const endpoint = this.withIp(network, ip);
    if (endpoint === undefined) return true;
    if (!this.#deps.book.isInherited(endpoint)) return false;
    await this.discard(endpoint);
    return true;
  }

  /** Takes away an endpoint that Docker no longer has. */
  discard(endpoint: EndpointRecord): Promise<void> {
    return this.#inTurn(endpoint.id, () => this.#remove(endpoint));
  }

  /**
   * Opens the TAP of an endpoint again, where it is, after a restart or when it could not be opened before. It may have been
   * deleted meanwhile, or its container may have left. Throws OverlaydError.
   */
  reopen(id: string): Promise<void> {
    return this.#inTurn(id, async () => {
      const { book, networks } = this.#deps;
      const before = book.endpoints.get(id);
      if (before === undefined || before.isLeft === true) return;
      const overlay = await this.#overlayOf(before);
      // Join and Leave do not wait for their turn.
      const now = book.endpoints.get(id);
      if (now === undefined || now.isLeft === true) return;
      const { sandbox } = now;
      const endpoint = { ...now, overlay };
      if (overlay !== now.overlay) book.putEndpoint(endpoint);
      await networks.addEndpoint({ ...specOf(endpoint), ...(sandbox !== undefined && { netns: sandbox }) });
    });
  }

  async #overlayOf({ overlay, network }: EndpointRecord): Promise<string> {
    const { networks, book } = this.#deps;
    if (networks.find(overlay) !== undefined || !book.networks.has(network)) return overlay;
    // By an operator, knowing that it cuts containers off: only one that is started asks for it again.
    if (networks.isGone(overlay)) {
      throw new OverlaydError('OVL_NETWORK_GONE', 'its network was removed', {
        hint: 'Start the container again: that makes the network too.',
      });
    }
    // The network may not have come by gossip yet: what we know of it is enough to go on.
    return (await this.#resolver.resolve(network)).id;
  }

  /** Docker itself takes `-p` on any network, and leaves it to the driver. */
  #sayUnpublished(network: string, ips: readonly string[], ports: readonly string[]): void {
    if (ports.length === 0) return;
    const shown = ports.slice(0, PORTS_SHOWN).join(', ');
    const more = ports.length > PORTS_SHOWN ? ` and ${ports.length - PORTS_SHOWN} more` : '';
    const cure = 'start the container on a bridge network and connect it to this one';
    this.#deps.log.warn(
      { network, ip: ips.join(',') },
      `published ports (-p) do nothing on networks of overlayd yet: ${shown}${more}; ${cure}`,
    );
  }

  /** No two endpoints have one address; nor one MAC, which follows from it. */
  async #makeRoom({ NetworkID }: EndpointKey, ips: readonly string[]): Promise<void> {
    for (const ip of ips) {
      const other = this.withIp(NetworkID, ip);
      if (other === undefined) continue;
      // Whoever else gives out addresses has this one back, so the other one's DeleteEndpoint was lost.
      if (other.claimed.includes(ip)) {
        await this.discard(other);
        continue;
      }
      throw new OverlaydError('OVL_ADDRESS_TAKEN', `${ip} was taken by another container in this moment`, {
        hint: 'Choose another address, or none: then a free one is taken.',
      });
    }
  }

  /** Another IPAM driver chose these, knowing this host alone: they must be ours to use. */
  async #claimForeign(
    network: NetworkRecord | undefined,
    definition: NetworkDefinition,
    ips: readonly string[],
  ): Promise<string[]> {
    const claimed: string[] = [];
    try {
      for (const ip of ips) {
        const family = ipFamily(ip);
        if ((family === 4 ? network?.plan4 : network?.plan6)?.isOurs !== false) continue;
        await this.#deps.addresses.request(definition.id, { address: ip, family, purpose: 'endpoint' });
        claimed.push(ip);
      }
      return claimed;
    } catch (error) {
      for (const ip of claimed) await this.#deps.addresses.release(definition.id, ip);
      throw new OverlaydError(
        'OVL_DOCKER_IPAM',
        `Docker's own address management chose an address that is not this host's to give: ${(error as Error).message}`,
        { hint: 'Create the network with "--ipam-driver overlayd".', cause: error },
      );
    }
  }

  async #remove(endpoint: EndpointRecord): Promise<void> {
    await this.#deps.networks.removeEndpoint(endpoint.id);
    await this.#releaseClaims(endpoint);
    this.#deps.book.deleteEndpoint(endpoint.id);
  }

  async #releaseClaims(endpoint: EndpointRecord): Promise<void> {
    for (const ip of endpoint.claimed) await this.#deps.addresses.release(endpoint.overlay, ip);
  }

  #known({ EndpointID: id }: EndpointKey): EndpointRecord {
    const endpoint = this.#deps.book.endpoints.get(id);
    if (endpoint !== undefined) return endpoint;
    throw new OverlaydError('OVL_DOCKER_ENDPOINT', `endpoint ${id.slice(0, 12)} is not known to overlayd`, {
      hint: 'Start the container again.',
    });
  }

  async #inTurn<T>(id: string, work: () => Promise<T>): Promise<T> {
    const done = (this.#busy.get(id) ?? Promise.resolve()).catch(() => undefined).then(work);
    this.#busy.set(id, done);
    try {
      return await done;
    } finally {
      if (this.#busy.get(id) === done) this.#busy.delete(id);
    }
  }
}

function specOf(endpoint: EndpointRecord): {
  id: string;
  network: string;
  ifName: string;
  mac: string;
  ips: readonly string[];
} {
  const { id, overlay, ifName, mac, ips } = endpoint;
  return { id, network: overlay, ifName, mac, ips };
}

/** As Docker makes them: 02:42 and the IPv4 address, which only one endpoint of the network has; else at random. */
export function macFor(ips: readonly string[], random: number): string {
  const ipv4 = ips.find((ip) => ipFamily(ip) === 4);
  const bytes =
    ipv4 === undefined
      ? [random >>> 24, (random >>> 16) & 0xff, (random >>> 8) & 0xff, random & 0xff]
      : ipv4.split('.').map(Number);
  const prefix = ipv4 === undefined ? [0x02, 0x66] : [0x02, 0x42];
  return [...prefix, ...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

function readMac(text: string): string {
  const mac = canonicalMac(text);
  if (mac !== undefined) return mac;
  throw new OverlaydError('OVL_DOCKER_MAC', `"${text}" is no unicast MAC address`, {
    hint: 'Give one such as 02:42:0a:2a:00:02.',
  });
}
