/** The traps of Docker's macvlan driver and address management (checklist T1, T3 to T8), judged from what it says of itself. */
import { dockerLine, quoted } from '../cli/docker-line.ts';
import { flawsOf } from './docker-addresses.ts';
import type { DockerEndpoint, DockerFacts, DockerNetwork } from './docker-facts.ts';
import type { Finding } from './finding.ts';
import type { OwnNetwork } from './own-networks.ts';

export interface OwnFacts {
  readonly networks: readonly OwnNetwork[];
  readonly ports: readonly number[];
  /** Endpoints on other hosts. */
  readonly remote: readonly {
    readonly network: string;
    readonly mac: string;
    readonly ips: readonly string[];
    readonly owner: string;
  }[];
}

const DOCKER_MTU = 'com.docker.network.driver.mtu';
const DEFAULT_MODE = 'bridge';

export function checkDocker(docker: DockerFacts, own: OwnFacts): Finding[] {
  const byTap = new Map(own.networks.map((network) => [network.tap, network]));
  return [
    ...checkSwarm(docker, own.ports),
    ...docker.networks.flatMap((network) => {
      const { parent } = network.options;
      if (parent === undefined) return [];
      const [tap = parent, vlan] = parent.split('.');
      const ours = byTap.get(tap);
      if (network.driver === 'bridge') return [bridgeWithParent(network, parent, ours)];
      if (network.driver !== 'macvlan' || ours === undefined) return [];
      const endpoints = docker.endpoints.filter((endpoint) => endpoint.network === network.name);
      return [
        ...checkMode(network),
        ...checkTap(network, ours),
        ...checkVlan(network, ours, vlan),
        ...checkMtuOf(network, ours, endpoints),
        ...checkAddresses(network, ours, endpoints),
        ...checkTwins(ours, endpoints, own),
      ];
    }),
  ];
}

function checkSwarm({ swarmDataPort }: DockerFacts, ports: readonly number[]): Finding[] {
  const shared = [swarmDataPort, 7946].filter((port) => port !== undefined && ports.includes(port));
  if (swarmDataPort === undefined || shared.length === 0) return [];
  return [
    {
      check: 'docker-t3',
      severity: 'error',
      what: `dockerd is in swarm mode and uses port ${shared.join(' and ')}, as overlayd does`,
      cure: 'Give overlayd --data-port and --gossip-port on all hosts, or "docker swarm leave", or make the swarm with --data-path-port.',
    },
  ];
}

function bridgeWithParent(network: DockerNetwork, parent: string, ours: OwnNetwork | undefined): Finding {
  const { name } = network;
  const subnet = network.ipam[0]?.subnet ?? 'CIDR';
  const line =
    ours === undefined
      ? `docker network rm ${quoted(name)}; ${dockerLine({ name, tap: parent, subnet })}`
      : anew(network, ours);
  return {
    check: 'docker-t1',
    severity: 'error',
    what: `Docker network "${name}" is a bridge that carries parent=${parent}, which a bridge ignores: its containers are not on the overlay`,
    cure: `"-d macvlan" was forgotten: ${line}`,
  };
}

function checkMode({ name, options }: DockerNetwork): Finding[] {
  const mode = options['macvlan_mode'] ?? DEFAULT_MODE;
  const finding = (severity: Finding['severity'], what: string, cure: string): Finding[] => [
    { check: 'docker-t4', severity, what: `Docker network "${name}": ${what}`, cure },
  ];
  if (mode === 'passthru')
    return finding(
      'warn',
      'in mode passthru it takes one container',
      'Make it with -o macvlan_mode=bridge or vepa.',
    );
  if (mode === 'private')
    return finding(
      'warn',
      'in mode private containers of one host cannot reach each other',
      'Make it with -o macvlan_mode=bridge or vepa.',
    );
  if (mode !== DEFAULT_MODE) return [];
  return finding(
    'info',
    'in mode bridge the kernel switches between containers of this host, unseen by overlayd',
    'If counters and rules are to hold for these too, make it with -o macvlan_mode=vepa.',
  );
}

function checkTap({ name }: DockerNetwork, { tap, mtu, persistent }: OwnNetwork): Finding[] {
  if (mtu === undefined) {
    return [
      {
        check: 'docker-t5',
        severity: 'error',
        what: `Docker network "${name}" hangs on ${tap}, which is not there: its containers do not start`,
        cure: 'Start overlayd, then dockerd anew; have the unit of overlayd say Before=docker.service.',
      },
    ];
  }
  if (persistent !== false) return [];
  return [
    {
      check: 'docker-t5',
      severity: 'error',
      what: `${tap} is not persistent: when overlayd ends, the kernel takes the interfaces of all containers on "${name}" away`,
      cure: `Do not end whoever holds ${tap}; start overlayd on a TAP of its own, then move the containers.`,
    },
  ];
}

