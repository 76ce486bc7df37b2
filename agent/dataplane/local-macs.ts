/**
 * The local MACs that control has been told of: what lost events are measured against.
 *
 * With several workers one of them sees an address first and the others are given the row. When that worker has seen
 * nothing for the ageing time the row goes from all of them; one that still sees the address learns it again at once.
 */
import type { DataplaneEvent, FdbRow } from './dataplane.ts';

export interface LocalMac {
  readonly network: number;
  readonly mac: number;
  readonly port: number;
}

export class LocalMacs {
  /** By network, then by MAC: the port. */
  readonly #ports = new Map<number, Map<number, number>>();

  port(network: number, mac: number): number | undefined {
    return this.#ports.get(network)?.get(mac);
  }

  set(network: number, mac: number, port: number): void {
    let macs = this.#ports.get(network);
    if (macs === undefined) this.#ports.set(network, (macs = new Map()));
    macs.set(mac, port);
  }

  delete(network: number, mac: number): void {
    this.#ports.get(network)?.delete(mac);
  }

  /** Forgets the addresses behind a port, and returns them. */
  takePort(network: number, port: number): number[] {
    const macs = this.#ports.get(network) ?? new Map<number, number>();
    const taken = [...macs].filter(([, place]) => place === port).map(([mac]) => mac);
    for (const mac of taken) macs.delete(mac);
    return taken;
  }

  deleteNetwork(network: number): void {
    this.#ports.delete(network);
  }

  *[Symbol.iterator](): Generator<LocalMac> {
    for (const [network, macs] of this.#ports) {
      for (const [mac, port] of macs) yield { network, mac, port };
    }
  }

  /** The events that were lost, judged by the rows that the tables have now. Updates the set. */
  resync(rows: readonly FdbRow[]): DataplaneEvent[] {
    const before = new LocalMacs();
    for (const { network, mac, port } of this) before.set(network, mac, port);
    this.#ports.clear();
    const events: DataplaneEvent[] = [];
    for (const { network, mac, local, destination: port } of rows) {
      if (!local) continue;
      this.set(network, mac, port);
      if (before.port(network, mac) !== port) {
        events.push({ type: 'mac-learned', network, port, mac, from: undefined });
      }
    }
    for (const { network, mac, port } of before) {
      if (this.port(network, mac) === undefined) events.push({ type: 'mac-expired', network, port, mac });
    }
    return events;
  }
}
