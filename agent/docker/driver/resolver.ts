/**
 * Which network of overlayd is a Docker network? They are one if they have one name.
 *
 * Docker never tells a driver the name. While it creates the network it knows it not itself (its API says 404), so the
 * answer to CreateNetwork cannot depend on it; right after that answer its API does tell, also while it waits for us in
 * any later call. So the name is asked for in the background after CreateNetwork, and at the latest before the first
 * address is given out. What cannot be made then is said there, to whoever starts the container.
 *
 * One resolution a network at a time; the rest waits for it.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { ipFamily } from '../../config/address.ts';
import { OverlaydError } from '../../errors.ts';
import type { NetworkDefinition, NetworkSpec } from '../../networks/interface.ts';
import { isAbsent } from '../client/api.ts';
import type { AddressPlan, NetworkRecord } from './book.ts';
import { isDriver } from './deps.ts';
import type { DriverDeps } from './deps.ts';
import { idleLabels, idleOf, liveGateway, plannedIdle } from './idle-gateway.ts';
import { readName, readOptions } from './options.ts';
import { canonical } from './pool-users.ts';
import { refused } from './refused.ts';
import { addressOf, freeSubnet, gatewayOf, subnetOf } from './subnets.ts';

/** Docker stores the network within milliseconds of our answer. */
const LOOKS_MS = [1, 5, 20, 100, 500, 2000] as const;
/** Marks networks that exist because Docker asked for them, and go with the last Docker that has them. */
export const DOCKER_LABEL = 'overlayd.docker';

export class Resolver {
  readonly #deps: DriverDeps;
  readonly #running = new Map<string, Promise<NetworkDefinition>>();
  readonly #abort = new AbortController();

  constructor(deps: DriverDeps) {
    this.#deps = deps;
  }

  close(): void {
    this.#abort.abort();
  }

  /** The network of ours, made if there is none of its name. Throws OverlaydError. */
  resolve(id: string): Promise<NetworkDefinition> {
    const running = this.#running.get(id);
    if (running !== undefined) return running;
    const started = this.#resolve(id).finally(() => this.#running.delete(id));
    this.#running.set(id, started);
    return started;
  }

