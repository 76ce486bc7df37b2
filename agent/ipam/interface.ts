/** Addresses as the rest of the daemon asks for them: each has one owning host at any time. */
import type { OverlaydError } from '../errors.ts';

export interface AddressRequest {
  /** Exactly that one, without prefix length. */
  readonly address?: string;
  readonly family: 4 | 6;
  /**
   * A gateway is the same on all hosts and belongs to none. `reserved`: nobody gets it from us; `restored`: it was given
   * already, and what has it runs, here or elsewhere.
   */
  readonly purpose?: 'endpoint' | 'gateway' | 'reserved' | 'restored';
}

/** What one host has of one subnet. */
export interface HostRange {
  readonly host: string;
  readonly family: 4 | 6;
  readonly cidrs: readonly string[];
  /** Of these, what Docker's own IPAM on that host hands out from. */
  readonly docker: readonly string[];
  /** Hosts that keep a copy: after its lease they take over. */
  readonly guardians: readonly string[];
  /** Blocks on their way to another host. */
  readonly moving: readonly { readonly cidr: string; readonly to: string }[];
  /** Known exactly of this host, as a power of two of the others. */
  readonly free: string;
}

/** An address in use where it should not be. */
export interface AddressCollision {
  readonly address: string;
  /** Hosts that say they have it. */
  readonly hosts: readonly string[];
  /** In whose range it lies. */
  readonly owner: string | undefined;
  /**
   * `duplicate`: two have it; `docker-range`: Docker of the owner may hand it out; `foreign`: in somebody else's range, which
   * keeps off it; `reclaimed`: handed out here, but taken over by another host since.
   */
  readonly kind: 'duplicate' | 'docker-range' | 'foreign' | 'reclaimed';
}

export interface Reclaimed {
  readonly network: string;
  /** Taken over: none where it was refused. */
  readonly cidrs: readonly string[];
  readonly refused?: OverlaydError;
}

export interface DockerRangeOptions {
  readonly size?: number | undefined;
  readonly family?: 4 | 6 | undefined;
}

export interface Addresses {
  /**
   * An address that no other host can hand out, with its prefix length. Asks other hosts for a range when ours is used up.
   * Throws OverlaydError: exhausted, taken, nobody answered.
   */
  request(networkId: string, options: AddressRequest): Promise<string>;
  release(networkId: string, address: string): Promise<void>;
  /**
   * This host's block for Docker's own IPAM: one CIDR of a family (default: 4 where the network has it), the same ever after.
   * `size`: how many addresses.
   */
  dockerRange(networkId: string, options?: DockerRangeOptions): Promise<string>;
  ranges(networkId: string): readonly HostRange[];
  collisions(networkId: string): readonly AddressCollision[];
  /** Takes over, now, what a host had that is gone for good. */
  reclaim(host: string): Promise<readonly Reclaimed[]>;
}
