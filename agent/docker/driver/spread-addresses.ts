/**
 * Addresses of a network without asking anybody: each host begins at its own place of the subnet, by its place among the
 * members' names, and skips what the cluster knows to be in use.
 *
 * Two hosts give one address out only if they begin at one place (they see different members: a split, a host that has just
 * come) and choose within the time that the word of an endpoint takes. Duplicates are then named by the log and the doctor.
 */
import ipaddr from 'ipaddr.js';
import { OverlaydError } from '../../errors.ts';
import type { Networks } from '../../networks/interface.ts';
import type { DriverAddresses } from './deps.ts';
import { addressOf, lengthOf } from './subnets.ts';

export interface SpreadDeps {
  readonly self: string;
  readonly networks: Pick<Networks, 'find'>;
  /** Names of all members that are not gone, this host too. */
  members(): readonly string[];
  /** Addresses that endpoints of a network are known to have. */
  inUse(network: string): Iterable<string>;
}

interface Subnet {
  readonly text: string;
  readonly first: bigint;
  readonly size: bigint;
  readonly family: 4 | 6;
  readonly gateway: string | undefined;
  readonly name: string;
}

/** An IPv6 subnet is larger than what anybody walks through. */
const SIZE_MAX = 2n ** 24n;

export class SpreadAddresses implements DriverAddresses {
  readonly #deps: SpreadDeps;
  /** By id of the network. */
  readonly #held = new Map<string, Set<string>>();

  constructor(deps: SpreadDeps) {
    this.#deps = deps;
  }

  restore(held: Iterable<{ readonly network: string; readonly ip: string }>): void {
    for (const { network, ip } of held) this.#of(network).add(ip);
  }

  async request(id: string, options: { readonly address?: string; readonly family: 4 | 6 }): Promise<string> {
    const subnet = this.#subnet(id, options.family);
    const taken = new Set([...this.#of(id), ...this.#deps.inUse(subnet.name)]);
    if (subnet.gateway !== undefined) taken.add(subnet.gateway);
    const chosen =
      options.address === undefined ? this.#choose(subnet, taken) : given(subnet, options.address, taken);
    this.#of(id).add(chosen);
    return Promise.resolve(`${chosen}/${lengthOf(subnet.text)}`);
  }

  release(id: string, address: string): Promise<void> {
    this.#of(id).delete(address);
    return Promise.resolve();
  }

  #choose(subnet: Subnet, taken: ReadonlySet<string>): string {
    const { size } = subnet;
    const start = this.#place(size);
    for (let step = 0n; step < size; step++) {
      const offset = (start + step) % size;
      if (isSpecial(subnet, offset)) continue;
      const ip = textOf(subnet, offset);
      if (!taken.has(ip)) return ip;
    }
    throw new OverlaydError('OVL_ADDRESSES_EXHAUSTED', `no address of ${subnet.text} is left`, {
      hint: `Remove containers from "${subnet.name}", or make a network with a larger subnet.`,
    });
  }

  /** Where this host begins. */
  #place(size: bigint): bigint {
    const names = [...new Set([...this.#deps.members(), this.#deps.self])].sort();
    return (size * BigInt(names.indexOf(this.#deps.self))) / BigInt(names.length);
  }

  #of(id: string): Set<string> {
    const key = this.#deps.networks.find(id)?.id ?? id;
    const held = this.#held.get(key) ?? new Set<string>();
    this.#held.set(key, held);
    return held;
  }

  #subnet(id: string, family: 4 | 6): Subnet {
    const network = this.#deps.networks.find(id);
    const text = family === 4 ? network?.subnet : network?.subnet6;
    if (network === undefined || text === undefined) {
      throw new OverlaydError(
        'OVL_NO_SUBNET',
        `network "${network?.name ?? id}" has no IPv${family} subnet`,
        {
          hint: 'Make it with --subnet.',
        },
      );
    }
    const size = 2n ** BigInt((family === 4 ? 32 : 128) - lengthOf(text));
    const gateway = family === 4 ? network.gateway : network.gateway6;
    const first = numberOf(addressOf(text));
    return { text, first, size: size > SIZE_MAX ? SIZE_MAX : size, family, gateway, name: network.name };
  }
}

function given(subnet: Subnet, address: string, taken: ReadonlySet<string>): string {
  const offset = numberOf(address) - subnet.first;
  const end = 2n ** BigInt((subnet.family === 4 ? 32 : 128) - lengthOf(subnet.text));
  if (offset < 0n || offset >= end) {
    throw new OverlaydError(
      'OVL_ADDRESS_OUTSIDE',
      `${address} is not in ${subnet.text} of "${subnet.name}"`,
      {
        hint: 'Choose an address of the subnet.',
      },
    );
  }
  if (isSpecial(subnet, offset) || taken.has(address)) {
    throw new OverlaydError('OVL_ADDRESS_TAKEN', `${address} of "${subnet.name}" is taken`, {
      hint: `Choose another one; "overlayd fdb --network ${subnet.name}" shows those in use.`,
    });
  }
  return address;
}

/** The address of the subnet itself, and of IPv4 the broadcast address. */
function isSpecial({ family, size }: Subnet, offset: bigint): boolean {
  return offset === 0n || (family === 4 && offset === size - 1n);
}

function numberOf(ip: string): bigint {
  return ipaddr
    .parse(ip)
    .toByteArray()
    .reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
}

function textOf({ first, family }: Subnet, offset: bigint): string {
  let rest = first + offset;
  const bytes = Array.from({ length: family === 4 ? 4 : 16 }, () => 0);
  for (let i = bytes.length - 1; i >= 0; i--, rest /= 256n) bytes[i] = Number(rest % 256n);
  return ipaddr.fromByteArray(bytes).toString();
}
