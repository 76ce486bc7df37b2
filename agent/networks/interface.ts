/**
 * Networks as the rest of the daemon knows them: definitions that the cluster shares, and endpoints of this host on them.
 *
 * Definitions are known everywhere, whoever made them; a host takes part in a network only while it has an endpoint or a
 * TAP on it. Everything here throws OverlaydError; a call that failed has left nothing behind.
 */
import type { OpenedTap } from '../dataplane/dataplane.ts';

export interface NetworkDefinition {
  /** 32 hex digits, made at creation, the same on every host. */
  readonly id: string;
  readonly name: string;
  readonly vni: number;
  readonly subnet?: string;
  readonly subnet6?: string;
  readonly gateway?: string;
  readonly gateway6?: string;
  readonly mtu: number;
  readonly encrypted: boolean;
  /** No way out of it is wanted. */
  readonly internal: boolean;
  readonly labels: Readonly<Record<string, string>>;
  /** The host that made it; empty where hosts have it in their configuration. */
  readonly createdBy: string;
}

/** What is not given is chosen, or, where the network is there already, taken as it is. */
export interface NetworkSpec {
  readonly name: string;
  readonly subnet?: string;
  readonly subnet6?: string;
  readonly vni?: number;
  readonly gateway?: string;
  readonly gateway6?: string;
  readonly mtu?: number;
  readonly encrypted?: boolean;
  readonly internal?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface EndpointSpec {
  /** The caller's, such as Docker's EndpointID. */
  readonly id: string;
  /** Name or id. */
  readonly network: string;
  readonly ifName: string;
  readonly mac: string;
  /** Without prefix length. */
  readonly ips: readonly string[];
  /** For people: shown in `fdb`. */
  readonly name?: string;
  /** Where the TAP already is, after a restart: path of a network namespace. */
  readonly netns?: string;
}

/** What somebody else knows of a MAC on a shared TAP. */
export interface MacInfo {
  readonly ips: readonly string[];
  readonly name?: string;
}

export interface Networks {
  /** One for each name, sorted by it. */
  list(): readonly NetworkDefinition[];
  find(nameOrId: string): NetworkDefinition | undefined;
  /** Removed for good, here or on another host. */
  isGone(id: string): boolean;
  /** Equal to what is there under this name: that. Throws when it differs, and says in what. */
  create(spec: NetworkSpec): Promise<NetworkDefinition>;
  /** Refused while endpoints anywhere use it, unless `force`. */
  remove(nameOrId: string, options: { readonly force: boolean }): Promise<void>;
  /** A TAP of its own for one endpoint. Known under this id already: that one, if it is the same. */
  addEndpoint(spec: EndpointSpec): Promise<OpenedTap>;
  /** Takes its TAP away, wherever it is; unknown: nothing to do. */
  removeEndpoint(id: string): Promise<void>;
  endpoints(): readonly EndpointSpec[];
  /** Sets addresses and name of the endpoint record of a MAC on a shared TAP; undefined takes back what was said. */
  describeMac(network: string, mac: string, info: MacInfo | undefined): void;
  onChange(listener: () => void): void;
}
