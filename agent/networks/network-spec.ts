/** What a network to be made must fulfil, and whether one that is there is what was asked for. */
import { LABELS_MAX, LABEL_BYTES_MAX, labelBytes } from '../../proto/state/values/network.ts';
import { cidrContains, ipFamily, isReservedIn } from '../config/address.ts';
import { networkCreateSchema } from '../config/schema.ts';
import type { NetworkCreate } from '../config/schema.ts';
import { OverlaydError } from '../errors.ts';
import type { NetworkDefinition, NetworkSpec } from './interface.ts';

/** RFC 8200 section 5: IPv6 does not run on a link below it. */
const IPV6_MTU_MIN = 1_280;

export interface SpecLimits {
  /** What the underlay carries, bytes. */
  readonly largestMtu: (encrypted: boolean) => number;
  readonly hasKeyring: boolean;
}

/** Lists of any family, as people and the API give them, by family. Throws OverlaydError. */
export function specOf({ subnets = [], gateways = [], ...rest }: NetworkCreate): NetworkSpec {
  const [subnet, subnet6] = byFamily('subnet', subnets);
  const [gateway, gateway6] = byFamily('gateway', gateways);
  const given = { ...rest, subnet, subnet6, gateway, gateway6 };
  return Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  ) as unknown as NetworkSpec;
}

function byFamily(what: string, texts: readonly string[]): [string | undefined, string | undefined] {
  const ipv4 = texts.filter((text) => !text.includes(':'));
  const ipv6 = texts.filter((text) => text.includes(':'));
  if (ipv4.length > 1 || ipv6.length > 1) {
    throw invalid(`two of one family: a network has at most one ${what} of IPv4 and one of IPv6`);
  }
  return [ipv4[0], ipv6[0]];
}

/** Throws OverlaydError with exit code 2 for what can never be, whatever else there is. */
export function checkSpec(spec: NetworkSpec, limits: SpecLimits): void {
  checkForm(spec);
  checkGateway(spec.gateway, spec.subnet, 4);
  checkGateway(spec.gateway6, spec.subnet6, 6);
  const { encrypted = false, mtu, labels = {} } = spec;
  if (encrypted && !limits.hasKeyring) {
    throw new OverlaydError(
      'OVL_KEYRING_MISSING',
      `network "${spec.name}" cannot be encrypted: this host has no keyring`,
      {
        hint: 'Start overlayd with --keyring FILE, with a key that all hosts have; or leave --encrypted away.',
        exitCode: 2,
      },
    );
  }
  const largest = limits.largestMtu(encrypted);
  if (mtu !== undefined && mtu > largest) {
    throw invalid(`mtu ${mtu} does not fit the underlay of this host, at most ${largest}`);
  }
  if (spec.subnet6 !== undefined && (mtu ?? largest) < IPV6_MTU_MIN) {
    throw invalid(`mtu ${mtu ?? largest} is too small for IPv6, at least ${IPV6_MTU_MIN}`);
  }
  if (Object.keys(labels).length > LABELS_MAX || labelBytes(labels) > LABEL_BYTES_MAX) {
    throw invalid(`at most ${LABELS_MAX} labels, with ${LABEL_BYTES_MAX} bytes in all`);
  }
}

/** What comes from Docker has not been through the API's schema. */
function checkForm({ name, vni, mtu, labels, ...rest }: NetworkSpec): void {
  const subnets = [rest.subnet, rest.subnet6].filter((text) => text !== undefined);
  const gateways = [rest.gateway, rest.gateway6].filter((text) => text !== undefined);
  const given = { name, vni, mtu, labels, subnets, gateways };
  const result = networkCreateSchema.safeParse(given);
  if (result.success) return;
  const messages = result.error.issues.map(({ path: [key], message }) => `${String(key)}: ${message}`);
  throw invalid(messages.join('; '));
}

function checkGateway(gateway: string | undefined, subnet: string | undefined, family: 4 | 6): void {
  if (gateway === undefined) return;
  if (subnet === undefined) {
    throw invalid(`gateway ${gateway} needs an IPv${family} subnet to lie in: give it with --subnet`);
  }
  if (ipFamily(gateway) !== family || !cidrContains(subnet, gateway)) {
    throw invalid(`gateway ${gateway} is not in subnet ${subnet}`);
  }
  if (isReservedIn(subnet, gateway)) {
    throw invalid(`gateway ${gateway} is the network or broadcast address of ${subnet}`);
  }
}

function invalid(message: string): OverlaydError {
  return new OverlaydError('OVL_NETWORK_INVALID', message, { exitCode: 2 });
}

/** In words, each thing that was asked for and is otherwise; empty when the network is what was asked for. */
export function differences(spec: NetworkSpec, network: NetworkDefinition): string[] {
  const found: string[] = [];
  const keys = ['subnet', 'subnet6', 'gateway', 'gateway6', 'vni', 'mtu', 'encrypted', 'internal'] as const;
  for (const key of keys) {
    const wanted = spec[key];
    if (wanted !== undefined && wanted !== network[key]) {
      found.push(`${key} is ${network[key] ?? 'not set'}, not ${wanted}`);
    }
  }
  for (const [key, wanted] of Object.entries(spec.labels ?? {})) {
    const is = Object.hasOwn(network.labels, key) ? network.labels[key] : undefined;
    if (is !== wanted) found.push(`label ${key} is ${is ?? 'not set'}, not ${wanted}`);
  }
  return found;
}
