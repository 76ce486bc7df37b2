/** The configuration of `overlayd run` after all sources are merged, checked and resolved: what the daemon is given. */

export interface NetworkConfig {
  readonly name: string;
  readonly vni: number;
  /** Canonical CIDR (network address and prefix); undefined: the network has no address plan of ours. */
  readonly subnet: string | undefined;
  readonly gateway: string | undefined;
  /** Addresses that Docker on this host may give out, inside `subnet`. */
  readonly ipRange: string | undefined;
  readonly tap: string;
  /** MTU of the TAP, bytes. */
  readonly mtu: number;
  /** Nobody gave it: it is what fitted the underlay when that was looked at. */
  readonly isMtuFitted?: true;
  readonly encrypted: boolean;
}

/** A plain VXLAN endpoint that speaks no gossip: kernel vxlan, OVS. */
export interface StaticPeerConfig {
  readonly ip: string;
  /** Name of one of `networks`. */
  readonly network: string;
  /** MACs known to be behind it, `aa:bb:cc:dd:ee:ff`. */
  readonly macs: readonly string[];
}

export interface Seed {
  readonly host: string;
  readonly port: number;
}

export const LOG_LEVELS = ['error', 'warn', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export const LOG_FORMATS = ['json', 'text'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

export interface RunConfig {
  readonly nodeName: string;
  /** Canonical IP text. */
  readonly advertiseAddr: string;
  readonly dataPathAddr: string;
  readonly gossipPort: number;
  readonly dataPort: number;
  readonly join: readonly Seed[];
  readonly networks: readonly NetworkConfig[];
  readonly staticPeers: readonly StaticPeerConfig[];
  /** File of the gossip keys; undefined: gossip in clear. */
  readonly keyringFile: string | undefined;
  readonly gossipEncryption: 'off' | 'required' | 'transition';
  /** Infinity: never. */
  readonly gossipRekeyMs: number;
  /** Age at which sessions of encrypted networks are replaced, ms. */
  readonly rekeyMs: number;
  /** How long the addresses of a silent host stay its own, ms. */
  readonly rangeLeaseMs: number;
  /** Highest version of the tunnel protocol to speak. */
  readonly wireVersion: number;
  /** File of the hosts that may be members; undefined: whoever is seen first under a name. */
  readonly identitiesFile: string | undefined;
  readonly workers: number;
  /** Undefined: batch. */
  readonly io: 'batch' | 'dgram' | undefined;
  readonly socket: string;
  readonly stateDir: string;
  /** Undefined: off. */
  readonly metricsAddr: { readonly host: string; readonly port: number } | undefined;
  /** Docker's API; undefined: Docker is never asked. */
  readonly dockerSocket: string | undefined;
  /** The driver's socket; undefined: no driver. By default it is done without where it cannot be had. */
  readonly dockerPlugin: { readonly path: string; readonly isDefault: boolean } | undefined;
  readonly dockerScope: 'local' | 'global';
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  readonly removeTapsOnExit: boolean;
  /** Take part in every network, with a TAP on each. */
  readonly joinAll: boolean;
  /** MTU of the underlay interface that carries `dataPathAddr`, bytes. */
  readonly underlayMtu: number;
}
