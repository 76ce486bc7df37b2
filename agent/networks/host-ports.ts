/** Ports of networks on this host: TAPs of ours in the data path, each under a number of its own. */
import { monotonicMs } from '../clock.ts';
import { SEAL_BYTES } from '../config/underlay.ts';
import type { Dataplane, OpenedTap, TapSpec } from '../dataplane/dataplane.ts';
import { OverlaydError } from '../errors.ts';
import type { DescriptorStore } from '../io/descriptor-store.ts';
import { interfaceIndex } from '../io/ifreq.ts';
import { closeQueues, closeTap, openTap } from '../io/tap.ts';
import type { Log } from '../log.ts';
import { isOutOfReach } from '../io/netns.ts';
import { IndexPool } from './index-pool.ts';
import type { JoinedNetwork } from './joined.ts';

export interface HostPortOptions {
  readonly dataplane: Pick<Dataplane, 'openPort' | 'closePort' | 'setTapMtu' | 'limits'>;
  /** Ports from here on are ours to give out; those below are of the configuration, each in the network of its number. */
  readonly firstPort: number;
  readonly workers: number;
  /** What an earlier run has left open; the data path takes it from there. */
  readonly descriptors: Pick<DescriptorStore, 'holds' | 'take' | 'drop'>;
  readonly log: Log;
}

/** What an open TAP is known by. */
export interface HostPort {
  readonly port: number;
  readonly opened: OpenedTap;
}

const LEFTOVER_MTU = 1_280;

export class HostPorts {
  readonly #options: HostPortOptions;
  readonly #numbers: IndexPool;
  /** Those that are open, by index of the network. */
  readonly #byNetwork = new Map<number, Set<number>>();

  constructor(options: HostPortOptions) {
    this.#options = options;
    for (let port = 0; port < options.firstPort; port++) this.#byNetwork.set(port, new Set([port]));
    this.#numbers = new IndexPool(options.firstPort, options.dataplane.limits.ports);
  }

  /** Persistent: containers keep their interfaces when the daemon ends. Throws OverlaydError; nothing is left then. */
  open(
    { index, mtu, encrypted }: JoinedNetwork,
    rest: Pick<TapSpec, 'name' | 'macQuota' | 'reflect' | 'netns' | 'binding' | 'isNeeded'>,
  ): HostPort {
    const { dataplane } = this.#options;
    const port = this.#numbers.take(monotonicMs());
    if (port === undefined) {
      const message = `this host has ${dataplane.limits.ports} ports, and all are in use`;
      throw new OverlaydError('OVL_PORTS_FULL', message, {
        hint: 'Stop containers, or wait some seconds, if some were just removed.',
      });
    }
    const sealBytes = encrypted ? SEAL_BYTES : 0;
    try {
      const opened = dataplane.openPort({ ...rest, network: index, port, mtu, persist: true, sealBytes });
      const ports = this.#byNetwork.get(index);
      if (ports === undefined) this.#byNetwork.set(index, new Set([port]));
      else ports.add(port);
      return { port, opened };
    } catch (error) {
      this.#numbers.free(monotonicMs(), port);
      throw error;
    }
  }

  /** The TAP goes, with whatever hangs on it; unless it is gone already, or is to stay. */
  async close(port: number, keepsTap = false): Promise<void> {
    for (const [network, ports] of this.#byNetwork) {
      if (ports.delete(port) && ports.size === 0) this.#byNetwork.delete(network);
    }
    await this.#options.dataplane.closePort(port, !keepsTap);
    this.#numbers.free(monotonicMs(), port);
  }

  /**
   * Gives all TAPs of a network, by index, another MTU, wherever they are. One that does not take it is said and keeps
   * what it has; throws OverlaydError when none does, unless all that do not are in containers out of our reach: those
   * have it when they are started again, and new ones at once.
   */
  setMtu(network: number, mtu: number): void {
    const { dataplane, log } = this.#options;
    const ports = this.#byNetwork.get(network) ?? [];
    const errors: unknown[] = [];
    let done = 0;
    let away = 0;
    for (const port of ports) {
      try {
        dataplane.setTapMtu(port, mtu);
        done++;
      } catch (error) {
        if (isOutOfReach(error)) away++;
        else errors.push(error);
      }
    }
    if (done + away === 0 && errors.length > 0) throw errors[0];
    if (away > 0)
      log.warn(
        { count: away, mtu },
        'containers keep the MTU that they have until they are started again: to reach into them takes CAP_SYS_ADMIN',
      );
    for (const err of errors) log.warn({ err, mtu }, 'a TAP keeps the MTU that it had');
  }

  /** It can be opened, wherever it is: an earlier run has left it open. */
  isHeld(name: string): boolean {
    return this.#options.descriptors.holds(name);
  }

  /**
   * Takes away a TAP that an earlier run made and that is not open. Only what was left open, or is on this host: else it
   * goes with the container that has it. What is no TAP, or busy, stays and is said; false when it is busy, and worth
   * another try.
   */
  async sweep(name: string): Promise<boolean> {
    const { workers: queues, descriptors, log } = this.#options;
    if (descriptors.holds(name)) {
      descriptors.drop(name);
      closeQueues(descriptors.take(name), true);
      return true;
    }
    if (interfaceIndex(name) === undefined) return true;
    try {
      await closeTap(openTap({ name, mtu: LEFTOVER_MTU, queues, offload: false, persist: true }), true);
      return true;
    } catch (err) {
      log.warn({ err, tap: name }, 'a TAP of an earlier run could not be taken away');
      return !(err instanceof OverlaydError && err.code === 'OVL_TAP_BUSY');
    }
  }
}
