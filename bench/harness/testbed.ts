/**
 * Two hosts on one wire: two network namespaces joined by a veth pair, MTU 1500, offloads as the kernel sets them (on).
 *
 * Every peer gets a testbed of its own, so that all stand at once and runs can alternate without rebuilding. Addresses
 * exist inside the namespaces only; names begin with `ovlbench-<pid>`. Everything made here, and every service started
 * through it, is undone by the cleanup stack.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CleanupStack } from './cleanup.ts';
import { Service, run } from './command.ts';
import type { CommandOptions } from './command.ts';
import { BenchError } from './errors.ts';

export type Side = 0 | 1;
export const SIDES: readonly Side[] = [0, 1];

/** Where traffic starts and ends. */
export interface Endpoint {
  readonly netns: string;
  readonly address: string;
}

/** `device`: the address is on the overlay's own interface; `macvlan`: on a child of it in a container's namespace. */
export type EndpointKind = 'device' | 'macvlan';

export const UNDERLAY_MTU = 1500;
const UNDERLAY_DEVICE = 'under0';
const CARRIER_WITHIN_MS = 10_000;
const DEVICE_WITHIN_MS = 5_000;
const REACHABLE_WITHIN_MS = 30_000;

export class Testbed {
  /** Begins the name of everything of this testbed; 20 characters at most. */
  readonly name: string;
  readonly underlayDevice = UNDERLAY_DEVICE;
  /** Addresses of the hosts on the wire. */
  readonly underlay: readonly [string, string];
  /** Addresses the endpoints get, one prefix of 24 bits. */
  readonly inner: readonly [string, string] = ['10.98.0.1', '10.98.0.2'];
  readonly signal: AbortSignal;
  readonly #cleanup: CleanupStack;

  constructor(index: number, cleanup: CleanupStack, signal: AbortSignal) {
    this.name = `ovlbench-${process.pid}-${index}`;
    this.underlay = [`10.97.${index}.1`, `10.97.${index}.2`];
    this.#cleanup = cleanup;
    this.signal = signal;
  }

  /** Namespace of a host. */
  netns(side: Side): string {
    return `${this.name}-${side === 0 ? 'a' : 'b'}`;
  }

  async create(): Promise<void> {
    for (const side of SIDES) await this.#addNetns(this.netns(side));
    const ends = ['type', 'veth', 'peer', 'name', UNDERLAY_DEVICE, 'netns', this.netns(1)];
    await run(['ip', '-n', this.netns(0), 'link', 'add', UNDERLAY_DEVICE, ...ends]);
    for (const side of SIDES) {
      await this.ip(side, ['addr', 'add', `${this.underlay[side]}/24`, 'dev', UNDERLAY_DEVICE]);
      await this.ip(side, ['link', 'set', UNDERLAY_DEVICE, 'mtu', String(UNDERLAY_MTU), 'up']);
    }
    for (const side of SIDES) await this.#waitCarrier(side);
  }

  /** `ip` in the namespace of a host. */
  ip(side: Side, args: readonly string[]): Promise<string> {
    return run(['ip', '-n', this.netns(side), ...args], { signal: this.signal });
  }

  run(side: Side, argv: readonly string[], options: CommandOptions = {}): Promise<string> {
    return run(argv, { signal: this.signal, ...options, netns: this.netns(side) });
  }

  /** Starts a daemon on a host; it is stopped with the testbed. */
  start(side: Side, argv: readonly string[], options: CommandOptions = {}): Service {
    const service = new Service(argv, { ...options, netns: this.netns(side) });
    this.defer(argv[0] ?? 'a service', () => service.stop());
    return service;
  }

  /** A new folder for root alone, removed with the testbed. */
  scratch(what: string): string {
    const folder = mkdtempSync(join(tmpdir(), `${this.name}-`));
    this.defer(what, () => rmSync(folder, { recursive: true, force: true }));
    return folder;
  }

  /** Until `service` has made its interface. */
  waitDevice(side: Side, device: string, service: Service): Promise<void> {
    const exists = (): Promise<boolean> =>
      this.ip(side, ['link', 'show', device]).then(
        () => true,
        () => false,
      );
    return service.waitUntil(exists, DEVICE_WITHIN_MS, this.signal);
  }

  defer(what: string, undo: () => Promise<unknown> | void): void {
    this.#cleanup.defer(what, undo);
  }

  /** Puts the inner addresses on `devices`, or on macvlan children of them, and waits until one reaches the other. */
  async attachEndpoints(
    devices: readonly [string, string],
    kind: EndpointKind,
  ): Promise<[Endpoint, Endpoint]> {
    const attach = (side: Side): Promise<Endpoint> =>
      kind === 'device' ? this.#attachDevice(side, devices[side]) : this.#attachMacvlan(side, devices[side]);
    const first = await attach(0);
    const second = await attach(1);
    await this.#waitReachable(first, second);
    return [first, second];
  }

  async #attachDevice(side: Side, device: string): Promise<Endpoint> {
    await this.ip(side, ['addr', 'add', `${this.inner[side]}/24`, 'dev', device]);
    await this.ip(side, ['link', 'set', device, 'up']);
    return { netns: this.netns(side), address: this.inner[side] };
  }

  async #attachMacvlan(side: Side, device: string): Promise<Endpoint> {
    const netns = `${this.netns(side)}c`;
    await this.#addNetns(netns);
    await this.ip(side, ['link', 'set', device, 'up']);
    const child = ['type', 'macvlan', 'mode', 'bridge'];
    // Made on the host and then moved, as Docker does it: overlayd sees it before it goes.
    await this.ip(side, ['link', 'add', 'mv0', 'link', device, ...child]);
    await this.ip(side, ['link', 'set', 'mv0', 'netns', netns, 'name', 'eth0']);
    await run(['ip', '-n', netns, 'link', 'set', 'eth0', 'up']);
    await run(['ip', '-n', netns, 'addr', 'add', `${this.inner[side]}/24`, 'dev', 'eth0']);
    return { netns, address: this.inner[side] };
  }

  /** The kernel tells of a carrier late, and programs overlook addresses of interfaces that do not run yet. */
  async #waitCarrier(side: Side): Promise<void> {
    const deadline = performance.now() + CARRIER_WITHIN_MS;
    while (!(await this.ip(side, ['link', 'show', UNDERLAY_DEVICE])).includes('state UP')) {
      if (performance.now() > deadline) throw new BenchError('the underlay did not come up');
      await sleep(50);
    }
  }

  async #waitReachable(from: Endpoint, to: Endpoint): Promise<void> {
    const deadline = performance.now() + REACHABLE_WITHIN_MS;
    const ping = ['ping', '-n', '-q', '-c', '1', '-W', '1', to.address];
    for (;;) {
      this.signal.throwIfAborted();
      const isReached = await run(ping, { netns: from.netns, signal: this.signal }).then(
        () => true,
        () => false,
      );
      if (isReached) return;
      if (performance.now() > deadline)
        throw new BenchError(`no ping through it within ${REACHABLE_WITHIN_MS / 1000} s`);
      await sleep(200);
    }
  }

  async #addNetns(netns: string): Promise<void> {
    await run(['ip', 'netns', 'add', netns], { signal: this.signal });
    this.defer(netns, () => run(['ip', 'netns', 'del', netns]));
    await run(['ip', '-n', netns, 'link', 'set', 'lo', 'up']);
  }
}
