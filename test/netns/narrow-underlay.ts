/**
 * Two hosts with an underlay between them that narrows without a word: the bridge drops what is larger than its ports' MTU,
 * as a switch does, and nothing anywhere sends ICMP. The hosts' own interfaces keep 1,500 bytes.
 */
import type { Test } from 'tap';
import type { Daemon } from '../../agent/demo/daemon.ts';
import type { Container, Host } from '../../agent/demo/hosts.ts';
import { until } from '../../agent/demo/process.ts';
import type { Testbed } from '../../agent/demo/testbed.ts';
import { allKnown, allLearnt, testbedFor } from './cluster.ts';

export interface NarrowOptions {
  readonly underlay: 'ipv4' | 'ipv6';
  readonly argsOf?: (host: Host) => readonly string[];
  /** From before the daemons start. */
  readonly mtu?: number;
}

export class NarrowUnderlay {
  readonly testbed: Testbed;
  readonly daemons: readonly Daemon[];
  readonly containers: readonly [Container, Container];

  private constructor(testbed: Testbed, daemons: readonly Daemon[], containers: Container[]) {
    this.testbed = testbed;
    this.daemons = daemons;
    this.containers = containers as [Container, Container];
  }

  static async start(t: Test, options: NarrowOptions): Promise<NarrowUnderlay> {
    const { testbed, daemons } = testbedFor(t);
    for (let i = 0; i < 2; i++) {
      await canBeNarrowed(testbed.addHost());
    }
    if (options.mtu !== undefined) narrow(testbed, options.mtu);
    for (const host of testbed.hosts) {
      daemons.push(host.startDaemon({ underlay: options.underlay, args: options.argsOf?.(host) ?? [] }));
    }
    await Promise.all(daemons.map((daemon) => allKnown(daemon, 2)));
    const containers = testbed.hosts.map((host) => host.addContainer());
    await allLearnt(daemons, containers);
    return new NarrowUnderlay(testbed, daemons, containers);
  }

  /** From now on, both ways. */
  narrow(mtu: number): void {
    narrow(this.testbed, mtu);
  }

  /** Waits until each daemon says of the other what `is` takes. */
  async pathMtus(what: string, seconds: number, is: (pathMtu: number) => boolean): Promise<number[]> {
    return Promise.all(
      this.daemons.map((daemon) =>
        until(`${daemon.host.name}: ${what}`, seconds * 1000, async () => {
          const [peer] = await daemon.peers();
          return peer?.pathMtu !== undefined && is(peer.pathMtu) && peer.pathMtu;
        }),
      ),
    );
  }
}

/** Uncut, a run of datagrams would pass the bridge whatever their size. */
export async function canBeNarrowed(host: Host): Promise<void> {
  const names = ['tso', 'gso', 'tx-udp-segmentation', 'tx-checksumming'];
  const done = await host.exec(['ethtool', '-K', 'eth0', ...names.flatMap((name) => [name, 'off'])]);
  if (done.status !== 0) throw new Error(done.stderr);
}

/** Of all hosts, from now on, both ways. */
export function narrow(testbed: Testbed, mtu: number): void {
  for (const host of testbed.hosts) {
    testbed.ip('link', 'set', `p${host.number}`, 'mtu', `${mtu}`);
  }
}
