/**
 * The exact `docker network create` line for a network (checklist T1, T6, T8).
 *
 * `-d macvlan` must be there: without it Docker makes a bridge network and silently ignores `parent`. Docker's own
 * address allocation is per host, so two hosts with the same subnet need disjoint `--ip-range`s.
 */

interface DockerNetwork {
  readonly name: string;
  readonly tap: string;
  readonly subnet: string;
  readonly gateway?: string | undefined;
  readonly ipRange?: string | undefined;
}

export function dockerLine({ name, tap, subnet, gateway, ipRange }: DockerNetwork): string {
  return [
    `docker network create -d macvlan -o parent=${tap}`,
    ...(subnet.includes(':') ? ['--ipv6'] : []),
    `--subnet ${subnet}`,
    ...(gateway === undefined ? [] : [`--gateway ${gateway}`]),
    ...(ipRange === undefined ? [] : [`--ip-range ${ipRange}`]),
    name,
  ].join(' ');
}

/** Said wherever the line has no --ip-range. */
export const IP_RANGE_NOTE =
  'Docker gives out addresses per host: with the same subnet on several hosts, all start at the same address. ' +
  '"overlayd docker-command NETWORK" prints the line with the --ip-range that belongs to this host alone.';
