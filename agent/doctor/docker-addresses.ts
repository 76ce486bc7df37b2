/**
 * Docker's own address management against ours (checklist T8): it knows of no other host, so it must hand out from a range
 * of this host alone, in the subnet and with the gateway that the network has everywhere (T6).
 */
import { cidrsOverlap } from '../../proto/networks/cidr.ts';
import { canonicalIp, cidrContains, cidrWithin, parseCidr } from '../config/address.ts';
import type { DockerNetwork, DockerSubnet } from './docker-facts.ts';
import type { OwnNetwork, OwnRange, OwnSubnet } from './own-networks.ts';
import type { Finding } from './finding.ts';

/** What is wrong with a subnet of a Docker network; the cure, where it is not to make the network anew. */
type Flaw = Pick<Finding, 'check' | 'severity' | 'what' | 'cure'>;

/** Docker's own IPAM; another driver may know of other hosts, as ours does. */
const DOCKER_IPAM = 'default';

/** Without `cure` it is to make the network anew. */
export function flawsOf(network: DockerNetwork, ours: OwnNetwork): Flaw[] {
  return network.ipam.flatMap((docker): Flaw[] => {
    const { subnet } = docker;
    const own = ours.subnets.find((each) => each.subnet.includes(':') === subnet?.includes(':'));
    if (subnet === undefined || own === undefined) return [];
    if (canonicalCidr(subnet) !== own.subnet) {
      const what = `its subnet is ${subnet}, that of network "${ours.name}" is ${own.subnet}`;
      return [{ check: 'docker-t8', severity: 'warn', what }];
    }
    return [
      ...(network.ipamDriver === DOCKER_IPAM ? rangeFlaws(docker.ipRange, own, ours.peers) : []),
      ...gatewayFlaws(docker.gateway, own, ours.name),
      ...reservedFlaws(docker, own, ours.name),
    ];
  });
}

function rangeFlaws(ipRange: string | undefined, own: OwnSubnet, peers: number): Flaw[] {
  const flaw = (severity: Finding['severity'], what: string): Flaw[] => [
    { check: 'docker-t8', severity, what },
  ];
  if (ipRange === undefined) {
    if (peers === 0 && isAlone(own)) return [];
    return flaw('warn', 'without --ip-range Docker hands out the same addresses on every host');
  }
  const owners = ownersOf(ipRange, own);
  const marked = own.ipRange;
  const part = marked === undefined ? '' : `; this host's part is ${marked}`;
  if (owners.length > 0)
    return flaw('error', `it hands out ${ipRange}, which belongs to ${owners.join(' and ')}${part}`);
  if (marked !== undefined && cidrWithin(ipRange, marked)) return [];
  if (own.isGiven) return flaw('error', `it hands out ${ipRange}${part}`);
  const mine = cidrsHere(own);
  if (mine.some((cidr) => cidrWithin(ipRange, cidr))) {
    const also = 'overlayd does not know that, and may give the same addresses to others';
    return flaw('warn', `it hands out ${ipRange}: ${also}${part}`);
  }
  if (mine.length === 0) return [];
  return flaw('error', `it hands out ${ipRange}, this host has only ${mine.join(' and ')}`);
}

function gatewayFlaws(gateway: string | undefined, own: OwnSubnet, name: string): Flaw[] {
  if (own.gateway === undefined) return [];
  if (gateway !== undefined && canonicalIp(gateway) === canonicalIp(own.gateway)) return [];
  const ours = `that of network "${name}" is ${own.gateway}`;
  const what =
    gateway === undefined
      ? `it was made without --gateway, and takes the first address of its range for one; ${ours}`
      : `its gateway is ${gateway}, ${ours}`;
  return [{ check: 'docker-t6', severity: 'warn', what }];
}

/** What is reserved on one host is handed out by another. */
function reservedFlaws({ reserved }: DockerSubnet, own: OwnSubnet, name: string): Flaw[] {
  return reserved.flatMap(({ name: label, ip }): Flaw[] => {
    if (own.gateway !== undefined && canonicalIp(ip) === canonicalIp(own.gateway)) return [];
    const owner = others(own).find(({ docker }) => docker.some((cidr) => cidrContains(cidr, ip)));
    if (owner === undefined) return [];
    return [
      {
        check: 'docker-t8',
        severity: 'warn',
        what: `it keeps ${ip} (--aux-address ${label}), but Docker on ${owner.host} hands it out`,
        cure: `Choose one of this host's addresses ("overlayd networks ranges ${name}"), or say the same --aux-address on ${owner.host} too.`,
      },
    ];
  });
}

const others = ({ ranges }: OwnSubnet): OwnRange[] =>
  ranges.filter(({ isOurs, cidrs }) => !isOurs && cidrs.length > 0);

const cidrsHere = ({ ranges }: OwnSubnet): string[] =>
  ranges.filter(({ isOurs }) => isOurs).flatMap(({ cidrs }) => [...cidrs]);

/** Nobody else has a part of it; as far as is known, where nothing is. */
function isAlone(own: OwnSubnet): boolean {
  const mine = cidrsHere(own);
  return others(own).length === 0 && (mine.length === 0 || mine.some((cidr) => cidrWithin(own.subnet, cidr)));
}

/**
 * Other hosts of whose addresses these are. Where the operator gives each host its range, only what Docker on another host
 * has from us is known for sure.
 */
function ownersOf(ipRange: string, own: OwnSubnet): string[] {
  const having = (of: (range: OwnRange) => readonly string[]): string[] =>
    others(own)
      .filter((range) => of(range).some((cidr) => cidrsOverlap(cidr, ipRange)))
      .map(({ host }) => host);
  const byDocker = having(({ docker }) => docker);
  return byDocker.length > 0 || own.isGiven ? byDocker : having(({ cidrs }) => cidrs);
}

const canonicalCidr = (text: string): string => parseCidr(text)?.cidr.text ?? text;
