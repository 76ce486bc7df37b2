/**
 * The table of `overlayd run`'s options: the one place that ties flag, environment variable and file key together.
 *
 * The command line builds its flags and its help from it, environment.ts its variables, reload.ts what may change
 * while the daemon runs.
 */
import type { ConfigKey } from './schema.ts';

export interface OptionRow {
  readonly key: ConfigKey;
  /** Long flag without dashes; equals `key` except for the lists that a file names in the plural. */
  readonly flag: string;
  readonly kind: 'text' | 'integer' | 'switch' | 'list';
  /** Placeholder of the flag's value. */
  readonly value?: string;
  readonly description: string;
  /** As help shows it; what it means is in resolve.ts. */
  readonly default?: string;
  /** SIGHUP takes a new value over without a restart. */
  readonly reloadable?: true;
}

export const OPTIONS: readonly OptionRow[] = [
  {
    key: 'node-name',
    flag: 'node-name',
    kind: 'text',
    value: 'NAME',
    description: 'unique and stable name of this host',
    default: 'the host name',
  },
  {
    key: 'advertise-addr',
    flag: 'advertise-addr',
    kind: 'text',
    value: 'IP',
    description: 'where other hosts reach this one',
    default: 'source address of the default route',
  },
  {
    key: 'data-path-addr',
    flag: 'data-path-addr',
    kind: 'text',
    value: 'IP',
    description: 'underlay address of the data path (separates control and data)',
    default: 'the advertise address',
  },
  {
    key: 'gossip-port',
    flag: 'gossip-port',
    kind: 'integer',
    value: 'N',
    description: 'gossip, UDP and TCP',
    default: '7946',
  },
  {
    key: 'data-port',
    flag: 'data-port',
    kind: 'integer',
    value: 'N',
    description: 'VXLAN, UDP',
    default: '4789',
  },
  {
    key: 'join',
    flag: 'join',
    kind: 'list',
    value: 'HOST[:PORT]',
    description: 'a host of the cluster; repeatable; retried for ever with back-off',
    reloadable: true,
  },
  {
    key: 'networks',
    flag: 'network',
    kind: 'list',
    value: 'SPEC',
    description: 'a network, see below; repeatable',
    default: 'name=overlay,vni=4096,subnet=10.42.0.0/16,tap=tap0',
    reloadable: true,
  },
  {
    key: 'join-all',
    flag: 'join-all',
    kind: 'switch',
    description:
      'take part in every network of the cluster, with a TAP on each, not only where containers are',
  },
  {
    key: 'keyring',
    flag: 'keyring',
    kind: 'text',
    value: 'FILE',
    description:
      'file (0600) of keys that seal gossip, one base64 key (16, 24 or 32 bytes) a line, first = primary',
  },
  {
    key: 'gossip-encryption',
    flag: 'gossip-encryption',
    kind: 'text',
    value: 'required|transition',
    description: 'transition takes and sends clear gossip too, while the keyring is brought to all hosts',
    default: 'required with a keyring',
  },
  {
    key: 'gossip-rekey-interval',
    flag: 'gossip-rekey-interval',
    kind: 'text',
    value: 'TIME',
    description: 'how often the cluster takes a new gossip key by itself, such as 12h; "off" is never',
    default: '12h',
    reloadable: true,
  },
  {
    key: 'rekey-interval',
    flag: 'rekey-interval',
    kind: 'text',
    value: 'TIME',
    description: 'how often two hosts of an encrypted network take new keys, 1s to 24h',
    default: '12h',
    reloadable: true,
  },
  {
    key: 'range-lease',
    flag: 'range-lease',
    kind: 'text',
    value: 'TIME',
    description: 'how long the addresses of a silent host stay its own, 5s to 720h; the same on all hosts',
    default: '24h',
  },
  {
    key: 'identities',
    flag: 'identities',
    kind: 'text',
    value: 'FILE',
    description:
      'file of the hosts that may be members, NAME KEY [admin] a line; without it the first key that is seen under a name is its',
    reloadable: true,
  },
  {
    key: 'static-peers',
    flag: 'static-peer',
    kind: 'list',
    value: 'IP,network=NAME[,mac=MAC]...',
    description: 'a plain VXLAN endpoint that speaks no gossip (kernel vxlan, OVS); repeatable',
    reloadable: true,
  },
  {
    key: 'wire-version',
    flag: 'wire-version',
    kind: 'integer',
    value: 'N',
    description: 'highest version of the wire to speak, 1 or 2; hosts agree on one by themselves',
    default: '2',
  },
  {
    key: 'workers',
    flag: 'workers',
    kind: 'integer',
    value: 'N',
    description: 'dataplane workers',
    default: '1',
  },
  {
    key: 'io',
    flag: 'io',
    kind: 'text',
    value: 'batch|dgram',
    description: 'batch: FFI with offloads; dgram: one packet per call',
    default: 'batch',
  },
  {
    key: 'socket',
    flag: 'socket',
    kind: 'text',
    value: 'PATH',
    description: 'admin socket (0660)',
    default: '/run/overlayd/overlayd.sock',
  },
  {
    key: 'state-dir',
    flag: 'state-dir',
    kind: 'text',
    value: 'DIR',
    description: 'what survives a restart (0700)',
    default: '/var/lib/overlayd',
  },
  {
    key: 'metrics-addr',
    flag: 'metrics-addr',
    kind: 'text',
    value: 'IP:PORT',
    description: '/metrics, /healthz and /readyz; "none" is off',
    default: '127.0.0.1:9472',
    reloadable: true,
  },
  {
    key: 'docker-socket',
    flag: 'docker-socket',
    kind: 'text',
    value: 'PATH',
    description: 'Docker is asked for the names of containers and networks there; "none" is never',
    default: '/run/docker.sock',
  },
  {
    key: 'docker-plugin',
    flag: 'docker-plugin',
    kind: 'text',
    value: 'PATH',
    description: 'socket of the Docker network and IPAM driver, named as the file; "none" is no driver',
    default: '/run/docker/plugins/overlayd.sock',
  },
  {
    key: 'docker-scope',
    flag: 'docker-scope',
    kind: 'text',
    value: 'local|global',
    description: 'global for a managed plugin in swarm mode: its manager creates networks for all nodes',
    default: 'local',
  },
  {
    key: 'log-level',
    flag: 'log-level',
    kind: 'text',
    value: 'LEVEL',
    description: 'error, warn, info, debug or trace',
    default: 'info',
    reloadable: true,
  },
  {
    key: 'log-format',
    flag: 'log-format',
    kind: 'text',
    value: 'json|text',
    description: 'one line per event',
    default: 'text on a terminal, else json',
    reloadable: true,
  },
  {
    key: 'remove-taps-on-exit',
    flag: 'remove-taps-on-exit',
    kind: 'switch',
    description: 'remove the TAPs (and so the interfaces of containers on them) when the daemon ends',
    reloadable: true,
  },
];

/** `advertise-addr` → `OVERLAYD_ADVERTISE_ADDR`. */
export function environmentName(flag: string): string {
  return `OVERLAYD_${flag.toUpperCase().replaceAll('-', '_')}`;
}
