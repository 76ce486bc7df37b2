/** Subnets that are proposed when the user names none, and small arithmetic on prefixes. */
import ipaddr from 'ipaddr.js';
import type { Rng } from '../../../proto/env.ts';
import { cidrsOverlap } from '../../../proto/networks/cidr.ts';
import { parseCidr } from '../../config/address.ts';
import type { NetworkDefinition } from '../../networks/interface.ts';

/** 10.64.0.0/16 to 10.255.0.0/16: away from what Docker itself and the default network take. */
const FIRST_V4 = 64;
const COUNT_V4 = 192;

/** A subnet that overlaps none of `taken`; undefined when there is none left. */
export function freeSubnet(family: 4 | 6, taken: Iterable<string>, rng: Rng): string | undefined {
  const others = [...taken];
  if (family === 6) {
    // RFC 4193: 40 random bits. A collision is not to be expected, an overlap all the same is not taken.
    const cidr = `fd${hex(rng.u32() & 0xff, 2)}:${hex(rng.u32() & 0xffff, 4)}:${hex(rng.u32() & 0xffff, 4)}::/64`;
    return parseCidr(cidr)?.cidr.text;
  }
  const start = rng.u32() % COUNT_V4;
  for (let i = 0; i < COUNT_V4; i++) {
    const cidr = `10.${FIRST_V4 + ((start + i) % COUNT_V4)}.0.0/16`;
    if (!others.some((other) => cidrsOverlap(cidr, other))) return cidr;
  }
  return undefined;
}

/** `10.1.2.0/24` → `10.1.2.1`. */
export function firstAddress(cidr: string): string {
  const bytes = ipaddr.parse(addressOf(cidr)).toByteArray();
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) + 1;
  return ipaddr.fromByteArray(bytes).toString();
}

/** `10.1.2.3/24` → `10.1.2.3`. */
export function addressOf(cidr: string): string {
  return cidr.split('/')[0] ?? '';
}

export function lengthOf(cidr: string): number {
  return Number(cidr.split('/')[1] ?? Number.NaN);
}

export function subnetOf(
  network: Pick<NetworkDefinition, 'subnet' | 'subnet6'>,
  family: 4 | 6,
): string | undefined {
  return family === 4 ? network.subnet : network.subnet6;
}

export function gatewayOf(
  network: Pick<NetworkDefinition, 'gateway' | 'gateway6'>,
  family: 4 | 6,
): string | undefined {
  return family === 4 ? network.gateway : network.gateway6;
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}
