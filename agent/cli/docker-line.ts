/**
 * The exact `docker network create` line for a network (checklist T1, T6, T8).
 *
 * `-d macvlan` must be there: without it Docker makes a bridge network and silently ignores `parent`. Docker's own
 * address allocation is per host, so two hosts with the same subnet need disjoint `--ip-range`s.
 */

interface DockerSubnet {
  readonly subnet: string;
  readonly gateway?: string | undefined;
  readonly ipRange?: string | undefined;
}

export interface DockerNetwork extends DockerSubnet {
  readonly name: string;
  readonly tap: string;
  /** Of the second family. */
  readonly second?: DockerSubnet | undefined;
  /** Further words, such as `-o`, `macvlan_mode=vepa`. */
  readonly words?: readonly string[];
}

export function dockerLine({ name, tap, second, words = [], ...first }: DockerNetwork): string {
  const subnets = second === undefined ? [first] : [first, second];
  return [
    `docker network create -d macvlan -o parent=${quoted(tap)}`,
    ...words.map(quoted),
    ...(subnets.some(({ subnet }) => subnet.includes(':')) ? ['--ipv6'] : []),
    ...subnets.flatMap(({ subnet, gateway, ipRange }) => [
      `--subnet ${subnet}`,
      ...(gateway === undefined ? [] : [`--gateway ${gateway}`]),
      ...(ipRange === undefined ? [] : [`--ip-range ${ipRange}`]),
    ]),
    quoted(name),
  ].join(' ');
}

/** One word to a shell, whatever is in it. */
export function quoted(word: string): string {
  return /^[\w.:/@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

/** Said wherever the line has no --ip-range. */
export const IP_RANGE_NOTE =
  'Docker gives out addresses per host: with the same subnet on several hosts, all start at the same address. ' +
  '"overlayd docker-command NETWORK" prints the line with the --ip-range that belongs to this host alone.';
