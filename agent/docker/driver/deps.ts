/** What the driver is made of: the parts that it is given. */
import type { Rng } from '../../../proto/env.ts';
import type { Log } from '../../log.ts';
import type { Networks } from '../../networks/interface.ts';
import type { DockerApi } from '../client/api.ts';
import type { Book } from './book.ts';

/** Addresses of a network, each with one owning host. Throws OverlaydError. */
export interface DriverAddresses {
  /** With prefix length. */
  request(
    networkId: string,
    options: {
      readonly address?: string;
      readonly family: 4 | 6;
      readonly purpose?: 'endpoint' | 'gateway' | 'reserved' | 'restored';
    },
  ): Promise<string>;
  release(networkId: string, address: string): Promise<void>;
  /** What an earlier run gave out, by id of the network; for who keeps no records of its own. */
  restore?(held: Iterable<{ readonly network: string; readonly ip: string }>): void;
}

export interface DriverDeps {
  readonly book: Book;
  readonly networks: Pick<
    Networks,
    'list' | 'find' | 'isGone' | 'create' | 'remove' | 'addEndpoint' | 'removeEndpoint' | 'endpoints'
  >;
  readonly addresses: DriverAddresses;
  /** Undefined: there is no way to ask Docker. */
  readonly docker: Pick<DockerApi, 'network' | 'networks'> | undefined;
  /** As Docker knows us: the name of the socket file, or of the managed plugin. */
  readonly driverName: string;
  /** Global: Docker's swarm manager hands out networks and addresses for all its nodes. */
  readonly scope: 'local' | 'global';
  /** Why encrypted networks cannot be had on this host; undefined when they can. */
  readonly sealingProblem: string | undefined;
  readonly rng: Rng;
  /** Wall clock. */
  readonly now: () => number;
  readonly log: Log;
}

/** `overlayd`, or a managed plugin such as `overlayd:latest`. */
export function isDriver(name: string, driverName: string): boolean {
  const plain = name.split('/').at(-1)?.split(':')[0];
  return plain === driverName;
}
