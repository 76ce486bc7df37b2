/**
 * The TAPs that are open, by port, and the boards by which workers get their descriptors.
 *
 * A port that is being closed keeps its number until no worker holds its descriptors. This file knows no worker: who
 * calls it pushes the rows and waits.
 */
import { OverlaydError } from '../errors.ts';
import { addressFamily } from '../io/sockaddr.ts';
import { NO_DESCRIPTORS } from '../io/descriptor-store.ts';
import type { DescriptorStore } from '../io/descriptor-store.ts';
import { openStoredTap } from '../io/held-tap.ts';
import { closeTap, gsoMaxSegments, openTap, setTapMtu } from '../io/tap.ts';
import type { EndpointTap, Tap } from '../io/tap.ts';
import type { DataplaneOptions, OpenedTap, PortBinding, TapSpec } from './dataplane.ts';
import { PortBoard } from './port-board.ts';

const MAC_END = 2 ** 48;
const MAC_FIRST_BYTE = 2 ** 40;

/** What the core has room for. */
export interface PortLimits {
  readonly ports: number;
  readonly networks: number;
  readonly bindingIps: number;
}

export interface OpenPort {
  readonly spec: TapSpec;
  readonly tap: Tap;
  readonly opened: OpenedTap;
  /** Open from the start, and needed to the end. */
  readonly isFixed: boolean;
  /** As it is now; the specification has the first. */
  binding: PortBinding | undefined;
  /** Its interface was deleted, and this has been said. */
  isGone: boolean;
}

export class Ports {
  /** One for each worker place. */
  readonly boards: readonly PortBoard[];
  readonly opened = new Map<number, OpenedTap>();
  /** Segments that a super-frame of a TAP's children may have, by index of the TAP. */
  readonly childLimits = new Map<number, number>();
  readonly #io: DataplaneOptions['io'];
  readonly #descriptors: DescriptorStore;
  readonly limits: PortLimits;
  readonly #open = new Map<number, OpenPort>();
  readonly #closing = new Set<number>();

  constructor(
    { io, workers, descriptors }: Pick<DataplaneOptions, 'io' | 'workers' | 'descriptors'>,
    limits: PortLimits,
  ) {
    this.#io = io;
    this.#descriptors = descriptors ?? NO_DESCRIPTORS;
    this.limits = limits;
    this.boards = Array.from({ length: workers }, () => PortBoard.create(limits.ports));
  }

  get(port: number): OpenPort | undefined {
    return this.#open.get(port);
  }

  all(): Iterable<OpenPort> {
    return this.#open.values();
  }

  /** True while frames may be learnt from: the port is open, and in that network. */
  isIn(port: number, network: number): boolean {
    return this.#open.get(port)?.spec.network === network;
  }

  /** Opens a TAP and offers it to every worker; they take it as soon as they have the port's row. */
  open(spec: TapSpec, isFixed: boolean): OpenPort {
    this.#check(spec);
    const { name, mtu, persist } = spec;
    const offloads = this.#io === 'batch';
    const request = { name, mtu, queues: this.boards.length, offload: offloads, persist };
    const tap = spec.reflect
      ? openTap(request)
      : openStoredTap({ ...request, endpoint: endpointTap(spec) }, this.#descriptors);
    const { offload, udpOffload, existed } = tap;
    const opened = { name: tap.name, mtu: tap.mtu, offload, udpOffload, existed };
    const port: OpenPort = { spec, tap, opened, isFixed, binding: spec.binding, isGone: false };
    this.#open.set(spec.port, port);
    this.opened.set(spec.port, opened);
    if (offload && spec.reflect) this.childLimits.set(tap.index, gsoMaxSegments(tap.mtu, spec.sealBytes));
    this.boards.forEach((board, index) => board.want(spec.port, tap.fds[index] ?? -1));
    return port;
  }

  /** Throws OverlaydError when the port is not open, or nothing can be bound so. */
  bind(port: number, binding: PortBinding | undefined): void {
    const open = this.#mustGet(port);
    this.#checkBinding(binding);
    open.binding = binding;
  }

  /** Nothing for a port that is not open. Throws OverlaydError when the kernel refuses. */
  setMtu(port: number, mtu: number): void {
    const open = this.#open.get(port);
    const opened = this.opened.get(port);
    if (open === undefined || opened === undefined) return;
    setTapMtu(open.tap, mtu);
    this.opened.set(port, { ...opened, mtu });
  }

  /** First half of closing: no worker is offered the port any more. Throws when it is not open. */
  withdraw(port: number): OpenPort {
    const open = this.#mustGet(port);
    this.#open.delete(port);
    this.#closing.add(port);
    this.opened.delete(port);
    // The index of another TAP may be of another namespace, and somebody else's here.
    if (open.spec.reflect) this.childLimits.delete(open.tap.index);
    for (const board of this.boards) board.want(port, -1);
    return open;
  }

  isHeld(port: number): boolean {
    return this.boards.some((board) => board.isHeld(port));
  }

  /** Second half, when no worker holds it. */
  async close(port: OpenPort, removeTap: boolean): Promise<void> {
    if (!port.spec.reflect) this.#descriptors.drop(port.spec.name);
    await this.#close(port, removeTap);
  }

  /** Workers have ended. `remove`: the interfaces go as well; those that stay are held for the next run. */
  async closeAll(remove: (port: OpenPort) => boolean): Promise<void> {
    const ports = [...this.#open.values()];
    await Promise.all(
      ports.map((port) => {
        const open = this.withdraw(port.spec.port);
        return remove(port) || port.isGone ? this.close(open, true) : this.#close(open, false);
      }),
    );
  }

  async #close({ spec, tap, isGone }: OpenPort, removeTap: boolean): Promise<void> {
    await closeTap(tap, removeTap && !isGone);
    this.#closing.delete(spec.port);
  }

  #mustGet(port: number): OpenPort {
    const open = this.#open.get(port);
    if (open === undefined) throw new OverlaydError('OVL_PORT', `port ${port} is not open`);
    return open;
  }

  #checkBinding(binding: PortBinding | undefined): void {
    if (binding === undefined) return;
    const { mac, ips } = binding;
    const isUnicast = isIndex(mac, MAC_END) && mac > 0 && Math.floor(mac / MAC_FIRST_BYTE) % 2 === 0;
    if (!isUnicast)
      throw new OverlaydError('OVL_BINDING', 'a port cannot be bound to a multicast or zero MAC');
    for (const ip of ips) addressFamily(ip);
    if (ips.length <= this.limits.bindingIps) return;
    throw new OverlaydError('OVL_BINDING', `a port cannot be bound to ${ips.length} addresses`, {
      hint: `At most ${this.limits.bindingIps} are possible.`,
    });
  }

  #check({ port, network, binding }: TapSpec): void {
    const { ports, networks } = this.limits;
    if (!isIndex(port, ports) || !isIndex(network, networks)) {
      throw new OverlaydError('OVL_PORT', `there is no port ${port} in a network ${network}`, {
        hint: `A host has at most ${ports} ports and ${networks} networks.`,
      });
    }
    if (this.#open.has(port) || this.#closing.has(port)) {
      throw new OverlaydError('OVL_PORT', `port ${port} is in use`);
    }
    this.#checkBinding(binding);
  }
}

function endpointTap({ mtu, sealBytes, netns, binding }: TapSpec): EndpointTap {
  return {
    gsoMaxSegs: gsoMaxSegments(mtu, sealBytes),
    ...(binding === undefined ? {} : { mac: binding.mac }),
    ...(netns === undefined ? {} : { netns }),
  };
}

function isIndex(value: number, count: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < count;
}