  /** After CreateNetwork: asks until Docker knows it, so that a network stands before its first container. */
  async resolveSoon(id: string): Promise<void> {
    for (const waitMs of LOOKS_MS) {
      try {
        await pause(waitMs, undefined, { signal: this.#abort.signal, ref: false });
        if (!this.#deps.book.networks.has(id)) return;
        await this.resolve(id);
        return;
      } catch (error) {
        if (this.#abort.signal.aborted || !this.#deps.book.networks.has(id)) return;
        if (error instanceof OverlaydError && error.code === 'OVL_DOCKER_NAME') continue;
        this.#deps.log.warn({ err: error }, 'a Docker network cannot be had as it was asked for');
        return;
      }
    }
  }

  /** A network that Docker has and we know nothing of: our state was lost, or made by an earlier version. */
  async adopt(id: string): Promise<NetworkRecord | undefined> {
    const { docker, book, now, log, driverName } = this.#deps;
    const found = await docker?.network(id);
    if (found === undefined) return undefined;
    const plan = (family: 4 | 6): AddressPlan | undefined => {
      const config = found.IPAM.Config.find(({ Subnet }) => ipFamily(addressOf(Subnet)) === family);
      if (config === undefined) return undefined;
      const isOurs = isDriver(found.IPAM.Driver, driverName);
      const gateway = addressOf(config.Gateway);
      return {
        cidr: canonical(config.Subnet),
        isGiven: false,
        isGatewayGiven: false,
        isOurs,
        ...(gateway !== '' && { gateway }),
      };
    };
    const [plan4, plan6] = [plan(4), plan(6)];
    const record: NetworkRecord = {
      id,
      name: found.Name,
      options: readOptions(found.Options),
      internal: found.Internal,
      ...(plan4 && { plan4 }),
      ...(plan6 && { plan6 }),
      sinceMs: now(),
    };
    book.putNetwork(record);
    log.info({ network: found.Name }, 'taken over from Docker: a network that was not in our records');
    return record;
  }

  async #resolve(id: string): Promise<NetworkDefinition> {
    const { book, networks, scope } = this.#deps;
    const record = book.networks.get(id) ?? (await this.adopt(id));
    if (record === undefined) throw unknown(id);
    const known = record.overlay && networks.find(record.overlay.id);
    if (known !== undefined) return known;
    const name = await this.#nameOf(record);
    const existing = networks.find(name);
    if (existing !== undefined) refuseDifferences(record, existing, scope);
    // DeleteNetwork may have come while Docker was asked for the name: then it is nobody's to make.
    if (!book.networks.has(id)) throw unknown(id);
    const definition = existing ?? (await this.#create(record, name));
    // DeleteNetwork may have come meanwhile.
    const now = book.networks.get(id);
    if (now !== undefined) book.putNetwork({ ...now, overlay: snapshotOf(definition) });
    return definition;
  }

  async #create(record: NetworkRecord, name: string): Promise<NetworkDefinition> {
    const { networks, scope } = this.#deps;
    try {
      return await networks.create(this.#specOf(record, name));
    } catch (error) {
      // Another host made it in this moment, not in the very same words.
      const there = networks.find(name);
      if (there === undefined) throw error;
      refuseDifferences(record, there, scope);
      return there;
    }
  }

  async #nameOf(record: NetworkRecord): Promise<string> {
    const { docker, book } = this.#deps;
    if (record.options.name !== undefined) return record.options.name;
    if (record.overlay !== undefined) return record.overlay.name;
    if (record.name !== undefined) return readName(record.name);
    const found = await docker?.network(record.id).catch((error: unknown) => {
      if (isAbsent(error)) return undefined;
      throw error;
    });
    if (found === undefined) {
      throw new OverlaydError(
        'OVL_DOCKER_NAME',
        `overlayd cannot learn the name of Docker network ${record.id.slice(0, 12)}`,
        {
          hint: "Give overlayd Docker's socket with --docker-socket, or create the network with --opt name=NAME.",
        },
      );
    }
    const now = book.networks.get(record.id);
    if (now !== undefined) book.putNetwork({ ...now, name: found.Name });
    return readName(found.Name);
  }

  #specOf(record: NetworkRecord, name: string): NetworkSpec {
    const { overlay, options, internal } = record;
    const idle = overlay?.idleGateway ?? plannedIdle(record);
    const labels = { [DOCKER_LABEL]: 'true', ...idleLabels(idle) };
    // It was there once: as it was.
    if (overlay !== undefined) {
      const { id: _, idleGateway: __, ...rest } = overlay;
      return { ...(rest as Omit<NetworkDefinition, 'id'>), labels };
    }
    const { vni, mtu, encrypted } = options;
    const plan4 = this.#unused(record, 4);
    const plan6 = this.#unused(record, 6);
    return {
      name,
      labels,
      ...(plan4 && { subnet: plan4.cidr, ...(plan4.gateway !== undefined && { gateway: plan4.gateway }) }),
      ...(plan6 && { subnet6: plan6.cidr, ...(plan6.gateway !== undefined && { gateway6: plan6.gateway }) }),
      ...(vni !== undefined && { vni }),
      ...(mtu !== undefined && { mtu }),
      ...(encrypted !== undefined && { encrypted }),
      ...(internal && { internal }),
    };
  }

  /** A subnet that was proposed for another network of the cluster, and turned out to be for a new one, is chosen anew. */
  #unused({ plan4, plan6 }: NetworkRecord, family: 4 | 6): AddressPlan | undefined {
    const { networks, book, rng } = this.#deps;
    const plan = family === 4 ? plan4 : plan6;
    if (plan === undefined || plan.isGiven) return plan;
    const known = networks.list().flatMap((other) => subnetOf(other, family) ?? []);
    if (!known.includes(plan.cidr)) return plan;
    // IPv4 alone is chosen for a network that says nothing of subnets, with an eye on routes.
    if (plan6 === undefined) return undefined;
    const { gateway: _, ...rest } = plan;
    const pools = Array.from(book.pools.values(), ({ cidr }) => cidr);
    const cidr = freeSubnet(family, [...known, ...pools], rng);
    if (cidr !== undefined) return { ...rest, cidr };
    throw refused('OVL_DOCKER_POOLS', 'no subnet is left for the network', 'Give one with --subnet.');
  }
}

function unknown(id: string): OverlaydError {
  return new OverlaydError(
    'OVL_DOCKER_NETWORK',
    `Docker network ${id.slice(0, 12)} is not known to overlayd`,
    { hint: 'Remove it and create it again.' },
  );
}

function snapshotOf(definition: NetworkDefinition): NonNullable<NetworkRecord['overlay']> {
  const { id, name, vni, subnet, subnet6, gateway, gateway6, mtu, encrypted, internal } = definition;
  return {
    id,
    name,
    vni,
    mtu,
    encrypted,
    internal,
    ...(subnet !== undefined && { subnet }),
    ...(subnet6 !== undefined && { subnet6 }),
    ...(gateway !== undefined && { gateway }),
    ...(gateway6 !== undefined && { gateway6 }),
    idleGateway: idleOf(definition),
  };
}

/**
 * What the user said on this host must hold for the network that is there; what was not said is taken as it is. In swarm
 * (`scope` global) nodes are told the manager's gateway, whether the user gave it or not.
 */
export function refuseDifferences(
  record: Pick<NetworkRecord, 'options' | 'plan4' | 'plan6'>,
  there: NetworkDefinition,
  scope: DriverDeps['scope'],
): void {
  const { options, plan4, plan6 } = record;
  const differences: string[] = [];
  const compare = (
    what: string,
    asked: string | number | undefined,
    has: string | number | undefined,
  ): void => {
    if (asked !== undefined && asked !== has)
      differences.push(`${what} ${asked} was asked for, it has ${has ?? 'none'}`);
  };
  compare('VNI', options.vni, there.vni);
  compare('MTU', options.mtu, there.mtu);
  if (options.encrypted !== undefined && options.encrypted !== there.encrypted) {
    differences.push(there.encrypted ? 'it is encrypted' : 'encryption was asked for, it is in clear');
  }
  for (const [plan, family] of [
    [plan4, 4],
    [plan6, 6],
  ] as const) {
    if (plan === undefined) continue;
    const subnet = subnetOf(there, family);
    if (subnet === undefined && plan === plan6) differences.push('IPv6 was asked for, it has no IPv6 subnet');
    else if (plan.isGiven) compare('subnet', plan.cidr, subnet);
    if (!plan.isGatewayGiven) continue;
    const [gateway, live] = [gatewayOf(there, family), liveGateway(there, family)];
    if (scope === 'local') compare('gateway', plan.gateway, live);
    else if (gateway !== undefined) compare('gateway', plan.gateway, gateway);
  }
  if (differences.length === 0) return;
  throw new OverlaydError(
    'OVL_NETWORK_DIFFERS',
    `the hosts have a network "${there.name}" already, and it differs: ${differences.join('; ')}`,
    {
      hint: `Remove this Docker network and create it without what differs, or under another name (--opt name=NAME).`,
    },
  );
}