function checkVlan(
  { name }: DockerNetwork,
  { tap, mtu = 0 }: OwnNetwork,
  vlan: string | undefined,
): Finding[] {
  if (vlan === undefined) return [];
  return [
    {
      check: 'docker-t7',
      severity: 'warn',
      what: `Docker network "${name}" is on VLAN ${vlan} of ${tap}: its frames carry a tag, four bytes that no longer fit a full packet`,
      cure: `Give it a network of its own (--network name=…,vni=…,tap=…), or MTU ${mtu - 4} inside its containers.`,
    },
  ];
}

function checkMtuOf(
  { name, options }: DockerNetwork,
  { tap, mtu }: OwnNetwork,
  endpoints: readonly DockerEndpoint[],
): Finding[] {
  const findings: Finding[] = [];
  const asked = options[DOCKER_MTU];
  if (asked !== undefined && Number(asked) !== mtu) {
    findings.push({
      check: 'docker-t6',
      severity: 'warn',
      what: `Docker network "${name}" asks for MTU ${asked}, which macvlan ignores: its containers take the ${mtu ?? '?'} of ${tap}`,
      cure: `Give the network mtu=${asked} in overlayd, which is the MTU of ${tap}, and restart the containers.`,
    });
  }
  const lower = endpoints.filter(
    (endpoint) => endpoint.mtu !== undefined && mtu !== undefined && endpoint.mtu < mtu,
  );
  if (lower.length > 0) {
    findings.push({
      check: 'docker-t6',
      severity: 'info',
      what: `${lower.map(({ container }) => container).join(', ')} on "${name}" still ${lower.length === 1 ? 'has' : 'have'} MTU ${lower[0]?.mtu}, ${tap} has ${mtu}`,
      cure: 'A raised MTU reaches a container when it is restarted.',
    });
  }
  return findings;
}

function checkAddresses(
  network: DockerNetwork,
  ours: OwnNetwork,
  endpoints: readonly DockerEndpoint[],
): Finding[] {
  const containers = endpoints.map(({ container }) => container).join(', ');
  const first = containers === '' ? '' : `Remove its containers (${containers}), then: `;
  return flawsOf(network, ours).map(({ what, cure = first + anew(network, ours), ...rest }) => ({
    ...rest,
    what: `Docker network "${network.name}": ${what}`,
    cure,
  }));
}

/**
 * The words that make it as it should be. While this host has no range for Docker only the daemon can say one, and marks
 * it: the doctor changes nothing.
 */
function anew({ name, options, ipam }: DockerNetwork, ours: OwnNetwork): string {
  const rm = `docker network rm ${quoted(name)}; `;
  const [first, second] = ours.subnets.filter(
    ({ subnet }, i) => i === 0 || ipam.some((each) => each.subnet?.includes(':') === subnet.includes(':')),
  );
  if (first === undefined)
    return rm + dockerLine({ name, tap: options['parent'] ?? ours.tap, subnet: 'CIDR' });
  if (first.ipRange === undefined) return `${rm}sh -c "$(overlayd docker-command ${quoted(ours.name)})"`;
  const mode = options['macvlan_mode'];
  const words = [
    ...(mode === undefined ? [] : ['-o', `macvlan_mode=${mode}`]),
    ...ipam.flatMap(({ reserved }) =>
      reserved.flatMap((each) => ['--aux-address', `${each.name}=${each.ip}`]),
    ),
  ];
  return rm + dockerLine({ ...first, second, words, name, tap: options['parent'] ?? ours.tap });
}

/** A container of ours whose address another host has as well. */
function checkTwins(ours: OwnNetwork, endpoints: readonly DockerEndpoint[], { remote }: OwnFacts): Finding[] {
  const there = remote.filter(({ network }) => network === ours.name);
  return endpoints.flatMap(({ container, ips, mac }) =>
    there
      .filter((other) => other.mac === mac || other.ips.some((ip) => ips.includes(ip)))
      .map((other): Finding => {
        const sharedIp = other.ips.find((ip) => ips.includes(ip));
        const shared = sharedIp === undefined ? `MAC ${mac}` : `address ${sharedIp}`;
        return {
          check: 'docker-t8',
          severity: 'error',
          what: `container ${container} has ${shared}, and so has ${other.mac} on ${other.owner}`,
          cure: `Give each host an --ip-range of its own ("overlayd docker-command ${ours.name}" prints it), and start one of the two anew.`,
        };
      }),
  );
}
