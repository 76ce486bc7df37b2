/** The networks that this host takes part in, each under its index in the data path. */
import type { RunConfig } from '../config/run-config.ts';
import type { OpenedTap } from '../dataplane/dataplane.ts';

export interface JoinedNetwork {
  /** The data path's index for it. */
  readonly index: number;
  /** Of a made one; undefined: it is in the configuration. */
  readonly id: string | undefined;
  readonly name: string;
  readonly vni: number;
  /** Of the TAP, where there is one for the whole network. */
  readonly tap: string | undefined;
  readonly mtu: number;
  readonly subnet: string | undefined;
  readonly gateway: string | undefined;
  readonly ipRange: string | undefined;
  readonly encrypted: boolean;
}

/** Those of the configuration, which are joined as long as the daemon runs. */
export function configuredNetworks(config: RunConfig, taps: ReadonlyMap<number, OpenedTap>): JoinedNetwork[] {
  return config.networks.map((network, index) => {
    return { ...network, id: undefined, index, mtu: taps.get(index)?.mtu ?? network.mtu };
  });
}
